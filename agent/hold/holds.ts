import type { Clock } from "../../common/clock.ts";
import type { HoldAnswer, HoldEnd } from "../../common/holds.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import { type Deletion, type Hold, judgeHold, withDeletion } from "../domain/hold-budget.ts";
import type { HoldPod, Released } from "./messages.ts";

export type HoldsDeps = {
  /** Who is held has changed. */
  readonly onHeld: () => void;
  /** `addresses`: of a Pod that ends now; none where it lives on. */
  readonly onReleased: (pod: Released, addresses: readonly string[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
};

/** A preStop call that waits: `answer` ends it; never throws. */
export type Waiting = { readonly answer: (text: string) => void };

/** A Pod that the API server just forgot is still dialled for (`--force`: 40 ms later), and its containers may still be there. */
const GONE_MS = 30_000;

/** As in FromAgent. */
type Told = {
  readonly complete: boolean;
  readonly pods: readonly HoldPod[];
  readonly removed: readonly string[];
  readonly absent?: readonly string[] | undefined;
};
/** `isProven`: it has ended; else it is merely not listed any more, and what is held goes on. */
type Known = HoldPod & { readonly goneAtMs: number | undefined; readonly isProven: boolean };
type Entry = {
  readonly uid: string;
  readonly firstDialMs: number;
  readonly calls: Set<Waiting>;
  deletion: Hold["deletion"];
  answer: Hold["answer"];
  reason: string;
  open: Hold["open"];
  wasAnswered: boolean;
  ended: HoldEnd | undefined;
  timer: AbortController | undefined;
};

/** The Pods of the node whose calls come here, and the calls that wait. A timer of its own ends each, whatever becomes of the agent. */
export class Holds {
  readonly #deps: HoldsDeps;
  readonly #pods = new Map<string, Known>();
  readonly #entries = new Map<string, Entry>();

  constructor(deps: HoldsDeps) {
    this.#deps = deps;
  }

  setPods({ pods, removed, absent = [], complete }: Told): void {
    const nowMs = this.#deps.clock.now();
    const listed = new Set(pods.map(({ uid }) => uid));
    const missing = complete ? [...this.#pods.keys()].filter((uid) => !listed.has(uid)) : absent;
    for (const uid of [...missing, ...removed]) {
      const known = this.#pods.get(uid);
      const isProven = known?.isProven === true || removed.includes(uid);
      if (known !== undefined) this.#pods.set(uid, { ...known, goneAtMs: known.goneAtMs ?? nowMs, isProven });
    }
    for (const pod of pods) this.#pods.set(pod.uid, { ...pod, goneAtMs: undefined, isProven: false });
    for (const uid of [...removed, ...listed]) this.#judge(this.#entries.get(uid));
    this.#forget(nowMs);
  }

  setAnswers(answers: readonly HoldAnswer[]): void {
    const nowMs = this.#deps.clock.now();
    for (const { uid, state, terminating, drainMs, reason, deletionAtMs, graceSeconds } of answers) {
      const entry = this.#entries.get(uid);
      if (entry === undefined) continue;
      const loweredAtMs = entry.answer?.loweredAtMs ?? (state === "lowered" ? nowMs : undefined);
      entry.answer = { state, terminating: terminating || entry.answer?.terminating === true, drainMs, loweredAtMs };
      entry.reason = reason;
      if (deletionAtMs !== undefined && graceSeconds !== undefined) note(entry, { atMs: deletionAtMs, graceSeconds });
      this.#judge(entry);
    }
  }

  /** By address. */
  setCounts(counts: ReadonlyMap<string, number>): void {
    const atMs = this.#deps.clock.now();
    for (const entry of this.#entries.values()) {
      const found = (this.#pods.get(entry.uid)?.ips ?? []).flatMap((ip) => counts.get(ip) ?? []);
      if (found.length === 0 || entry.ended !== undefined) continue;
      entry.open = { connections: found.reduce((sum, count) => sum + count, 0), atMs };
      this.#judge(entry);
    }
    this.#deps.onHeld();
  }

  /** A call for the Pod of that address with that token; undefined: there is none. The result is to be called when the caller hangs up. */
  dial(address: string, token: string, waiting: Waiting): (() => void) | undefined {
    const pod = this.#podOf(address, token);
    if (pod === undefined) return undefined;
    const known = this.#entries.get(pod.uid);
    const entry = known ?? this.#newEntry(pod);
    if (entry.ended !== undefined) {
      waiting.answer(entry.ended); // a kubelet that was restarted asks again; the grace period has begun with the first call
      return () => undefined;
    }
    entry.calls.add(waiting);
    if (known === undefined) this.#deps.log.info({ pod: pod.name, deletion: pod.deletion }, "hold begins");
    this.#judge(entry);
    if (known === undefined) this.#deps.onHeld();
    return () => void entry.calls.delete(waiting);
  }

  /** Pods that are held now. */
  get held(): readonly { readonly uid: string; readonly heldMs: number; readonly openConnections?: number }[] {
    const nowMs = this.#deps.clock.now();
    return this.#running.map(({ uid, firstDialMs, open }) => ({
      uid,
      heldMs: nowMs - firstDialMs,
      ...(open !== undefined && { openConnections: open.connections }),
    }));
  }

  /** Addresses whose packets matter. */
  get heldAddresses(): ReadonlySet<string> {
    return new Set(this.#running.flatMap(({ uid }) => this.#pods.get(uid)?.ips ?? []));
  }

  /** Addresses whose calls come here; those of Pods that are gone as well, for a moment. */
  get addresses(): ReadonlySet<string> {
    this.#forget(this.#deps.clock.now());
    return new Set(Array.from(this.#pods.values()).flatMap(({ ips }) => ips));
  }

  /** Addresses of Pods that are to stay: a call to one of them goes the way of a preStop call. */
  get livingAddresses(): readonly string[] {
    return [...this.#pods.values()].flatMap(({ ips, goneAtMs, deletion }) => (goneAtMs === undefined && deletion === undefined ? ips : []));
  }

  /** No time is left: drains that have begun end now. */
  cutDrains(): void {
    for (const entry of this.#running) if (entry.answer?.state === "lowered") this.#end(entry, "drain-time");
  }

  get #running(): readonly Entry[] {
    return [...this.#entries.values()].filter(({ ended }) => ended === undefined);
  }

  /** The token is of one Pod, unless somebody copied it: then the address decides. A Pod's address may not be known yet. */
  #podOf(address: string, token: string): Known | undefined {
    const those = [...this.#pods.values()].filter((pod) => pod.token === token);
    return those.find(({ ips }) => ips.includes(address)) ?? those.find(({ ips }) => ips.length === 0);
  }

  #newEntry({ uid, deletion }: Known): Entry {
    const entry: Entry = {
      uid,
      firstDialMs: this.#deps.clock.now(),
      calls: new Set(),
      deletion: withDeletion(undefined, deletion),
      answer: undefined,
      reason: "",
      open: undefined,
      wasAnswered: false,
      ended: undefined,
      timer: undefined,
    };
    this.#entries.set(uid, entry);
    return entry;
  }

  #judge(entry: Entry | undefined): void {
    const pod = entry && this.#pods.get(entry.uid);
    if (entry === undefined || pod === undefined || entry.ended !== undefined) return;
    entry.timer?.abort(OVER);
    note(entry, pod.deletion);
    const nowMs = this.#deps.clock.now();
    const judgement = judgeHold({ ...entry, podGraceSeconds: pod.graceSeconds, isGone: pod.isProven }, nowMs);
    if (judgement.kind === "over") return this.#end(entry, judgement.end);
    const timer = new AbortController();
    entry.timer = timer;
    this.#deps.clock.sleep(Math.max(1, Math.ceil(judgement.untilMs - nowMs)), timer.signal).then(
      () => this.#judge(entry),
      () => undefined,
    );
  }

  #end(entry: Entry, because: HoldEnd): void {
    const { clock, log } = this.#deps;
    entry.timer?.abort(OVER);
    const nowMs = clock.now();
    const end = entry.calls.size === 0 ? "aborted" : because;
    entry.ended = end;
    for (const { answer } of entry.calls) answer(end);
    const { uid, firstDialMs, answer, open } = entry;
    const heldMs = nowMs - firstDialMs;
    const pod = this.#pods.get(uid);
    const lowered = answer?.loweredAtMs !== undefined;
    log.info(
      { pod: pod?.name ?? uid, end, heldMs: Math.round(heldMs), lowered, open: open?.connections, reason: entry.reason },
      "hold ends",
    );
    const drainMs = answer?.loweredAtMs === undefined ? {} : { drainMs: nowMs - answer.loweredAtMs };
    const killed = end === "aborted" || (pod?.isProven === true && end === "budget");
    const livesOn = entry.deletion === undefined && pod?.goneAtMs === undefined && answer?.terminating !== true;
    this.#deps.onReleased({ uid, end, lowered, heldMs, killed, ...drainMs }, livesOn ? [] : (pod?.ips ?? []));
    // A Pod that lives on may be held again; of one that ends, the kubelet's further calls are answered at once.
    if (livesOn) this.#entries.delete(uid);
    this.#deps.onHeld();
  }

  #forget(nowMs: number): void {
    for (const [uid, { goneAtMs, isProven, ips }] of this.#pods) {
      const isTaken = goneAtMs !== undefined && this.#isTaken(uid, ips);
      if (goneAtMs === undefined || (nowMs < goneAtMs + GONE_MS && !isTaken)) continue;
      const entry = this.#entries.get(uid);
      const isHeld = entry !== undefined && entry.ended === undefined;
      if (isHeld && !isProven && !isTaken) continue; // its budget ends it
      if (isHeld) this.#end(entry, "aborted");
      this.#pods.delete(uid);
      this.#entries.delete(uid);
    }
  }

  #isTaken(uid: string, ips: readonly string[]): boolean {
    return ips.some((ip) =>
      [...this.#pods.values()].some((other) => other.uid !== uid && other.goneAtMs === undefined && other.ips.includes(ip)),
    );
  }
}

function note(entry: Entry, seen: Deletion | undefined): void {
  const { deletion } = entry;
  // Watch and coordinator may tell it in either order: the earlier one counts, it only ever gets shorter.
  if (seen !== undefined && deletion !== undefined && seen.atMs >= deletion.now.atMs) return;
  entry.deletion = withDeletion(deletion, seen);
}
