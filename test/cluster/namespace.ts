/**
 * Runs a command in a network namespace of its own in which the addresses of Pods and load balancers are local (toolchain.md §12):
 * any address and port can be listened on without root, and nothing can leave. Nothing that ran in it survives the command.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, fstatSync, openSync, readdirSync, statSync } from "node:fs";
import { constants } from "node:os";

/** Says to everything below the launcher which addresses it may use: "namespace" or "loopback". */
export const NETWORK_VARIABLE = "CLB_DIRECT_NETWORK";
/** Pods and control addresses; VIPs (198.18.0.0/15 is set aside for benchmarks by RFC 2544, so it belongs to nobody). */
const LOCAL_RANGES = ["10.244.0.0/16", "198.18.0.0/16"] as const;

const SET_UP = ["ip link set lo up", ...LOCAL_RANGES.map((range) => `ip route add local ${range} dev lo`)].join(" && ");
/** Waits until the launcher holds the namespace, then becomes the command. A launcher that died meanwhile gives end of file: no command. */
const RUN = `${SET_UP} && echo ready >&3 && read -r go <&3 && exec 3>&- && exec "$@"`;

type Invocation = { readonly file: string; readonly args: readonly string[] };

/** `unshare` with what this user needs; the death of the launcher reaches the command as SIGTERM, so that it can end its own children. */
function inNamespace(script: string, command: readonly string[]): Invocation {
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  // setpriv comes after unshare: a change of credentials, such as a new user namespace, clears the death signal.
  return { file: "unshare", args: [...user, "--net", "setpriv", "--pdeathsig", "TERM", "sh", "-c", script, "sh", ...command] };
}

/** What enters the namespace of a process that runs in one, before a command; root got no user namespace of its own. */
export const enterCommand = (pid: number): string =>
  process.getuid?.() === 0 ? `nsenter --target ${pid} --net` : `nsenter --target ${pid} --user --net --preserve-credentials`;

/** Why no namespace can be made here, e.g. "unshare: unshare failed: Operation not permitted"; undefined where one can. */
function namespaceFault(): string | undefined {
  const { file, args } = inNamespace(SET_UP, []);
  const { error, status, stderr } = spawnSync(file, args, { encoding: "utf8" });
  if (error !== undefined) return error.message;
  return status === 0 ? undefined : stderr.trim() || `${file} ended with ${status}`;
}

/**
 * Runs `command`, e.g. ["node", "test/demo/main.ts"] ("node" is the Node that runs this), and gives its exit code, 128 + n after signal n.
 * Already inside, it runs directly; where no namespace can be made as well, with loopback addresses, and says so once.
 */
export async function launch(command: readonly string[]): Promise<number> {
  const [first, ...rest] = command;
  if (first === undefined) throw new Error("no command given; use: node test/cluster/network.ts -- <command …>");
  const direct: Invocation = { file: first === "node" ? process.execPath : first, args: rest };
  if (process.env[NETWORK_VARIABLE] !== undefined) return await run(direct, process.env[NETWORK_VARIABLE]);
  const fault = namespaceFault();
  if (fault === undefined) return await run(inNamespace(RUN, [direct.file, ...rest]), "namespace");
  process.stderr.write(`no network namespace here (${fault}): Pods and VIPs get loopback addresses and high ports\n`);
  return await run(direct, "loopback");
}

async function run({ file, args }: Invocation, network: string): Promise<number> {
  const own = file === "unshare";
  const env = { ...process.env, [NETWORK_VARIABLE]: network };
  const child = spawn(file, args, { env, stdio: own ? ["inherit", "inherit", "inherit", "pipe"] : "inherit" });
  const held = own ? hold(child) : undefined;
  const pass = (signal: NodeJS.Signals): void => {
    // Ctrl-C in a terminal reaches the whole foreground group, the command included: a second one would mean "at once".
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, pass);
  const ended = Promise.withResolvers<number>();
  child.once("error", ended.reject);
  child.once("exit", (code, signal) => ended.resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  try {
    return await ended.promise;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, pass);
    held?.();
  }
}

/** Keeps the child's namespace open from before its command starts (its number is not reused); the result ends all that is left in it. */
function hold(child: ChildProcess): () => void {
  const talk = child.stdio[3];
  let namespace: number | undefined;
  talk?.once("data", () => {
    namespace = openSync(`/proc/${child.pid}/ns/net`, "r");
    if (talk !== null && "write" in talk) talk.write("go\n");
  });
  talk?.on("error", () => undefined); // a child that failed to set up closes it; its exit code tells
  return () => {
    talk?.destroy();
    if (namespace === undefined) return;
    for (const pid of processesIn(fstatSync(namespace).ino)) killQuietly(pid);
    closeSync(namespace);
  };
}

function processesIn(inode: number): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => namespaceOf(pid) === inode);
}

/** undefined for a process that ended meanwhile, and for other users' processes, which cannot be ours. */
function namespaceOf(pid: number): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino;
  } catch {
    return undefined;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it ended by itself meanwhile
  }
}
