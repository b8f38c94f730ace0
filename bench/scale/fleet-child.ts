/**
 * Many agents in one process: the real loop over a node's Pods and the real links, with Pods that the parent tells of in place of the
 * API server, a kernel that carries every address by one interface, and ports that all answer. Ends with its parent.
 */
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { pino } from "pino";
import { makeCoordinatorLink } from "../../agent/coordinator-link.ts";
import { type CoordinatorLinks, makeCoordinatorLinks } from "../../agent/coordinator-links.ts";
import { makeCredentials } from "../../agent/credentials.ts";
import { makeNodeLoop, type NodeLoop } from "../../agent/node-loop.ts";
import { hearing } from "../../agent/observing.ts";
import { makeReachability } from "../../agent/reachability.ts";
import { makeClock } from "../../common/clock.ts";
import { NO_NETWORKS, type PodFact } from "../../common/vocabulary.ts";
import type { AgentSeat, FleetAnswer, FleetOrder, PodChange } from "./fleet.ts";
import { carrierOf } from "./objects.ts";

const clock = makeClock();
const log = pino({ level: "silent" });
/** As the agent's defaults (agent/config.ts). */
const LIMITS = { ackTimeoutMs: 5_000, digestIntervalMs: 60_000 };
const KEEPALIVE = { keepaliveMs: 10_000, keepaliveTimeoutMs: 5_000 };
/** Of all agents: a process each would have its own. */
const credentials = makeCredentials();
const SERVER_NAME = "clb-direct-coordinator.clb-direct.svc";
/** How often the parent is told where the links are. */
const TELL_MS = 100;

type Agent = AgentSeat & {
  readonly records: Map<string, PodFact>;
  /** Coordinators that had when the parent was told last. */
  acknowledged: readonly string[];
  loop?: NodeLoop;
  links?: CoordinatorLinks;
  stop?: AbortController;
};

const agents = new Map<string, Agent>();
/** Agents whose links may have changed since the parent was told. */
const stirred = new Set<Agent>();
const acknowledged: Record<string, number> = {};
const ends: Record<string, number> = {};
let stop: AbortController | undefined;
let running: Promise<unknown>[] = [];
/** Of all agents, one after the other; may be halted in the middle. */
let starting: Promise<void> = Promise.resolve();
let changed = false;

/** A parent that has just gone hears nothing any more, which is no fault. */
const tell = (answer: FleetAnswer): void => void process.send?.(answer, undefined, undefined, () => undefined);

/** As an agent has it that has read it for itself: what knows an object by what it is, the way from the parent has copied. */
const asRead = (pod: PodFact): PodFact => (isDeepStrictEqual(pod.networks, NO_NETWORKS) ? { ...pod, networks: NO_NETWORKS } : pod);

function take({ node, pod: told, removedUid }: PodChange): void {
  const agent = agents.get(node);
  if (agent === undefined) return;
  const pod = told && asRead(told);
  const known = agent.records.get(pod?.uid ?? removedUid ?? "");
  if (pod !== undefined) agent.records.set(pod.uid, pod);
  else agent.records.delete(removedUid ?? "");
  const record = pod ?? known;
  if (record === undefined) return;
  if (pod === undefined) agent.loop?.podChanged({ kind: "removed", record, evidence: "deleted" });
  else agent.loop?.podChanged({ kind: known === undefined ? "added" : "changed", record });
}

function startAgent(agent: Agent, order: Extract<FleetOrder, { kind: "run" }>): void {
  agent.stop = new AbortController(); // its own: a signal goes through all of its listeners for each new one, and thousands of agents have many
  const { signal } = agent.stop;
  const { node: nodeName, token, records } = agent;
  const hello = { nodeName, instanceId: randomUUID() as string };
  const connection = {
    serverName: SERVER_NAME,
    readCaBundle: async () => Buffer.from(order.caPem),
    readToken: async () => token,
    ...KEEPALIVE,
  };
  const observer = {
    onSent: () => undefined,
    onAck: () => undefined,
    onAckTimeout: () => undefined,
    onResend: () => undefined,
    onStreamEnd: (code: string): void => {
      ends[code] = (ends[code] ?? 0) + 1;
      changed = true;
    },
    onState: (): void => {
      stirred.add(agent);
      changed = true;
    },
  };
  const shared = { clock, log, credentials };
  const reachability = makeReachability({
    pods: () => records,
    probe: async () => ({ result: "open", text: "" }),
    onChange: () => agent.loop?.trigger(),
    onProbe: () => undefined,
    clock,
    log,
  });
  const links = makeCoordinatorLinks({
    endpoints: order.endpoints,
    resolve: async (host) => [host],
    makeLink: (address, latest) =>
      makeCoordinatorLink({ ...shared, address, latest, onAsked: hearing(reachability), connection, hello, limits: LIMITS, observer }),
    clock,
    log,
  });
  const carrier = { hostInterface: carrierOf(nodeName), note: "" };
  const loop = makeNodeLoop({
    pods: () => ({ synced: true, records, lastByteAtMs: clock.now() }),
    network: {
      carriersOf: async (addresses) => ({
        found: new Map([...addresses.keys()].map((uid) => [uid, carrier])),
        againAtMs: Number.POSITIVE_INFINITY,
      }),
    },
    findings: () => ({ verdicts: reachability.verdicts }),
    uplink: links,
    clock,
    log,
  });
  agent.loop = loop;
  agent.links = links;
  running.push(loop.run(signal), links.run(signal), reachability.run(signal));
  loop.trigger();
}

async function run(order: Extract<FleetOrder, { kind: "run" }>): Promise<void> {
  stop = new AbortController();
  const { signal } = stop;
  const beginMs = clock.now();
  const all = [...agents.values()];
  for (const [index, agent] of all.entries()) {
    const dueMs = beginMs + (order.overMs * index) / all.length;
    if (dueMs - clock.now() > 1) await clock.sleep(dueMs - clock.now());
    else await new Promise((resolve) => setImmediate(resolve)); // agents are many processes: what one has sent is not to wait for the last one's start
    if (signal.aborted) return;
    startAgent(agent, order);
  }
}

async function halt(): Promise<void> {
  stop?.abort();
  await starting;
  for (const agent of agents.values()) agent.stop?.abort();
  await Promise.all(running);
  running = [];
  for (const agent of agents.values()) {
    delete agent.loop;
    delete agent.links;
    delete agent.stop;
    stirred.add(agent);
  }
  changed = true;
}

/** By the coordinator's address; looks at those agents whose state may have changed, not at all of them ten times a second. */
function where(): FleetAnswer {
  for (const agent of stirred) {
    for (const address of agent.acknowledged) acknowledged[address] = (acknowledged[address] ?? 0) - 1;
    agent.acknowledged = [...(agent.links?.links ?? [])].flatMap(([address, { state }]) => (state === "acknowledged" ? [address] : []));
    for (const address of agent.acknowledged) acknowledged[address] = (acknowledged[address] ?? 0) + 1;
  }
  stirred.clear();
  const { user, system } = process.cpuUsage();
  return { kind: "links", acknowledged, ends, cpuSeconds: (user + system) / 1e6 };
}

setInterval(() => {
  if (!changed) return;
  changed = false;
  tell(where());
}, TELL_MS);

process.on("message", (order: FleetOrder) => {
  switch (order.kind) {
    case "seats":
      for (const { pods, ...seat } of order.seats)
        agents.set(seat.node, { ...seat, acknowledged: [], records: new Map(pods.map((pod) => [pod.uid, asRead(pod)])) });
      return tell({ kind: "done" });
    case "pods":
      return order.changes.forEach(take);
    case "run":
      starting = run(order).then(() => tell({ kind: "done" }));
      return undefined;
    case "halt":
      return void halt().then(() => tell({ kind: "done" }));
    default:
      return order satisfies never;
  }
});
process.once("disconnect", () => process.exit(0));
