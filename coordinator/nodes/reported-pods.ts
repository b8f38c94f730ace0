import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../common/clock.ts";
import { isOlder } from "../../common/kubernetes/watched-store.ts";
import { OVER } from "../../common/signals.ts";
import { isEnding, isOver, NO_NETWORKS, type PodFact, podName } from "../../common/vocabulary.ts";
import type { Refusal } from "../state/agent-refusal.ts";
import type { AskedPods } from "./asked-pods.ts";
import { Contradictions } from "./contradictions.ts";
import { type Held, HeldReports } from "./held-reports.ts";
import type { MakePodReader, PodAnswer, PodReader } from "./pod-reader.ts";
import type { PodStore } from "./pod-store.ts";
import type { Refusals } from "./refusals.ts";
import { faultOf, MOST_OF_NODE, sizeOf, tooLarge } from "./report-fault.ts";

export type ReportedPodsDeps = {
  readonly store: PodStore;
  readonly asked: AskedPods;
  readonly readPods: MakePodReader;
  readonly refusals: Refusals;
  /** How many live Pods a node can have. */
  readonly mostPods: (node: string) => number;
  readonly clock: Clock;
};

/** A Pod that has had no address for so long is read as well, so that its condition says what it waits for. A sandbox takes a second. */
const NO_ADDRESS_MS = 5_000;
/** Services come in lists: their Pods are gone through once for all of them. */
const SWEEP_MS = 50;
/** One Pod whose agent contradicts the API server is read at once, and again no sooner than this. */
const REREAD_MS = 5_000;
/** Names asked for, and Pods that lists told of before their agents did; some 200 bytes and 1 kB each. */
const MOST_NAMES = 200_000;
const MOST_AHEAD = 5_000;

/** `read`: version of the Pod as the API server gave it since. */
type Reread = { readonly resourceVersion: string; readonly atMs: number; readonly read?: string };

/**
 * What agents say of Pods, until the API server has said the same. Nothing of a reported Pod counts before the coordinator has read it; from
 * then on UID, namespace, name, node, addresses, labels, hostNetwork, gate and ports are as read, and the agent's word counts for the rest:
 * containers ready, deletion, phase, its end, and what only the node knows. Only Pods that matter are read: those that a served Service
 * selects by the reported labels, whose gate is ours and closed, or whose UID or address a load balancer has.
 *
 * After a restart they are read again, although the records name those that are bound: what counts of a Pod beside its UID, node and address
 * (labels, ports, networks, weights) is not stored, since each change of it would be one more write for each bound Pod, to spare one list for
 * each Service, or for up to 50 of them, in a new process. A leader that stood by has read all of it before.
 */
export class ReportedPods {
  readonly #deps: ReportedPodsDeps;
  readonly #reader: PodReader;
  readonly #held = new HeldReports();
  /** Read and taken, by node; UIDs. */
  readonly #taken = new Map<string, Set<string>>();
  /** UIDs and addresses that somebody has asked for, and addresses of Pods that were read. */
  readonly #names = new Set<string>();
  readonly #ahead = new Map<string, PodFact>();
  /** The last report of a UID that made us read it again. */
  readonly #rereads = new Map<string, Reread>();
  readonly #contradictions = new Contradictions();
  readonly #toSweep = new Set<string | undefined>();
  readonly #signal: AbortSignal;

  constructor(deps: ReportedPodsDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    this.#reader = deps.readPods((answer) => this.#hear(answer), signal);
    deps.asked.follow((namespace) => this.#sweepSoon(namespace));
  }

  /** An agent reports a Pod of its node. "held": it counts when the API server has said the same. */
  offer(pod: PodFact): "taken" | "older" | "over" | "foreign" | "held" | "refused" {
    const { store, clock } = this.#deps;
    const fault = faultOf(pod);
    if (fault !== undefined) return this.#refuse(pod, "name", fault);
    const known = store.pods.get(pod.uid);
    if (known !== undefined) return this.#tell(pod, known);
    if (store.endOf(pod.uid) === "deleted") {
      this.contradicted(pod);
      return "held"; // nobody has it, unless the API server says so
    }
    const ahead = this.#ahead.get(pod.uid);
    if (ahead !== undefined && (ahead.ips.length > 0 || pod.ips.length === 0)) {
      this.#ahead.delete(pod.uid);
      return this.#tell(pod, ahead);
    }
    const before = this.#held.get(pod.nodeName, pod.uid);
    if (before === undefined && this.#isFull(pod)) return this.#refuse(pod, "limit", "a node has no room for so many Pods");
    const characters = sizeOf(pod);
    const all = this.#held.characters(pod.nodeName) - (before?.characters ?? 0) + characters;
    if (all > MOST_OF_NODE) return this.#refuse(pod, "limit", tooLarge("of this Pod and the others of its node", all));
    const held = this.#held.put(pod, clock.now(), characters);
    if (held.state === "refused") return "refused";
    if (held.state === "reading")
      this.#want(held); // its containers may be ready now
    else this.#consider(held);
    if (before === undefined && pod.ips.length === 0) void this.#considerLater(held);
    return "held";
  }

  /** The node does not have it any more. */
  end(node: string, uid: string): void {
    const held = this.#held.get(node, uid);
    if (held !== undefined) this.#held.drop(held);
    if (this.#held.of(uid).length === 0) this.#reader.forget(uid);
    const taken = this.#taken.get(node);
    taken?.delete(uid);
    if (taken?.size === 0) this.#taken.delete(node);
    this.#rereads.delete(uid);
  }

  /** Our own watch has told of it: it was read, in a way. */
  watched(uid: string): void {
    for (const held of this.#held.of(uid)) this.#held.drop(held);
    this.#reader.forget(uid);
    for (const ip of this.#deps.store.pods.get(uid)?.ips ?? []) this.#name(ip);
  }

  /**
   * An agent or our own watch tells of a Pod what is older than what is known, or that it lives although it was deleted: its word counts when
   * the API server says so too, which it does after its data was restored from a backup.
   */
  contradicted(pod: PodFact): void {
    const { store, clock } = this.#deps;
    const known = store.pods.get(pod.uid);
    const isUrgent = this.#contradictions.note(pod, known?.resourceVersion, clock.now()) === "at once";
    this.#reader.want({ reported: known ?? pod, selector: this.#deps.asked.selectorOf(known ?? pod), isUrgent, needsFresh: true });
  }

  /** Some of what the node has said is not judged yet. */
  isReading(node: string): boolean {
    return !this.#deps.asked.known || this.#held.isReading(node);
  }

  /** Reads what is reported with these UIDs or addresses; resolves when that is done. Rejects with the signal's reason only. */
  async confirm(names: readonly string[], signal: AbortSignal): Promise<void> {
    for (const name of names) this.#name(name);
    const concerned = names.flatMap((name) => [...this.#held.of(name), ...this.#held.at(name)]);
    for (const held of concerned) this.#consider(held, true);
    for (const { state, settled } of concerned) if (state === "reading") await aborted(settled, signal);
    signal.throwIfAborted();
  }

  /** Somebody else has read a Pod that is known; what only its node knows stays. */
  learn(pod: PodFact): void {
    const known = this.#deps.store.pods.get(pod.uid);
    if (known === undefined || known.nodeName !== pod.nodeName || isOlder(pod.resourceVersion, known.resourceVersion)) return;
    this.#deps.store.tell(pod, "watch");
  }

  /** `read`: what the API server said of it. */
  #tell(pod: PodFact, read: PodFact): "taken" | "older" | "over" | "foreign" {
    const { store } = this.#deps;
    if (read.nodeName !== pod.nodeName) return this.#refuse(pod, "foreign", `it is on node ${read.nodeName}`);
    this.#recheck(pod, read);
    const outcome = store.tell(withIdentity(pod, read), "agent");
    if (outcome === "taken") this.#noteTaken(read);
    else if (outcome !== "foreign") this.contradicted(pod);
    return outcome;
  }

  #believe(told: PodFact, read: PodFact): void {
    this.#rereads.delete(read.uid);
    this.#deps.store.believe(withIdentity(told, read));
    this.#noteTaken(read);
  }

  #noteTaken({ uid, nodeName, hostNetwork, ips }: PodFact): void {
    const taken = this.#taken.get(nodeName) ?? new Set();
    this.#taken.set(nodeName, taken.add(uid));
    if (!hostNetwork) for (const ip of ips) this.#name(ip);
  }

  /** Labels, networks, weights and addresses may have changed since it was read, nothing else can have. */
  #recheck(pod: PodFact, read: PodFact): void {
    const hasLostAddress = pod.ips.length === 0 && isEnding(pod);
    const isChanged =
      !isDeepStrictEqual(pod.labels, read.labels) ||
      (pod.networks !== NO_NETWORKS && !isDeepStrictEqual(pod.networks, read.networks)) || // an agent of the former version tells of none
      (pod.weights !== undefined && !isDeepStrictEqual(pod.weights, read.weights)) ||
      !(hasLostAddress || isDeepStrictEqual(pod.ips, read.ips));
    const last = this.#rereads.get(pod.uid);
    if (!isChanged) this.#rereads.delete(pod.uid);
    if (isChanged ? last?.resourceVersion === pod.resourceVersion : isOther(pod, read))
      return void this.#refuse(pod, "contradicts", "the API server says otherwise");
    if (!isChanged) return;
    const nowMs = this.#deps.clock.now();
    this.#rereads.set(pod.uid, { resourceVersion: pod.resourceVersion, atMs: nowMs });
    const isUrgent = last === undefined || last.atMs + REREAD_MS < nowMs;
    const reported = { uid: pod.uid, namespace: read.namespace, name: read.name };
    this.#reader.want({ reported, selector: undefined, isUrgent, notBefore: pod.resourceVersion });
  }

  #hear(answer: PodAnswer): void {
    if (answer.kind === "gone") {
      for (const held of this.#held.of(answer.uid)) if (held.state === "reading") this.#unbelieve(held, "unknown", "there is no such Pod");
      return;
    }
    const { pod, askedAtMs } = answer;
    const { store } = this.#deps;
    const confirmed = this.#contradictions.confirmedBy(pod, askedAtMs);
    if (confirmed !== undefined) this.#believe(confirmed, pod);
    const known = store.pods.get(pod.uid);
    if (known !== undefined) this.#takeReread(known, pod);
    const reports = this.#held.of(pod.uid);
    for (const held of reports)
      if (held.node !== pod.nodeName) this.#unbelieve(held, "foreign", `it is on node ${pod.nodeName || "(none)"}`);
      else {
        this.#held.drop(held);
        // Of a Pod that another node had, and has no more: a restored database may have it scheduled anew.
        if (this.#tell(held.fact, pod) === "foreign") this.#believe(held.fact, pod);
      }
    if (known === undefined && reports.length === 0 && store.endOf(pod.uid) === undefined) this.#keepAhead(pod);
  }

  /** Only where it was read for that: what a list tells may be older than what is known. */
  #takeReread(known: PodFact, pod: PodFact): void {
    const reread = this.#rereads.get(pod.uid);
    if (reread === undefined || isOlder(pod.resourceVersion, reread.read ?? "")) return;
    this.#rereads.set(pod.uid, { ...reread, read: pod.resourceVersion });
    if (!pod.hostNetwork) for (const ip of pod.ips) this.#name(ip);
    this.#deps.store.tell({ ...withIdentity(known, pod), startedAtMs: known.startedAtMs }, "agent");
  }

  #keepAhead(pod: PodFact): void {
    this.#ahead.delete(pod.uid);
    this.#ahead.set(pod.uid, pod);
    for (const oldest of this.#ahead.keys()) {
      if (this.#ahead.size <= MOST_AHEAD) break;
      this.#ahead.delete(oldest);
    }
  }

  #unbelieve(held: Held, why: Refusal, because: string): void {
    this.#held.refuse(held);
    this.#refuse(held.fact, why, because);
  }

  /** Reads it if it matters and has an address, or has had none for long. */
  #consider(held: Held, isWanted = false): void {
    if (held.state !== "idle" || !this.#deps.asked.known) return;
    const { fact } = held;
    const isLate = held.sinceMs + NO_ADDRESS_MS <= this.#deps.clock.now();
    if (!isWanted && fact.ips.length === 0 && !isLate) return;
    if (!isWanted && !this.#matters(fact)) return;
    this.#held.read(held);
    this.#want(held);
  }

  #matters(pod: PodFact): boolean {
    // A gate that is open and that no Service's selector leads to waits for nobody; after a restart there are as many as serve.
    const waitsForUs = pod.hasGate && (pod.gate !== "True" || isEnding(pod));
    if (waitsForUs || this.#names.has(pod.uid) || pod.ips.some((ip) => this.#names.has(ip))) return true;
    return this.#deps.asked.selectorOf(pod) !== undefined;
  }

  /** A node that invents Pods one after the other gets no question at once for each of them. */
  #want({ fact, node }: Held): void {
    const { asked, refusals } = this.#deps;
    const isUrgent = (fact.containersReady || isEnding(fact)) && !refusals.isSuspect(node);
    this.#reader.want({ reported: fact, selector: asked.selectorOf(fact), isUrgent });
  }

  async #considerLater(held: Held): Promise<void> {
    const { clock } = this.#deps;
    await clock.sleep(NO_ADDRESS_MS, held.settled).catch(() => undefined);
    if (!held.settled.aborted) this.#consider(held);
  }

  #sweepSoon(namespace: string | undefined): void {
    this.#toSweep.add(namespace);
    if (this.#toSweep.size > 1) return;
    this.#deps.clock.sleep(SWEEP_MS, this.#signal).then(
      () => this.#sweep(),
      () => undefined,
    );
  }

  #sweep(): void {
    const namespaces = this.#toSweep.has(undefined) ? [undefined] : [...this.#toSweep];
    this.#toSweep.clear();
    for (const one of namespaces) for (const held of this.#held.in(one)) this.#consider(held);
  }

  /** Of Pods that have ended a node may keep thousands. */
  #isFull(pod: PodFact): boolean {
    const most = this.#deps.mostPods(pod.nodeName);
    const taken = this.#taken.get(pod.nodeName)?.size ?? 0;
    if (isOver(pod) || taken + this.#held.size(pod.nodeName) < most) return false;
    return taken + this.#held.count(pod.nodeName, ({ fact }) => !isOver(fact)) >= most;
  }

  #name(name: string): void {
    this.#names.add(name);
    for (const oldest of this.#names) {
      if (this.#names.size <= MOST_NAMES) break;
      this.#names.delete(oldest);
    }
  }

  #refuse(pod: PodFact, why: "foreign", because: string): "foreign";
  #refuse(pod: PodFact, why: Refusal, because: string): "refused";
  #refuse(pod: PodFact, why: Refusal, because: string): "foreign" | "refused" {
    this.#deps.refusals.note(pod.nodeName, why, { pod: podName(pod).slice(0, 320), uid: pod.uid.slice(0, 64), because });
    return why === "foreign" ? "foreign" : "refused";
  }
}

/** A report with all that the API server knows better. A deletion that either has seen stands: it is never taken back. */
function withIdentity(reported: PodFact, read: PodFact): PodFact {
  const { uid, namespace, name, nodeName, ips, labels, networks, weights, hostNetwork, ports, hasGate, drain, drainBecause } = read;
  const identity = {
    ...(drain !== undefined && { drain }),
    ...(drainBecause !== undefined && { drainBecause }),
    uid,
    namespace,
    name,
    nodeName,
    ips,
    labels,
    networks,
    weights,
    hostNetwork,
    ports,
    hasGate,
  };
  const startedAtMs = read.startedAtMs ?? reported.startedAtMs;
  return { ...reported, ...identity, startedAtMs, deletionAtMs: reported.deletionAtMs ?? read.deletionAtMs };
}

/** Says of a Pod what cannot have changed. */
const isOther = (pod: PodFact, { namespace, name, hostNetwork, hasGate, ports }: PodFact): boolean =>
  !isDeepStrictEqual({ ...pod, namespace, name, hostNetwork, hasGate, ports }, pod);

/** Resolves when one of them aborts. */
const aborted = async (one: AbortSignal, other: AbortSignal): Promise<void> => {
  if (one.aborted || other.aborted) return;
  const over = new AbortController();
  await new Promise<void>((resolve) => {
    for (const signal of [one, other]) signal.addEventListener("abort", () => resolve(), { once: true, signal: over.signal });
  });
  over.abort(OVER);
};
