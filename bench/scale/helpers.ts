/** The control process, and the floor of what connections cost. */
import { fork } from "node:child_process";
import { once } from "node:events";

export type HelperQuestion =
  /** p99 of the event loop's delay since the last question. */
  | { readonly kind: "delay" }
  | { readonly kind: "listen" }
  | { readonly kind: "connect"; readonly sessions: number; readonly port: number; readonly caPem: string }
  /** What the process has taken so far. */
  | { readonly kind: "usage" };
export type HelperAnswer =
  | { readonly kind: "delay"; readonly p99Ms: number }
  | { readonly kind: "listening"; readonly port: number; readonly caPem: string }
  | { readonly kind: "connected" }
  | { readonly kind: "usage"; readonly rssBytes: number; readonly cpuSeconds: number }
  | { readonly kind: "failed"; readonly reason: string };

type Kind = HelperAnswer["kind"];

function startHelper(role: "control" | "floor-server" | "floor-client") {
  const child = fork(new URL("./helper-child.ts", import.meta.url), [role]);
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

/** What connections alone cost: resident memory, and CPU until all are there. */
export type Floor = { readonly mib: number; readonly cpuSeconds: number };

/** Of a bare HTTP/2 server under TLS that takes so many sessions and then holds them. */
export async function floorOf(sessions: number): Promise<Floor> {
  const [server, client] = [startHelper("floor-server"), startHelper("floor-client")];
  try {
    const { port, caPem } = await server.ask({ kind: "listen" }, "listening");
    const before = await server.ask({ kind: "usage" }, "usage");
    await client.ask({ kind: "connect", sessions, port, caPem }, "connected");
    const after = await server.ask({ kind: "usage" }, "usage");
    return { mib: after.rssBytes / 2 ** 20, cpuSeconds: after.cpuSeconds - before.cpuSeconds };
  } finally {
    await Promise.all([server.stop(), client.stop()]);
  }
}
