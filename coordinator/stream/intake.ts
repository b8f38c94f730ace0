import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../common/clock.ts";

/**
 * How many agents are let in at a time, each from the beginning of its handshake to the acknowledgement of its first snapshot, and what
 * the others are told: a storm of thousands is served one after the other, each to its end, because whoever is let in half and gives up
 * has cost as much as one that was let in. Agents are known by the peer of their connection, e.g. "10.0.3.7:40312".
 */
export interface Intake {
  /** A handshake is about to begin; false: there is no room, it is to wait. */
  begin(peer: string): boolean;
  /** Its handshake is done. */
  secured(peer: string): void;
  /** An agent said hello: milliseconds that it is to stay away if nobody had let its connection in and there is no room, else undefined. */
  enter(peer: string): number | undefined;
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
 * Those under way are looked at so often, and their time is counted in looks, not in seconds: one for which the event loop stood still would
 * pass unheard, and whoever has called meanwhile would lose its place.
 */
const LOOK_MS = 250;
/** Who has not sent a snapshot after so many looks, 5 s (an agent whose own list is slow), goes on without a place. Own choice. */
const MOST_LOOKS = 20;
/**
 * Who has made no call so many looks, 1 s, after its handshake wants nothing for now, or for ever: agents of the former version leave such
 * connections behind where a coordinator was away. An agent's call follows at once. Own choice.
 */
const MOST_SILENT = 4;
/** Agents that one core lets in, per second: who is turned away comes back at its own moment. Measured with 30 Pods each: 300 to 500. */
const PER_SECOND = 250;
/** An agent that is turned away keeps its connection meanwhile; above this wait it is told to come back, and asks again. */
const RETRY_MS = { least: 100, most: 5_000 };
/**
 * So many agents within that time are a crowd, and so is one that has to wait for room. Long, because a crowd that falters for a moment has
 * not ended: the lists that would begin then are what it could not bear. Own choice.
 */
const CROWD = { agents: 20, withinMs: 10_000 };

/** How often it was looked at; `silent`: how often since its handshake, without a call; undefined where it called, or shakes hands still. */
type Place = { looks: number; silent: number | undefined };

export function makeIntake(clock: Clock): Intake {
  const listeners = new Set<() => void>();
  const underWay = new Map<string, Place>();
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
    if (underWay.delete(peer)) for (const listener of listeners) listener();
  };
  const begin = (peer: string): boolean => {
    if (underWay.has(peer)) return true;
    if (underWay.size >= MOST) {
      lackedRoomAtMs = clock.now();
      return false;
    }
    underWay.set(peer, { looks: 0, silent: undefined });
    if (!isSweeping) void sweep();
    return true;
  };
  const look = (peer: string, place: Place): void => {
    place.looks += 1;
    if (place.silent !== undefined) place.silent += 1;
    if (place.looks >= MOST_LOOKS || (place.silent ?? 0) >= MOST_SILENT) leave(peer);
  };
  /** One timer for all. */
  const sweep = async (): Promise<void> => {
    isSweeping = true;
    try {
      while (underWay.size > 0) {
        await clock.sleep(LOOK_MS);
        await nextTurn(); // what has arrived is read first
        for (const [peer, place] of Array.from(underWay)) look(peer, place);
      }
    } finally {
      isSweeping = false;
    }
  };
  return {
    begin,
    secured(peer) {
      const place = underWay.get(peer);
      if (place !== undefined) place.silent = 0;
    },
    enter(peer) {
      cameAtMs.push(clock.now());
      if (cameAtMs.length > CROWD.agents) cameAtMs.shift();
      if (!begin(peer)) return turnAway();
      const place = underWay.get(peer);
      if (place !== undefined) place.silent = undefined;
      return undefined;
    },
    leave,
    get crowded() {
      const sinceMs = clock.now() - CROWD.withinMs;
      const [first = 0] = cameAtMs;
      return lackedRoomAtMs > sinceMs || (cameAtMs.length >= CROWD.agents && first > sinceMs);
    },
    onRoom(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
