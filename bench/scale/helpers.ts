/** The control process, and the floor of what connections cost. */
import { fork } from "node:child_process";
import { once } from "node:events";

export type HelperQuestion =
  /** p99 of the event loop's delay since the last question. */
  | { readonly kind: "delay" }
  | { readonly kind: "listen" }
  /** `pods`: of the snapshot that each sends over a stream; 0: the sessions stay idle. */
  | { readonly kind: "connect"; readonly sessions: number; readonly pods: number; readonly port: number; readonly caPem: string }
  /** What the process has taken so far. */
  | { readonly kind: "usage" };
export type HelperAnswer =
  | { readonly kind: "delay"; readonly p99Ms: number }
  | { readonly kind: "listening"; readonly port: number; readonly caPem: string }
  | { readonly kind: "connected" }
  | { readonly kind: "usage"; readonly rssBytes: number; readonly cpuSeconds: number }
  | { readonly kind: "failed"; readonly reason: string };

type Kind = HelperAnswer["kind"];

type Role = "control" | "floor-server" | "stream-server" | "floor-client";

function startHelper(role: Role, flags: readonly string[] = []) {
  const child = fork(new URL("./helper-child.ts", import.meta.url), [role], { execArgv: [...process.execArgv, ...flags] });
  const ended = once(child, "exit");
  return {
    ask: async <K extends Kind>(question: HelperQuestion, wanted: K): Promise<Extract<HelperAnswer, { kind: K }>> => {
      const answered = once(child, "message").then(([answer]) => answer as HelperAnswer); // our own child
      child.send(question);
      const answer = await Promise.race([answered, ended.then((): HelperAnswer => ({ kind: "failed", reason: "it ended" }))]);
      if (answer.kind !== wanted) throw new Error(`${role}: ${answer.kind === "failed" ? answer.reason : answer.kind}`);
      return answer as Extract<HelperAnswer, { kind: K }>;
    },
    stop: async (): Promise<void> => {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

export type Control = { readonly p99Ms: () => Promise<number>; readonly stop: () => Promise<void> };

/** A process that does nothing: how late its event loop is tells how noisy the machine is. */
export function startControl(): Control {
  const { ask, stop } = startHelper("control");
  return { p99Ms: async () => (await ask({ kind: "delay" }, "delay")).p99Ms, stop };
}

/** What the platform alone costs: resident memory, CPU of the server, and how long it takes until all are there, with their clients on the same cores. */
export type Floor = { readonly mib: number; readonly cpuSeconds: number; readonly seconds: number };
/** `bare`: an HTTP/2 server under TLS that holds idle sessions. `streams`: one of grpc-js that decodes the snapshot of each and acknowledges it, no more. */
export type Floors = { readonly bare: Floor; readonly streams: Floor };

/** Of so many sessions, with snapshots of so many Pods, under the coordinator's flags of Node. */
export async function floorsOf(sessions: number, pods: number, flags: readonly string[]): Promise<Floors> {
  return { bare: await floorOf("floor-server", sessions, 0, flags), streams: await floorOf("stream-server", sessions, pods, flags) };
}

async function floorOf(role: "floor-server" | "stream-server", sessions: number, pods: number, flags: readonly string[]): Promise<Floor> {
  const [server, client] = [startHelper(role, flags), startHelper("floor-client")];
  try {
    const { port, caPem } = await server.ask({ kind: "listen" }, "listening");
    const before = await server.ask({ kind: "usage" }, "usage");
    const fromMs = performance.now();
    await client.ask({ kind: "connect", sessions, pods, port, caPem }, "connected");
    const seconds = (performance.now() - fromMs) / 1_000;
    const after = await server.ask({ kind: "usage" }, "usage");
    return { mib: after.rssBytes / 2 ** 20, cpuSeconds: after.cpuSeconds - before.cpuSeconds, seconds };
  } finally {
    await Promise.all([server.stop(), client.stop()]);
  }
}
