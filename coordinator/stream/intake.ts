import type { Clock } from "../../common/clock.ts";
import { type Line, makeLine } from "./line.ts";
import { addressOf } from "./peer.ts";
import { makePlaces, type Place } from "./places.ts";

/**
 * How many agents are let in at a time, each from the beginning of its handshake to the acknowledgement of its first snapshot, and what
 * the others are told: a storm of thousands is served one after the other, each to its end, because whoever is let in half and gives up
 * has cost as much as one that was let in. Agents are known by the peer of their connection, e.g. "10.0.3.7:40312". An address that has many
 * places makes way for others that wait: one stranger keeps nobody out, and many agents behind one address have all places while they are alone.
 * Who calls after its handshake and has no place any more waits in a line, before those whose handshake has not begun: it has paid for its
 * handshake, waiting costs nothing, and another call would cost both sides.
 */
export interface Intake {
  /** A handshake is about to begin; false: there is no room, it is to wait. */
  begin(peer: string): boolean;
  /** Whether there is room for anybody at all, be it only for peers of addresses that have few places. */
  readonly hasRoom: boolean;
  /** Its handshake is done. */
  secured(peer: string): void;
  /**
   * An agent calls: resolves when it has a place, at once if it has kept that of its handshake. Resolves with the milliseconds that it is to
   * stay away where too many wait or it has waited too long. Rejects with the signal's reason: it waits no longer.
   */
  enter(peer: string, signal: AbortSignal): Promise<number | undefined>;
  /** One that had entered is an agent: its token was accepted. Strangers are no crowd. */
  admitted(admission: Admission): void;
  /** Called for each agent that is admitted. Returns the way to unsubscribe. */
  onAdmitted(listener: (admission: Admission) => void): () => void;
  /** It is in, or gone. */
  leave(peer: string): void;
  /** Agents come in numbers: nodes without one may well hear of theirs before long. */
  readonly crowded: boolean;
  /** Called when there is room again. Returns the way to unsubscribe. */
  onRoom(listener: () => void): () => void;
}

/** A stream whose token was accepted: over which connection, whose, e.g. "node-a 5f0c…" (node and UID of its Pod), and when it is over. */
export type Admission = { readonly peer: string; readonly agent: string; readonly over: AbortSignal };

/**
 * Agents under way at a time. Most of the time each waits for its network, its review (3 ms, kubernetes.md §4) and its own process: enough
 * of them to keep one core busy, and few enough to be done within a second. Own choice.
 */
const MOST = 128;
/**
 * Places that an address keeps while others wait; above them its oldest ones make way. A node has one agent, two during a rollout, and each may
 * try anew. Own choice.
 */
const KEPT = 4;
/**
 * Those under way are looked at so often, and their time is counted in looks, not in seconds: one for which the event loop stood still would
 * pass unheard, and whoever has called meanwhile would lose its place.
 */
const LOOK_MS = 250;
/**
 * Who has spent so many looks in a stage, or in all of them, goes on without a place. `handshake`, 2 s: the other end has answered, which takes
 * a slow agent some 100 ms, or has fallen silent. `call`, 1 s: who makes no call after its handshake wants nothing for now, or for ever: agents
 * of the former version leave such connections behind where a coordinator was away. An agent's call follows at once. `all`, 5 s: an agent
 * whose own list is slow. Own choice.
 */
const MOST_LOOKS = { handshake: 8, call: 4, all: 20 };
/**
 * Calls that wait for a place: of one address, and of all. Each holds its headers and, unread, what its connection may send ahead, 64 KiB at
 * most. Own choice: more than all agents of 5 000 nodes, and of one address no more than a stranger can hold with bare connections.
 */
const LINE = { each: 2_048, all: 8_192 };
/** In looks, 10 s: with what it has waited before its handshake that is well below the patience of an agent, 60 s (agent/domain/conversation.ts). */
const MOST_LOOKS_IN_LINE = 40;
/**
 * While calls wait, one of so many places that become free is for a handshake, by turns of their addresses: calls whose tokens will be
 * refused, from dozens of addresses, would keep every new connection out else. Own choice.
 */
const FOR_HANDSHAKES = 4;
/** Agents that one core lets in, per second: who is turned away comes back at its own moment. Measured with 30 Pods each: 300 to 500. */
const PER_SECOND = 250;
/** How long an agent that is turned away is to stay away, milliseconds; it keeps its connection meanwhile. */
const RETRY_MS = { least: 100, most: 5_000 };
/**
 * So many agents within that time are a crowd (one that comes again and again is none: its token may be stolen), and so is one that has to
 * wait for room. Long, because a crowd that falters for a moment has not ended: the lists that would begin then are what it could not bear.
 * Own choice.
 */
const CROWD = { agents: 20, withinMs: 10_000 };

/** A call that waits for a place; `answer` as `enter` resolves. */
type Caller = { readonly peer: string; readonly answer: (retryAfterMs: number | undefined) => void; looks: number };

export function makeIntake(clock: Clock): Intake {
  const listeners = new Set<() => void>();
  const admissions = new Set<(admission: Admission) => void>();
  const awayMs = makePace(clock);
  const line = makeLine<Caller>(LINE, ({ answer }) => answer(awayMs()));
  const crowd = makeCrowd(clock);
  const places = makePlaces({ most: MOST, kept: KEPT }, crowd.lackedRoom);
  /** Places that became free while calls waited. */
  let freed = 0;
  /** The one that is free now is for a handshake, whoever waits. */
  let isForHandshake = false;

  const hasFew = (address: string): boolean => places.hasFew(address);
  const take = (peer: string): boolean => {
    startLooking();
    return places.take(peer);
  };
  /** Calls of addresses that have few places come first; `few`: nobody else's. */
  const serve = (few?: "few"): void => {
    while (line.size > 0 && places.hasRoom) {
      const caller = line.next(hasFew) ?? (few === undefined && !places.isFull ? line.next() : undefined);
      if (caller === undefined) return;
      take(caller.peer);
      places.enterStage(caller.peer, "snapshot");
      caller.answer(undefined);
    }
  };
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const leave = (peer: string): void => {
    if (!places.delete(peer)) return;
    if (line.size > 0) {
      freed += 1;
      isForHandshake = freed % FOR_HANDSHAKES === 0;
      if (!isForHandshake) serve("few");
      tell(); // to handshakes of addresses that have few places; the others would only wait for the calls
      isForHandshake = false;
      serve();
    }
    if (line.size === 0) tell();
  };
  const look = (peer: string, place: Place): void => {
    place.looks += 1;
    place.inStage += 1;
    const most = place.stage === "snapshot" ? MOST_LOOKS.all : MOST_LOOKS[place.stage];
    if (place.looks >= MOST_LOOKS.all || place.inStage >= most) leave(peer);
  };
  const lookInLine = (address: string, caller: Caller): void => {
    caller.looks += 1;
    if (caller.looks < MOST_LOOKS_IN_LINE) return;
    line.delete(address, caller);
    if (hasFew(address)) crowd.lackedRoom(); // it comes again before long
    caller.answer(awayMs());
  };
  /** While one waits in line all places are taken. */
  const startLooking = makeLooks(clock, () => {
    for (const [peer, place] of places.all()) look(peer, place);
    for (const [address, caller] of line.all()) lookInLine(address, caller);
    return places.size > 0;
  });
  return {
    begin: (peer) => (line.size === 0 || isForHandshake || hasFew(addressOf(peer)) || places.has(peer)) && take(peer),
    get hasRoom() {
      return places.hasRoom;
    },
    secured: (peer) => places.enterStage(peer, "call"),
    async enter(peer, signal) {
      signal.throwIfAborted();
      if (!take(peer)) return await standIn(line, peer, signal, awayMs);
      places.enterStage(peer, "snapshot");
      return undefined;
    },
    admitted(admission) {
      for (const listener of admissions) listener(admission);
      crowd.came(admission.agent);
    },
    leave,
    get crowded() {
      return crowd.is || line.some(hasFew);
    },
    onAdmitted: (listener) => subscribe(admissions, listener),
    onRoom: (listener) => subscribe(listeners, listener),
  };
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Returns what begins to look, every so often, until `look` says that nobody is left: one timer for all. */
function makeLooks(clock: Clock, look: () => boolean): () => void {
  let isLooking = false;
  const run = async (): Promise<void> => {
    isLooking = true;
    try {
      do {
        await clock.sleep(LOOK_MS);
      } while (look());
    } finally {
      isLooking = false;
    }
  };
  return () => void (isLooking || run());
}

/** As `enter` resolves and rejects; `awayMs` gives its answer where the line is too long. */
const standIn = (line: Line<Caller>, peer: string, signal: AbortSignal, awayMs: () => number): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const address = addressOf(peer);
    const leave = (): void => {
      line.delete(address, caller);
      reject(signal.reason);
    };
    const answer: Caller["answer"] = (retryAfterMs) => {
      signal.removeEventListener("abort", leave);
      resolve(retryAfterMs);
    };
    const caller: Caller = { peer, answer, looks: 0 };
    if (line.add(address, caller)) signal.addEventListener("abort", leave, { once: true });
    else resolve(awayMs());
  });

/** How long those who are turned away are to stay away, milliseconds: each for its own moment. */
function makePace(clock: Clock): () => number {
  let nextAtMs = 0;
  return () => {
    const nowMs = clock.now();
    nextAtMs = Math.max(nextAtMs, nowMs) + 1_000 / PER_SECOND;
    return Math.round(Math.min(RETRY_MS.most, Math.max(RETRY_MS.least, nextAtMs - nowMs)));
  };
}

function makeCrowd(clock: Clock) {
  /** When each of the last few came last, oldest first. */
  const cameAtMs = new Map<string, number>();
  let lackedRoomAtMs = Number.NEGATIVE_INFINITY;
  return {
    came: (agent: string): void => {
      cameAtMs.delete(agent); // behind the others
      cameAtMs.set(agent, clock.now());
      for (const oldest of cameAtMs.keys()) {
        if (cameAtMs.size <= CROWD.agents) break;
        cameAtMs.delete(oldest);
      }
    },
    lackedRoom: (): void => {
      lackedRoomAtMs = clock.now();
    },
    get is(): boolean {
      const sinceMs = clock.now() - CROWD.withinMs;
      const [first = 0] = cameAtMs.values();
      return lackedRoomAtMs > sinceMs || (cameAtMs.size >= CROWD.agents && first > sinceMs);
    },
  };
}
