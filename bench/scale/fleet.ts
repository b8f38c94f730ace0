/** The agents of all nodes, in a few processes. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Endpoint } from "../../agent/config.ts";
import type { PodFact } from "../../common/vocabulary.ts";

export type AgentSeat = { readonly node: string; readonly token: string };
/** Of one node's Pods: how it is now, or the UID of one whose deletion was seen. */
export type PodChange = { readonly node: string; readonly pod?: PodFact; readonly removedUid?: string };

export type FleetOrder =
  | { readonly kind: "seats"; readonly seats: readonly (AgentSeat & { readonly pods: readonly PodFact[] })[] }
  | { readonly kind: "pods"; readonly changes: readonly PodChange[] }
  /** Starts all agents, evenly over so many milliseconds. */
  | { readonly kind: "run"; readonly endpoints: readonly Endpoint[]; readonly caPem: string; readonly overMs: number }
  | { readonly kind: "halt" };

export type FleetAnswer =
  | { readonly kind: "done" }
  | {
      readonly kind: "links";
      /** Links whose snapshot was acknowledged, by the coordinator's address. */
      readonly acknowledged: Readonly<Record<string, number>>;
      /** Streams that ended, by gRPC status. */
      readonly ends: Readonly<Record<string, number>>;
      readonly cpuSeconds: number;
    };

type Links = Extract<FleetAnswer, { kind: "links" }>;

export type Fleet = {
  /** Takes the seats in; nothing is connected yet. */
  seat(seats: readonly (AgentSeat & { readonly pods: readonly PodFact[] })[]): Promise<void>;
  /** Told to the node's agent with all others of this turn of the event loop. */
  change(change: PodChange): void;
  run(order: Omit<Extract<FleetOrder, { kind: "run" }>, "kind">): Promise<void>;
  /** Ends all links. */
  halt(): Promise<void>;
  acknowledged(address: string): number;
  /** Streams that ended, by gRPC status, over the whole run. */
  ends(): Record<string, number>;
  cpuSeconds(): number;
  stop(): Promise<void>;
};

/** A process shakes hands with some 500 coordinators a second; more than two only take cores from the coordinator. */
const AGENTS_PER_PROCESS = 2_500;
/** Agents per message. */
const SEATS = 250;

/** Throws when a process ends before it was stopped. */
export function startFleet(agents: number): Fleet {
  const members = Array.from({ length: Math.max(1, Math.ceil(agents / AGENTS_PER_PROCESS)) }, startMember);
  const home = new Map<string, (typeof members)[number]>();
  const pending = new Map<(typeof members)[number], PodChange[]>();
  let seated = 0;
  const all = async (order: FleetOrder): Promise<void> => void (await Promise.all(members.map((member) => member.ask(order))));
  const sum = (read: (links: Links) => number): number => members.reduce((total, { links }) => total + read(links()), 0);
  const flush = (): void => {
    for (const [member, changes] of pending) member.send({ kind: "pods", changes });
    pending.clear();
  };
  return {
    async seat(seats) {
      const member = members[Math.floor(seated / AGENTS_PER_PROCESS)];
      for (let begin = 0; begin < seats.length; begin += SEATS) {
        const some = seats.slice(begin, begin + SEATS);
        const next = members[Math.floor(seated / AGENTS_PER_PROCESS)] ?? member;
        if (next === undefined) throw new Error("more agents than were announced");
        for (const { node } of some) home.set(node, next);
        seated += some.length;
        await next.ask({ kind: "seats", seats: some });
      }
    },
    change(change) {
      const member = home.get(change.node);
      if (member === undefined) return;
      if (pending.size === 0) setImmediate(flush);
      const known = pending.get(member);
      if (known === undefined) pending.set(member, [change]);
      else known.push(change);
    },
    run: (order) => all({ kind: "run", ...order }),
    halt: () => all({ kind: "halt" }),
    acknowledged: (address) => sum(({ acknowledged }) => acknowledged[address] ?? 0),
    ends: () => {
      const total: Record<string, number> = {};
      for (const { links } of members) for (const [code, count] of Object.entries(links().ends)) total[code] = (total[code] ?? 0) + count;
      return total;
    },
    cpuSeconds: () => sum(({ cpuSeconds }) => cpuSeconds),
    stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
  };
}

function startMember() {
  const child: ChildProcess = fork(new URL("./fleet-child.ts", import.meta.url), { serialization: "advanced" });
  const ended = once(child, "exit");
  let links: Links = { kind: "links", acknowledged: {}, ends: {}, cpuSeconds: 0 };
  let waiting: (() => void)[] = [];
  let stopping = false;
  child.on("message", (answer: FleetAnswer) => {
    if (answer.kind === "links") links = answer;
    else waiting.shift()?.();
  });
  const gone = async (): Promise<void> => {
    const [code, signal]: unknown[] = await ended;
    if (!stopping) throw new Error(`a process of agents ended with ${String(code ?? signal)}`);
  };
  return {
    links: () => links,
    send: (order: FleetOrder): void => void child.send(order),
    /** Orders are answered in their turn. */
    ask: async (order: FleetOrder): Promise<void> => {
      const done = new Promise<void>((resolve) => waiting.push(resolve));
      child.send(order);
      await Promise.race([done, gone()]);
    },
    stop: async (): Promise<void> => {
      stopping = true;
      waiting = [];
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
