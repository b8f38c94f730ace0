import type { Clock } from "../../common/clock.ts";
import type { HoldProof } from "../../common/holds.ts";
import { makeLatch } from "../../common/latch.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import { HOLD_FILES, StateFiles } from "../adapters/state-files.ts";
import { type AgentSocket, makeAgentSocket } from "./agent-socket.ts";
import type { HoldConfig } from "./config.ts";
import { watchConnections } from "./connections.ts";
import { Holds, type HoldsDeps } from "./holds.ts";
import { makeLateConnections } from "./late-connections.ts";
import type { FromAgent, FromHold } from "./messages.ts";
import { answersAt, watchProof } from "./proof.ts";
import { makeRedirectRule, type RedirectRule } from "./redirect-rule.ts";
import { makeHoldServer } from "./server.ts";

export type HoldDeps = HoldConfig & {
  /** Of this process alone, e.g. "1f0c9a2b". */
  readonly id: string;
  readonly nonceKind: string;
  readonly clock: Clock;
  readonly log: Logger;
};

/** The parts of the hold server's process; each `signal` ends one. */
export interface Hold {
  readonly socket: Pick<AgentSocket, "start" | "stop">;
  keepRule(signal: AbortSignal): Promise<void>;
  prove(signal: AbortSignal): Promise<void>;
  count(signal: AbortSignal): Promise<void>;
  /** It runs; it listens as soon as the agent has told it the Pods. */
  start(): void;
  /** Takes no more calls and waits until the last one was answered. Drains that are still on are cut in time. */
  finish(signal: AbortSignal): Promise<void>;
}

/** What JSON leaves out. */
const UNKNOWN = { deletionAtMs: undefined, graceSeconds: undefined };
const LOOPBACK = ["127.0.0.1", "::1"];
/** Addresses of Pods that are gone leave the set that late at most. */
const REFRESH_MS = 5_000;
/** Below the 60 s that the Pod has: what is not drained by then is as far as it gets. */
const FINISH_MS = 55_000;

export function makeHold(deps: HoldDeps): Hold {
  const { clock, log, nodeAddress, host, port } = deps;
  const nonce = `${deps.nonceKind}${deps.id}`;
  const files = new StateFiles(deps.stateDirectory, HOLD_FILES);
  const heldChanged = makeLatch(clock);
  let proof: HoldProof = { proven: false, because: "not tried yet" };
  let stopping = false;
  const is = { listed: false, listening: false, ruled: false };

  const rule = makeRedirectRule(deps);
  const heldNow = (): FromHold => ({ kind: "held", stopping, pods: [...holds.held] });
  const onHeld = (): void => {
    rule.setDraining(holds.heldAddresses);
    socket.say(heldNow());
    heldChanged.set();
  };
  const over = new AbortController();
  const isTaken = (address: string): boolean => holds.livingAddresses.includes(address);
  const onCounted = (connections: number): void => socket.say({ kind: "late", connections });
  const countLate = makeLateConnections({ rule, isTaken, onCounted, clock, log, over: over.signal });
  const onReleased: HoldsDeps["onReleased"] = (pod, addresses) => {
    socket.say({ kind: "released", pod });
    if (deps.hasRule) countLate(addresses);
  };
  const holds: Holds = new Holds({ onHeld, onReleased, clock, log });
  const redirect = (): void =>
    rule.setRedirected(nodeAddress === undefined ? holds.addresses : new Set([...holds.addresses, nodeAddress]), is.listed);
  const noteReady = (): void => files.set("hold-ready", is.listening && is.ruled);
  const noteRule = (): void => {
    is.ruled = true;
    noteReady();
  };
  /** Not before the Pods are known: beside the server of an agent that this one replaces, some of the calls would find somebody who knows nobody. */
  const listen = async (): Promise<void> => {
    is.listed = true;
    try {
      log.info({ port: await server.start(), hosts }, "hold server listens");
      is.listening = true;
      noteReady();
    } catch (err) {
      log.error({ err, port }, "hold server cannot listen: preStop calls are refused");
      is.listed = false; // with the next list
    }
  };
  const onMessage = (message: FromAgent): void => {
    if (message.kind === "answers") return holds.setAnswers(message.answers.map((one) => ({ ...UNKNOWN, ...one })));
    holds.setPods(message);
    redirect();
    if (message.complete && !is.listed && !stopping) void listen();
  };
  const socket: AgentSocket = makeAgentSocket({ path: deps.socket, greet: () => [heldNow(), { kind: "proof", ...proof }], onMessage, log });
  const hosts = host === undefined ? LOOPBACK : [host];
  const server = makeHoldServer({ hosts, port, nonce, dial: (...call) => holds.dial(...call), clock, log });
  const onProof = (found: HoldProof): void => {
    if (found.proven !== proof.proven || found.because !== proof.because) log.info(found, "dialled ourselves over the redirect rule");
    proof = found;
    socket.say({ kind: "proof", ...found });
  };

  const way = deps.hasRule ? { pods: () => holds.livingAddresses, fault: () => rule.fault } : { pods: () => [], fault: () => undefined };
  return {
    socket,
    keepRule: async (signal) => {
      redirect();
      await keepInPlace(deps, { rule, redirect, onReady: noteRule }, signal);
    },
    prove: (signal) => watchProof({ nodeAddress, port, nonce, ...way, onProof, clock }, signal),
    count: async (signal) => {
      if (deps.hasRule)
        await watchConnections({ ...deps, rule, held: () => holds.heldAddresses, onCounted: (counts) => holds.setCounts(counts) }, signal);
    },
    start: () => files.set("hold-started", true),
    async finish(signal) {
      stopping = true;
      rule.retire();
      await server.close(() => heldChanged.set());
      socket.say(heldNow());
      await untilOver(() => holds.held.length === 0 && server.isOver, heldChanged, clock, signal);
      holds.cutDrains();
      over.abort(OVER);
      if (!(await answersAt(hosts[0] ?? "", port))) await rule.remove();
    },
  };
}

/** Looks after each change, for as long as a hold server has. */
async function untilOver(isOver: () => boolean, changed: ReturnType<typeof makeLatch>, clock: Clock, signal: AbortSignal): Promise<void> {
  const limitMs = clock.now() + FINISH_MS;
  while (!isOver() && clock.now() < limitMs && !signal.aborted) await changed.wait(limitMs - clock.now(), signal);
}

type Kept = { readonly rule: Pick<RedirectRule, "run">; readonly redirect: () => void; readonly onReady: () => void };

/** The rule, where there is one, with addresses that are as they should be also where nobody tells of a change. */
async function keepInPlace({ hasRule, clock }: HoldDeps, { rule, redirect, onReady }: Kept, signal: AbortSignal): Promise<void> {
  if (!hasRule) return onReady();
  const refresh = async (): Promise<void> => {
    while (!signal.aborted) {
      await clock.sleep(REFRESH_MS, signal).catch(() => undefined);
      redirect();
    }
  };
  await Promise.all([rule.run(signal, onReady), refresh()]);
}
