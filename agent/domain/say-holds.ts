/** What an agent says of its holds on one stream, and what it said. */
import { type HeldPod, type HoldProof, type ReleasedPod, stoppedAtMs } from "../../common/holds.ts";

/** A Pod that waits, since a time of the injected clock; another object after each change. */
export type Held = Omit<HeldPod, "heldMs"> & { readonly sinceMs: number };

/** A Pod whose calls were answered at a time of the injected clock; `number` counts up by one with each. */
export type Ended = { readonly number: number; readonly atMs: number; readonly pod: Omit<ReleasedPod, "agoMs"> };

/** The latest of it; another object after each change. */
export type HoldsReport = {
  /** By UID. */
  readonly held: ReadonlyMap<string, Held>;
  /** The newest ones, oldest first. */
  readonly released: readonly Ended[];
  readonly proof: HoldProof;
  /** This agent was told to stop. */
  readonly leaving: boolean;
};

export type HoldsStep =
  | { readonly kind: "leaving" }
  | { readonly kind: "holdProof"; readonly proof: HoldProof }
  | { readonly kind: "heldPods"; readonly complete: boolean; readonly pods: readonly Held[]; readonly released: readonly Ended[] };

export type HoldsSaid = {
  readonly held: HoldsReport["held"] | undefined;
  /** The last one said, or the last one when the stream began. */
  readonly releasedNumber: number | undefined;
  readonly proof: HoldProof | undefined;
  readonly leaving: boolean;
};

export const NOTHING_SAID: HoldsSaid = { held: undefined, releasedNumber: undefined, proof: undefined, leaving: false };

/** undefined: all is said. `canTellPods`: the other end knows the Pods of this node. */
export function holdsStep(said: HoldsSaid, now: HoldsReport, canTellPods: boolean, nowMs: number): HoldsStep | undefined {
  if (now.leaving && !said.leaving) return { kind: "leaving" };
  const { held: before, releasedNumber } = said;
  if (releasedNumber === undefined) {
    // Before the Pods are told: a coordinator that has just started might give one its weight back whose container is being stopped.
    const recent = now.released.filter((one) => mayStop(one, nowMs));
    if (recent.length > 0) return { kind: "heldPods", complete: false, pods: [], released: recent };
  }
  if (!canTellPods) return undefined;
  const released = releasedNumber === undefined ? [] : now.released.filter(({ number }) => number > releasedNumber);
  if (before === undefined) return { kind: "heldPods", complete: true, pods: [...now.held.values()], released };
  const pods = [...now.held.values()].filter((pod) => before.get(pod.uid) !== pod);
  const told = new Set(released.map(({ pod }) => pod.uid));
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
      return {
        ...said,
        held: step.complete || said.held !== undefined ? now.held : undefined,
        releasedNumber: now.released.at(-1)?.number ?? said.releasedNumber ?? 0,
      };
    default:
      return step satisfies never;
  }
}

/** Its containers may not have stopped by now. */
const mayStop = ({ atMs, pod: { heldMs, graceSeconds } }: Ended, nowMs: number): boolean =>
  nowMs < stoppedAtMs({ sinceMs: atMs - heldMs, releasedAtMs: atMs, graceSeconds });
