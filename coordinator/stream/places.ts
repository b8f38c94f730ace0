import { addressOf } from "./peer.ts";

/** How often it was looked at, all in all and since its stage began, and which stage it is to end next. */
export type Place = { looks: number; inStage: number; stage: "handshake" | "call" | "snapshot" };

/** Who has a place, by peer, e.g. "10.0.3.7:40312". An address that has more than it keeps makes way for others. */
export interface Places {
  readonly size: number;
  readonly isFull: boolean;
  /** Whether there is room for anybody at all, be it only for peers of addresses that have few places. */
  readonly hasRoom: boolean;
  /** A copy, the oldest first. */
  all(): readonly (readonly [string, Place])[];
  has(peer: string): boolean;
  /** Whether that address has fewer places than it keeps. */
  hasFew(address: string): boolean;
  /** Whether it has a place now. Where all are taken the oldest one of the address that has the most loses its own; it goes on all the same. */
  take(peer: string): boolean;
  enterStage(peer: string, stage: Place["stage"]): void;
  /** False: it had none. */
  delete(peer: string): boolean;
}

/** `kept`: of each address, where others want them. `onLack`: somebody found none, who is not only one of many of its address. */
export function makePlaces(limits: { readonly most: number; readonly kept: number }, onLack: () => void): Places {
  const { most, kept } = limits;
  const all = new Map<string, Place>();
  const byAddress = new Map<string, Set<string>>();

  const hasFew = (address: string): boolean => (byAddress.get(address)?.size ?? 0) < kept;
  /** The oldest one of the address that has the most, and more than it keeps. */
  const spare = (): string | undefined => {
    let largest: ReadonlySet<string> | undefined;
    for (const peers of byAddress.values()) if (peers.size > Math.max(kept, largest?.size ?? 0)) largest = peers;
    return largest?.values().next().value;
  };
  const remove = (peer: string): boolean => {
    const address = addressOf(peer);
    const peers = byAddress.get(address);
    peers?.delete(peer);
    if (peers?.size === 0) byAddress.delete(address);
    return all.delete(peer);
  };
  return {
    get size() {
      return all.size;
    },
    get isFull() {
      return all.size >= most;
    },
    get hasRoom() {
      return all.size < most || spare() !== undefined;
    },
    all: () => Array.from(all),
    has: (peer) => all.has(peer),
    hasFew,
    take(peer) {
      if (all.has(peer)) return true;
      const address = addressOf(peer);
      if (all.size >= most) {
        if (!hasFew(address)) return false; // it waits for its like
        const other = spare();
        if (other === undefined) {
          onLack();
          return false;
        }
        remove(other);
      }
      all.set(peer, { looks: 0, inStage: 0, stage: "handshake" });
      byAddress.set(address, (byAddress.get(address) ?? new Set()).add(peer));
      return true;
    },
    enterStage(peer, stage) {
      const place = all.get(peer);
      if (place !== undefined) Object.assign(place, { stage, inStage: 0 });
    },
    delete: remove,
  };
}
