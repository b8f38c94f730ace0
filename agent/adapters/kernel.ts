import { execFile, spawn } from "node:child_process";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { member } from "../../common/kubernetes/json-member.ts";
import { type KernelView, kernelViewOf } from "../domain/kernel-view.ts";

/** What is asked of the kernel; replaced in tests. */
export type Kernel = {
  /**
   * Rules, routes, links and addresses; `ipv6` false: of IPv4 only, because no Pod has another address. Rejects where `ip` is missing (code ENOENT), failed, printed nonsense or took too long.
   */
  readonly read: (signal: AbortSignal, families?: { readonly ipv6: boolean }) => Promise<KernelView>;
  /** Calls `onChange` when it listens and at each change after that; resolves or rejects when it has ended, for whatever reason. */
  readonly monitor: (onChange: () => void, signal: AbortSignal) => Promise<void>;
  /** Interfaces with one address of each family, without `ip`. Slow, and it blocks: see host-network.ts. */
  readonly readInterfaces: () => Promise<KernelView>;
};

/** A report of new Pods waits for it; two processes of a few milliseconds each. */
const IP_TIMEOUT_MS = 2_000;
/** A node with full routing tables; 1 000 routes are 150 kB. */
const IP_MAX_BYTES = 16_777_216;
/** Asked for by kind, because `ip -d`, which tells it of every link, prints three times as much. */
const KINDS = ["bridge", "vlan", "vxlan"] as const;
const BATCH = ["rule show", "route show table all"];
/** Links come first: `ip` then knows their names, and does not ask the kernel for that of each route. */
const BATCH_V4 = ["address show", ...BATCH];
const BATCH_KINDS = KINDS.map((kind) => `link show type ${kind}`);

const run = promisify(execFile);

/** The command and its first arguments, e.g. ["ip"]; in tests ["nsenter", "--net=/proc/4711/ns/net", "ip"]. */
export type Command = readonly [string, ...string[]];

/** One process for many questions. Each answer is one line of JSON; what was refused (a kernel without IPv6) answers nothing. */
async function ask(ip: Command, args: readonly string[], questions: readonly string[], signal: AbortSignal): Promise<unknown[]> {
  const [file, ...before] = ip;
  const running = run(file, [...before, ...args, "-j", "-force", "-batch", "-"], {
    timeout: IP_TIMEOUT_MS,
    maxBuffer: IP_MAX_BYTES,
    signal,
  });
  running.child.stdin?.on("error", () => undefined).end(questions.map((question) => `${question}\n`).join(""));
  const { stdout } = await running;
  const answers: unknown[] = [];
  for (const line of stdout.split("\n")) {
    if (line.trim() === "") continue;
    answers.push(parse(line));
    await nextTurn(); // the links of a full node are 150 kB: nothing else waits for all of it
  }
  return answers;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error(`\`ip -j\` printed no JSON, but "${line.slice(0, 60)}": iproute2 5.0 or newer is needed`);
  }
}

/** All of them, or an error that says how many came. */
async function askAll(ip: Command, questions: readonly string[], signal: AbortSignal): Promise<unknown[]> {
  const answers = await ask(ip, [], questions, signal);
  if (answers.length !== questions.length) throw new Error(`\`ip -j -batch\` answered ${answers.length} of ${questions.length} questions`);
  return answers;
}

/** Of the links that were there when their kinds were asked for. */
type Kinds = { readonly links: ReadonlySet<string>; readonly lists: ReadonlyMap<string, unknown> };
const NO_KINDS: Kinds = { links: new Set(), lists: new Map() };

/**
 * A link's kind never changes, and asking for one whose module is not there starts `modprobe`: only new links are asked about, and not those
 * whose other end is in another network namespace, which Pods have.
 */
function makeKinds(ip: Command): (links: unknown, signal: AbortSignal) => Promise<Kinds["lists"]> {
  let known = NO_KINDS;
  return async (links, signal) => {
    const present = namesOf(links);
    if (present.isSubsetOf(known.links)) return known.lists;
    const answers = await askAll(ip, BATCH_KINDS, signal);
    known = { links: present, lists: new Map(KINDS.map((kind, index) => [kind as string, answers[index]])) };
    return known.lists;
  };
}

/** Index and name of each link that may be a bridge, a VLAN or a tunnel. */
function namesOf(links: unknown): Set<string> {
  const names = new Set<string>();
  for (const link of Array.isArray(links) ? links : [])
    if (member(link, "link_netnsid") === undefined) names.add(`${String(member(link, "ifindex"))} ${String(member(link, "ifname"))}`);
  return names;
}

function makeRead(ip: Command): Kernel["read"] {
  const kindsOf = makeKinds(ip);
  return async (signal, { ipv6 } = { ipv6: true }) => {
    const [v4, v6] = await Promise.all([
      askAll(ip, BATCH_V4, signal),
      ipv6 ? ask(ip, ["-6"], BATCH, signal).catch(() => []) : ([] as unknown[]),
    ]);
    const [links, rules, routes] = v4;
    const linksOfKind = await kindsOf(links, signal);
    const [rules6 = [], routes6 = []] = v6;
    await nextTurn();
    return kernelViewOf({ rules: [rules, rules6], routes: [routes, routes6], links, linksOfKind });
  };
}

/** What it prints is not read: that it prints says that something has changed. */
function monitor([file, ...before]: Command, onChange: () => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [...before, "monitor", "link", "address", "route", "rule"], { stdio: ["ignore", "pipe", "ignore"], signal });
    child.once("spawn", onChange);
    child.stdout.on("data", onChange);
    child.once("error", reject);
    child.once("close", () => resolve());
  });
}

async function readInterfaces(): Promise<KernelView> {
  const { default: systeminformation } = await import("systeminformation"); // only where it is needed: 3 MiB
  const found = [await systeminformation.networkInterfaces()].flat();
  return {
    rules: [],
    routes: [],
    links: new Map(found.map(({ iface, mac }) => [iface, { name: iface, mac: withoutZeros(mac), kind: "", master: "" }])),
    addresses: found.flatMap(({ iface: device, ip4, ip4subnet, ip6, ip6subnet }) => [
      { device, subnet: `${ip4}/${fixedBits(ip4subnet)}` },
      { device, subnet: `${ip6}/${fixedBits(ip6subnet)}` },
    ]),
  };
}

/** "255.255.255.0" fixes 24 bits, "ffff:ffff::" 32. */
function fixedBits(mask: string): number {
  const groups = mask.split(mask.includes(":") ? ":" : ".").map((group) => Number.parseInt(group, mask.includes(":") ? 16 : 10) || 0);
  return groups.reduce((bits, group) => bits + group.toString(2).replaceAll("0", "").length, 0);
}

/** The loopback device has zeros for a MAC. */
const withoutZeros = (mac: string): string => (/^[0:]*$/.test(mac) ? "" : mac.toLowerCase());

/** The kernel of the network namespace that this process is in; of another one in tests. */
export const makeKernel = (ip: Command = ["ip"]): Kernel => ({
  read: makeRead(ip),
  monitor: (onChange, signal) => monitor(ip, onChange, signal),
  readInterfaces,
});
