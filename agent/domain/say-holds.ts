/** What an agent says of its holds on one stream, and what it said. */
import type { HoldProof, ReleasedPod } from "../../common/holds.ts";

/** A Pod that waits, since a time of the injected clock; another object after each change. `graceSeconds` as in HeldPod. */
export type Held = {
  readonly uid: string;
  readonly sinceMs: number;
  readonly openConnections: number | undefined;
  readonly graceSeconds?: number | undefined;
};

/** The latest of it; another object after each change. */
export type HoldsReport = {
  /** By UID. */
  readonly held: ReadonlyMap<string, Held>;
  /** The newest ones, oldest first; `number` counts up by one with each. */
  readonly released: readonly { readonly number: number; readonly pod: ReleasedPod }[];
  readonly proof: HoldProof;
  /** This agent was told to stop. */
  readonly leaving: boolean;
};

export type HoldsStep =
  | { readonly kind: "leaving" }
  | { readonly kind: "holdProof"; readonly proof: HoldProof }
  | { readonly kind: "heldPods"; readonly complete: boolean; readonly pods: readonly Held[]; readonly released: readonly ReleasedPod[] };

export type HoldsSaid = {
  readonly held: HoldsReport["held"] | undefined;
  /** The last one said, or the last one before the stream: of what ended earlier another stream has told. */
  readonly releasedNumber: number | undefined;
  readonly proof: HoldProof | undefined;
  readonly leaving: boolean;
};

export const NOTHING_SAID: HoldsSaid = { held: undefined, releasedNumber: undefined, proof: undefined, leaving: false };

/** undefined: all is said. `canTellPods`: the other end knows the Pods of this node. */
export function holdsStep(said: HoldsSaid, now: HoldsReport, canTellPods: boolean): HoldsStep | undefined {
  if (now.leaving && !said.leaving) return { kind: "leaving" };
  if (!canTellPods) return undefined;
  const { held: before } = said;
  if (before === undefined) return { kind: "heldPods", complete: true, pods: [...now.held.values()], released: [] };
  const pods = [...now.held.values()].filter((pod) => before.get(pod.uid) !== pod);
  const released = now.released.filter(({ number }) => number > (said.releasedNumber ?? 0)).map(({ pod }) => pod);
  const told = new Set(released.map(({ uid }) => uid));
  const isMissing = [...before.keys()].some((uid) => !now.held.has(uid) && !told.has(uid));
  if (isMissing) return { kind: "heldPods", complete: true, pods: [...now.held.values()], released };
  if (pods.length > 0 || released.length > 0) return { kind: "heldPods", complete: false, pods, released };
  return now.proof === said.proof ? undefined : { kind: "holdProof", proof: now.proof };
}

/** After the step was written. */
export function afterHoldsStep(said: HoldsSaid, step: HoldsStep, now: HoldsReport): HoldsSaid {
  switch (step.kind) {
    case "leaving":
      return { ...said, leaving: true };
    case "holdProof":
      return { ...said, proof: step.proof };
    case "heldPods":
      return { ...said, held: now.held, releasedNumber: now.released.at(-1)?.number ?? said.releasedNumber ?? 0 };
    default:
      return step satisfies never;
  }
}
