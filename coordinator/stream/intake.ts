import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../common/clock.ts";
import { addressOf } from "./peer.ts";

/**
 * How many agents are let in at a time, each from the beginning of its handshake to the acknowledgement of its first snapshot, and what
 * the others are told: a storm of thousands is served one after the other, each to its end, because whoever is let in half and gives up
 * has cost as much as one that was let in. Agents are known by the peer of their connection, e.g. "10.0.3.7:40312". An address that has many
 * places makes way for others that wait: one stranger keeps nobody out, and many agents behind one address have all places while they are alone.
 */
export interface Intake {
  /** A handshake is about to begin; false: there is no room, it is to wait. */
  begin(peer: string): boolean;
  /** Whether there is room for anybody at all, be it only for peers of addresses that have few places. */
  readonly hasRoom: boolean;
  /** Its handshake is done. */
  secured(peer: string): void;
  /** An agent said hello: milliseconds that it is to stay away if nobody had let its connection in and there is no room, else undefined. */
  enter(peer: string): number | undefined;
  /** One that had entered is an agent: its token was accepted. Strangers are no crowd. */
  admitted(peer: string): void;
  /** Called with the peer of each agent that is admitted. Returns the way to unsubscribe. */
  onAdmitted(listener: (peer: string) => void): () => void;
  /** It is in, or gone. */
  leave(peer: string): void;
  /** Agents come in numbers: nodes without one may well hear of theirs before long. */
  readonly crowded: boolean;
  /** Called when there is room again. Returns the way to unsubscribe. */
  onRoom(listener: () => void): () => void;
}

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
/** Agents that one core lets in, per second: who is turned away comes back at its own moment. Measured with 30 Pods each: 300 to 500. */
const PER_SECOND = 250;
/** An agent that is turned away keeps its connection meanwhile; above this wait it is told to come back, and asks again. */
const RETRY_MS = { least: 100, most: 5_000 };
/**
 * So many agents within that time are a crowd, and so is one that has to wait for room. Long, because a crowd that falters for a moment has
 * not ended: the lists that would begin then are what it could not bear. Own choice.
 */
const CROWD = { agents: 20, withinMs: 10_000 };

/** How often it was looked at, all in all and since its stage began, and which stage it is to end next. */
type Place = { looks: number; inStage: number; stage: "handshake" | "call" | "snapshot" };

export function makeIntake(clock: Clock): Intake {
  const listeners = new Set<() => void>();
  const admissions = new Set<(peer: string) => void>();
  const places = makePlaces();
  let isSweeping = false;
  /** When the last few came, oldest first. */
  const cameAtMs: number[] = [];
  /** When the next one that is turned away may come. */
  let nextAtMs = 0;
  let lackedRoomAtMs = Number.NEGATIVE_INFINITY;

  const turnAway = (): number => {
    const nowMs = clock.now();
    nextAtMs = Math.max(nextAtMs, nowMs) + 1_000 / PER_SECOND;
    return Math.round(Math.min(RETRY_MS.most, Math.max(RETRY_MS.least, nextAtMs - nowMs)));
  };
  const leave = (peer: string): void => {
    if (places.delete(peer)) for (const listener of listeners) listener();
  };
  const begin = (peer: string): boolean => {
    if (places.has(peer)) return true;
    if (places.size >= MOST) {
      if (places.ofAddress(peer) >= KEPT) return false; // it waits for its like, which is no crowd
      const other = places.spare();
      if (other === undefined) {
        lackedRoomAtMs = clock.now();
        return false;
      }
      places.delete(other); // it goes on all the same
    }
    places.add(peer);
    if (!isSweeping) void sweep();
    return true;
  };
  const enterStage = (peer: string, stage: Place["stage"]): void => {
    const place = places.get(peer);
    if (place !== undefined) Object.assign(place, { stage, inStage: 0 });
  };
  const look = (peer: string, place: Place): void => {
    place.looks += 1;
    place.inStage += 1;
    const most = place.stage === "snapshot" ? MOST_LOOKS.all : MOST_LOOKS[place.stage];
    if (place.looks >= MOST_LOOKS.all || place.inStage >= most) leave(peer);
  };
  /** One timer for all. */
  const sweep = async (): Promise<void> => {
    isSweeping = true;
    try {
      while (places.size > 0) {
        await clock.sleep(LOOK_MS);
        await nextTurn(); // what has arrived is read first
        for (const [peer, place] of places.all()) look(peer, place);
      }
    } finally {
      isSweeping = false;
    }
  };
  return {
    begin,
    get hasRoom() {
      return places.size < MOST || places.spare() !== undefined;
    },
    secured: (peer) => enterStage(peer, "call"),
    enter(peer) {
      if (!begin(peer)) return turnAway();
      enterStage(peer, "snapshot");
      return undefined;
    },
    admitted(peer) {
      for (const listener of admissions) listener(peer);
      cameAtMs.push(clock.now());
      if (cameAtMs.length > CROWD.agents) cameAtMs.shift();
    },
    leave,
    get crowded() {
      const sinceMs = clock.now() - CROWD.withinMs;
      const [first = 0] = cameAtMs;
      return lackedRoomAtMs > sinceMs || (cameAtMs.length >= CROWD.agents && first > sinceMs);
    },
    onAdmitted: (listener) => subscribe(admissions, listener),
    onRoom: (listener) => subscribe(listeners, listener),
  };
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Who has a place, the oldest first. */
function makePlaces() {
  const all = new Map<string, Place>();
  const byAddress = new Map<string, Set<string>>();
  return {
    get size() {
      return all.size;
    },
    /** A copy. */
    all: () => Array.from(all),
    has: (peer: string) => all.has(peer),
    get: (peer: string) => all.get(peer),
    /** How many peers with its address there are. */
    ofAddress: (peer: string) => byAddress.get(addressOf(peer))?.size ?? 0,
    /** Whose place is free for others: the oldest one of the address that has the most, and more than it keeps. */
    spare(): string | undefined {
      let most: ReadonlySet<string> | undefined;
      for (const peers of byAddress.values()) if (peers.size > Math.max(KEPT, most?.size ?? 0)) most = peers;
      return most?.values().next().value;
    },
    add(peer: string): void {
      const address = addressOf(peer);
      all.set(peer, { looks: 0, inStage: 0, stage: "handshake" });
      byAddress.set(address, (byAddress.get(address) ?? new Set()).add(peer));
    },
    delete(peer: string): boolean {
      const address = addressOf(peer);
      const peers = byAddress.get(address);
      peers?.delete(peer);
      if (peers?.size === 0) byAddress.delete(address);
      return all.delete(peer);
    },
  };
}
