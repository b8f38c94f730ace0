/**
 * Generated messages <-> the types of common/holds.ts, checked: what cannot be is left out, texts and numbers are cut to what is sensible.
 * Numbers of enums that this version does not know stop here.
 */
import type { HeldPod, HeldPods, HoldAnswer, HoldEnd, HoldProof, HoldState, ReleasedPod } from "../common/holds.ts";
import { cutText } from "./cut-text.ts";
import * as wire from "./gen/clb/direct/v1/node_stream.ts";

/** As in a PodReport: UUIDs, and what static Pods have. */
const UID = /^[A-Za-z0-9._-]{1,64}$/;
/** Texts from the other end are for a person; what is longer is cut. */
const LONGEST_TEXT = 400;
/** Pods of one message: more than a node may have (Kubernetes' own limit is 110, TKE's 256). What comes above that is none of a node. */
const MOST_PODS = 1_024;
/** A day: no hold is longer, and a sum of such numbers stays exact. */
const LONGEST_MS = 86_400_000;
/** Kubernetes takes any grace; beyond a day nobody counts. */
const LONGEST_GRACE_SECONDS = 86_400;

const END_NUMBERS: Readonly<Record<HoldEnd, wire.HoldEnd>> = {
  unknown: wire.HoldEnd.HOLD_END_UNSPECIFIED,
  drained: wire.HoldEnd.HOLD_END_DRAINED,
  "drain-time": wire.HoldEnd.HOLD_END_DRAIN_TIME,
  budget: wire.HoldEnd.HOLD_END_BUDGET,
  released: wire.HoldEnd.HOLD_END_RELEASED,
  "no-word": wire.HoldEnd.HOLD_END_NO_WORD,
  aborted: wire.HoldEnd.HOLD_END_ABORTED,
};
const STATE_NUMBERS: Readonly<Record<HoldState, wire.HoldState>> = {
  wait: wire.HoldState.HOLD_STATE_WAIT,
  lowered: wire.HoldState.HOLD_STATE_LOWERED,
  release: wire.HoldState.HOLD_STATE_RELEASE,
};

export const toHeldPods = ({ complete, pods, released }: HeldPods): wire.HeldPods => ({
  complete,
  pods: pods.map(({ uid, heldMs, openConnections, graceSeconds, restarts }) => ({
    uid,
    heldMs: whole(heldMs),
    openConnections,
    graceSeconds: wholeSeconds(graceSeconds),
    restarts,
  })),
  released: released.map(({ uid, end, lowered, heldMs, agoMs, graceSeconds, restarts }) => ({
    uid,
    end: END_NUMBERS[end],
    lowered,
    heldMs: whole(heldMs),
    agoMs: agoMs === undefined ? undefined : whole(agoMs),
    graceSeconds: wholeSeconds(graceSeconds),
    restarts,
  })),
});

export const fromHeldPods = ({ complete, pods, released }: wire.HeldPods): HeldPods => ({
  complete,
  pods: few(pods).map(
    ({ uid, heldMs, openConnections, ...same }): HeldPod => ({ uid, heldMs: whole(heldMs), openConnections, ...fromStop(same) }),
  ),
  released: few(released).map(
    ({ uid, end, lowered, heldMs, agoMs, ...same }): ReleasedPod => ({
      uid,
      end: nameOf(END_NUMBERS, end) ?? "unknown",
      lowered,
      heldMs: whole(heldMs),
      ...(agoMs !== undefined && { agoMs: whole(agoMs) }),
      ...fromStop(same),
    }),
  ),
});

/** How long its containers may take to stop, and by what one knows that they have been started anew; where it is known. */
const fromStop = ({
  graceSeconds,
  restarts,
}: Pick<wire.HeldPod, "graceSeconds" | "restarts">): Pick<HeldPod, "graceSeconds" | "restarts"> => ({
  ...(graceSeconds !== undefined && { graceSeconds: Math.min(graceSeconds, LONGEST_GRACE_SECONDS) }),
  ...(restarts !== undefined && { restarts }),
});

export const toHoldAnswer = ({ deletionAtMs, state, drainMs, ...same }: HoldAnswer): wire.HoldAnswer => ({
  ...same,
  reason: cutText(same.reason, LONGEST_TEXT),
  state: STATE_NUMBERS[state],
  deletionAt: deletionAtMs === undefined ? undefined : new Date(deletionAtMs),
  drainMs: whole(drainMs),
});

/** A state that this version does not know is one of waiting: the budget decides. */
export const fromHoldAnswers = ({ pods }: wire.HoldAnswers): readonly HoldAnswer[] =>
  few(pods).map(({ deletionAt, state, drainMs, graceSeconds, ...same }) => ({
    ...same,
    reason: cutText(same.reason, LONGEST_TEXT),
    state: nameOf(STATE_NUMBERS, state) ?? "wait",
    deletionAtMs: deletionAt?.getTime(),
    graceSeconds: graceSeconds === undefined ? undefined : Math.min(graceSeconds, LONGEST_GRACE_SECONDS),
    drainMs: whole(drainMs),
  }));

export const toHoldProof = ({ proven, because }: HoldProof): wire.HoldProof => ({ proven, because: cutText(because, LONGEST_TEXT) });

export const fromHoldProof = ({ proven, because }: wire.HoldProof): HoldProof => ({ proven, because: cutText(because, LONGEST_TEXT) });

/** Those with an UID that can be one, as many as a node may have. */
const few = <T extends { readonly uid: string }>(pods: readonly T[]): readonly T[] =>
  pods.filter(({ uid }) => UID.test(uid)).slice(0, MOST_PODS);

const wholeSeconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.min(LONGEST_GRACE_SECONDS, Math.max(0, Math.ceil(seconds)));

/** Whole milliseconds between 0 and a day. */
const whole = (ms: number): number => Math.min(LONGEST_MS, Math.max(0, Math.round(ms)));

function nameOf<K extends string>(numbers: Readonly<Record<K, number>>, wanted: number): K | undefined {
  for (const name in numbers) if (numbers[name] === wanted) return name;
  return undefined;
}
