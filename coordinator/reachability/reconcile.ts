import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { VERDICT_DELAY } from "../../common/names.ts";
import type { PodVerdict, PortTask } from "../../common/reachability.ts";
import { isEnding, type PodFact } from "../../common/vocabulary.ts";
import { ClbApiError, isDenied } from "../cloud/clb-error.ts";
import type { Eni } from "../domain/eni.ts";
import { type Hindrance, hindrancesOf } from "../domain/hindrance.ts";
import { networkModeOf, type ResolvedMode, refusalOf } from "../domain/network-mode.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import type { Enis } from "../state/enis.ts";
import type { NodeFindings } from "../state/node-findings.ts";
import { waitsForGate } from "../state/pod-index.ts";
import type { State } from "../state/state.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import type { ClusterNetworks } from "./cluster-networks.ts";
import type { GroupSource } from "./group-source.ts";
import { portTask, type WantedPort, wantedPorts } from "./tasks.ts";
import { BEGINNING_MS, FIRST_WORD_MS, LOOK_AGAIN_MS, MISSING_MS } from "./timing.ts";

export type ReachabilityDeps = {
  readonly state: Pick<State, "facts" | "object" | "objects" | "intents" | "mirror" | "hindrances" | "listening">;
  readonly enis: Enis;
  readonly eniOf: (ip: string, signal: AbortSignal) => Promise<readonly Eni[]>;
  readonly groups: GroupSource;
  readonly networks: ClusterNetworks;
  readonly findings: NodeFindings;
  readonly clusterId: string;
  /** How long a negative verdict may delay a bind. */
  readonly verdictDelayMs: number;
  /** Pods that listen are bound before they are ready, so that this is news; default: they are not. */
  readonly earlyBind?: boolean;
  /** What is decided of the Pod besides its facts has changed. */
  readonly onJudged: (pod: PodFact) => void;
  readonly onVerdict: (verdict: string) => void;
  readonly tell: (problem: Problem) => void;
  readonly clock: Clock;
  readonly log: Logger;
};

/** What a person has to permit is asked for again so much later. */
const DENIED_AGAIN_MS = 30_000;

/** What is known of the network of one Pod, for people. */
export type PodNetwork = { readonly mode: ResolvedMode; readonly eni: Eni | undefined; readonly unjudged: string };

/** The ENI of a Pod, or why there is none that is known; `isAbsent`: the account was asked, and has none with its address. */
type FoundEni = { readonly eni: Eni | undefined; readonly because: string; readonly isAbsent: boolean };

/**
 * Asks the agent of a waiting Pod whether load balancers reach it, and judges the answer. Looks again every 10 s while the Pod waits: rules,
 * ENIs and load balancers change without a word.
 */
export class ReachabilityPass {
  readonly #deps: ReachabilityDeps;
  readonly #networks = new Map<string, PodNetwork>();
  /** Whose ENI was asked for, by UID of the Pod. */
  readonly #addresses = new Map<string, string>();
  /** When the Pod could be bound at the earliest: from then on a verdict delays it. */
  readonly #readySinceMs = new Map<string, number>();
  readonly #missingSinceMs = new Map<string, number>();
  /** Kinds of networks of an owner's Pods, by its UID and theirs. */
  readonly #kinds = new Map<string, Map<string, string>>();
  /** What the cloud's key may not read, by group ("": ENIs): the cloud's words, and until when nobody asks again. */
  readonly #denied = new Map<string, { readonly text: string; readonly untilMs: number }>();
  readonly #beganMs: number;
  #toldCode = "";

  constructor(deps: ReachabilityDeps) {
    this.#deps = deps;
    this.#beganMs = deps.clock.now();
  }

  networkOf(podUid: string): PodNetwork | undefined {
    return this.#networks.get(podUid);
  }

  readonly reconcile: Reconcile = async (podUid, signal): Promise<Outcome> => {
    const { state, findings, networks } = this.#deps;
    const pod = state.facts.pods.get(podUid);
    if (pod === undefined || isEnding(pod)) {
      this.#forget(podUid);
      return { kind: "done" };
    }
    if (!waitsForGate(pod)) {
      const listened = state.listening.delete(podUid);
      state.hindrances.heard(podUid);
      if (state.hindrances.set(podUid, []) || listened) this.#deps.onJudged(pod);
      return { kind: "done" }; // its agent goes on, and what it says is shown
    }
    const all = wantedPorts(this.#deps.clusterId, pod, state.intents.selections.ownersSelecting(pod), (id) => state.mirror.read(id));
    const [first] = all;
    if (first === undefined) {
      state.hindrances.unwanted(podUid);
      return { kind: "done" };
    }
    const ports = all.filter(({ ip }) => ip === first.ip); // an agent is asked about one address of a Pod
    if (state.hindrances.set(podUid, state.hindrances.of(podUid))) this.#deps.onJudged(pod); // a time is over, whatever the reads below say
    this.#refuseAtOnce(pod);
    await networks.refresh(signal);
    const mode = networkModeOf(pod, networks.clusterDefault);
    const found = await this.#eniOf(pod, first.ip, mode, signal);
    const { eni, because } = found;
    this.#addresses.set(podUid, first.ip);
    const wanted = ports.map((port) => portTask(port, eni?.groups ?? [], because));
    const unread = await this.#unreadGroup(new Set(wanted.flatMap(groupsOf)), signal);
    const tasks = unread === "" ? wanted : ports.map((port) => portTask(port, [], unread));
    this.#networks.set(podUid, { mode, eni, unjudged: because || unread });
    this.#noteKind(pod, mode, ports);
    findings.ask(pod.nodeName, { uid: podUid, ip: first.ip, ports: tasks });
    this.#judge(pod, ports, tasks, found.isAbsent);
    return { kind: "again", afterMs: this.#nextMs(podUid), because: "the Pod waits" };
  };

  /**
   * Nobody has asked about this Pod in this reign: its bind waits a moment for its agent's first word. What became ready under the leader before
   * would otherwise be bound before anybody could say why the load balancer will not reach it. New Pods are asked about while they start.
   */
  expect(podUid: string): void {
    const { clock, findings, state } = this.#deps;
    const pod = state.facts.pods.get(podUid);
    if (clock.now() >= this.#beganMs + BEGINNING_MS || pod === undefined || !waitsForGate(pod)) return;
    if (findings.verdictOf(podUid) === undefined && findings.hasAgent(pod.nodeName))
      state.hindrances.awaitWord(podUid, clock.now() + FIRST_WORD_MS);
  }

  /** What the Pod itself says needs no read: it must not be bound while somebody reads. */
  #refuseAtOnce(pod: PodFact): void {
    const { networks, onJudged, state } = this.#deps;
    const message = refusalOf(pod, networkModeOf(pod, networks.clusterDefault), networks.permit);
    if (message === undefined || state.hindrances.of(pod.uid).length > 0) return;
    if (state.hindrances.set(pod.uid, [{ place: undefined, reason: "NetworkModeUnsupported", message, untilMs: undefined }])) onJudged(pod);
  }

  /** Without the cloud's lists the Pod is bound as ever; the agent still connects to it. */
  async #eniOf(pod: PodFact, ip: string, { mode }: ResolvedMode, signal: AbortSignal): Promise<FoundEni> {
    const { enis, eniOf, findings } = this.#deps;
    const { instanceId, macs: [primary] = [] } = findings.nodeFacts(pod.nodeName) ?? {};
    const isBridged = mode === "tke-bridge";
    const mac = (isBridged ? primary : pod.hostInterface?.mac) ?? "";
    const known = enis.byMac(mac);
    const address = isBridged ? (known?.ips[0] ?? this.#nodeAddress(pod.nodeName)) : ip;
    const answer = address === undefined ? [] : await this.#read("", () => eniOf(address, signal), signal);
    if (typeof answer === "string") return { eni: known, because: known === undefined ? answer : "", isAbsent: false };
    const [first, ...others] = answer;
    const eni =
      others.length === 0
        ? (first ?? known)
        : (answer.find((one) => one.mac === mac) ?? answer.find((one) => one.instanceId !== "" && one.instanceId === instanceId));
    // The kernel may lead to an ENI that has not, or no longer, the address: its groups count, and the cloud will refuse the address.
    const isAbsent = answer.length === 0 && !isBridged;
    if (eni !== undefined) return { eni, because: eni.groups.length === 0 ? `${eni.id} has no security group` : "", isAbsent };
    const ids = answer.map(({ id, vpcId }) => `${id} in ${vpcId}`).join(", ");
    if (answer.length > 0)
      return { eni, because: `address ${address} is on several ENIs (${ids}): set VPC_ID at the coordinator`, isAbsent: false };
    return { eni, because: whyAbsent(isBridged, enis.areKnown), isAbsent };
  }

  /** Why the rules of one of these were never read; "": all were. Old rules stay where a later read fails. */
  async #unreadGroup(ids: ReadonlySet<string>, signal: AbortSignal): Promise<string> {
    let first = "";
    for (const id of ids) {
      const answer = await this.#read(id, () => this.#deps.groups.ensure(id, signal), signal);
      if (typeof answer === "string" && !this.#deps.groups.has(id)) first ||= `the rules of ${id} could not be read: ${answer}`;
    }
    return first;
  }

  /** What the cloud refuses to tell is not known, and told once in the log; no Pod waits for it. A text: the cloud's own words. */
  async #read<T>(what: string, ask: () => Promise<T>, signal: AbortSignal): Promise<T | string> {
    const denied = this.#denied.get(what);
    if (denied !== undefined && this.#deps.clock.now() < denied.untilMs) return denied.text;
    try {
      const answer = await ask();
      this.#denied.delete(what);
      return answer;
    } catch (err) {
      if (signal.aborted || !(err instanceof ClbApiError)) throw err;
      if (this.#toldCode !== err.call.code)
        this.#deps.log.warn({ err }, "the VPC API does not answer: verdicts of security groups stay unknown");
      this.#toldCode = err.call.code;
      if (isDenied(err.call.code)) this.#denied.set(what, { text: err.message, untilMs: this.#deps.clock.now() + DENIED_AGAIN_MS });
      return err.message;
    }
  }

  #nodeAddress(name: string): string | undefined {
    for (const record of this.#deps.state.objects.nodes.records.values()) if (record.name === name) return record.address;
    return undefined;
  }

  #judge(pod: PodFact, ports: readonly WantedPort[], tasks: readonly PortTask[], isAbsent: boolean): void {
    const { state, findings, networks, onJudged, onVerdict } = this.#deps;
    const { mode } = this.#networks.get(pod.uid) ?? { mode: networkModeOf(pod, networks.clusterDefault) };
    const verdict = findings.verdictOf(pod.uid);
    if (!findings.hasAgent(pod.nodeName) || isWhole(verdict, tasks)) state.hindrances.heard(pod.uid);
    const byKey = new Map(tasks.map(({ key, port }) => [key, port]));
    const refusal = refusalOf(pod, mode, networks.permit);
    const absent = this.#missing(pod, mode, isAbsent);
    // A load balancer that was not read yet may pass everything to its backends.
    const unread = new Set(tasks.flatMap(({ key }, at) => (ports[at]?.actual === undefined ? [key] : [])));
    const found: Hindrance[] = [
      ...(refusal === undefined
        ? []
        : [{ place: undefined, reason: "NetworkModeUnsupported" as const, message: refusal, untilMs: undefined }]),
      ...(absent === undefined ? [] : [{ place: undefined, reason: "AddressNotOnEni" as const, message: absent, untilMs: 0 }]),
      ...(verdict === undefined
        ? []
        : hindrancesOf(verdict, byKey, this.#untilMs(pod, ports)).filter(
            ({ place, reason }) => reason !== "SecurityGroupDenies" || !unread.has(place ?? ""),
          )),
    ];
    for (const port of verdict?.ports ?? []) for (const source of port.sources) onVerdict(source.verdict);
    this.#bypassed(ports);
    for (const { reason, message } of found) this.#tell(pod, reason, message, ports); // each once: the recorder remembers
    const [isNews, turns] = [state.hindrances.set(pod.uid, found), this.#noteListening(pod.uid, verdict)];
    if (isNews || turns) onJudged(pod);
  }

  /** True: that is news. */
  #noteListening(podUid: string, verdict: PodVerdict | undefined): boolean {
    const { earlyBind, state } = this.#deps;
    if (earlyBind !== true) return false;
    const { listening } = state;
    const listens = verdict !== undefined && verdict.ports.length > 0 && verdict.ports.every(({ probe }) => probe === "open");
    if (listens === listening.has(podUid)) return false;
    if (listens) listening.add(podUid);
    else listening.delete(podUid);
    return true;
  }

  /** On the Pod, and for what concerns all Pods alike on the Service. */
  #tell(
    { namespace, name, uid, containersReady }: PodFact,
    reason: Hindrance["reason"],
    message: string,
    ports: readonly WantedPort[],
  ): void {
    if (reason === "PortNotListening" && !containersReady) return; // it starts
    const object: ObjectRef = { kind: "Pod", namespace, name, uid };
    this.#deps.tell({ object, type: "Warning", reason, message: `Pod ${namespace}/${name}: ${message}` });
    if (reason !== "NetworkModeUnsupported") return;
    for (const { owner } of ports)
      this.#deps.tell({
        object: owner.ref,
        type: "Warning",
        reason,
        message: `${owner.ref.kind} ${owner.ref.namespace}/${owner.ref.name} selects Pods in a network that no load balancer reaches; they are not bound, the others are: see the Events of those Pods`,
      });
  }

  /** One workload runs in one mode (tke-contract.md R6); where a Service's do not, each Pod is bound in its own way. */
  #noteKind({ uid }: PodFact, { mode }: ResolvedMode, ports: readonly WantedPort[]): void {
    if (mode === "unresolved" || mode === "hostNetwork" || mode === "cilium-overlay") return;
    for (const { owner } of ports) {
      const kinds = this.#kinds.get(owner.ref.uid) ?? new Map<string, string>();
      this.#kinds.set(owner.ref.uid, kinds.set(uid, mode === "tke-bridge" ? "GlobalRouter" : "ENI"));
      if (new Set(kinds.values()).size < 2) continue;
      const message = `${owner.ref.kind} ${owner.ref.namespace}/${owner.ref.name} selects Pods with ENIs and Pods of GlobalRouter: each is bound in its own way; for the first their ENIs' security groups count, for the others the nodes'`;
      this.#deps.tell({ object: owner.ref, type: "Normal", reason: "NetworkModesMixed", message });
    }
  }

  /** The load balancer passes everything to its backends, and nothing limits who reaches it. */
  #bypassed(ports: readonly WantedPort[]): void {
    for (const { owner, loadBalancerId, actual } of ports) {
      if (actual?.settings?.passToTarget !== true || (actual.settings.securityGroups ?? []).length > 0) continue;
      const message = `CLB ${loadBalancerId} passes everything to the backends without asking their security groups (pass-to-target), and has no security group of its own: everybody reaches its listeners. Bind a group to it, or switch pass-to-target off`;
      this.#deps.tell({ object: owner.ref, type: "Warning", reason: "BackendSecurityGroupBypassed", message });
    }
  }

  /** Told only once it has lasted, and only of an account that has ENIs at all. */
  #missing(pod: PodFact, { mode }: ResolvedMode, isAbsent: boolean): string | undefined {
    const { clock, enis } = this.#deps;
    if (!isAbsent || !enis.areKnown || mode === "cilium-overlay") {
      this.#missingSinceMs.delete(pod.uid);
      return undefined;
    }
    const sinceMs = this.#missingSinceMs.get(pod.uid) ?? clock.now();
    this.#missingSinceMs.set(pod.uid, sinceMs);
    if (clock.now() < sinceMs + MISSING_MS) return undefined;
    return `its address ${pod.ips[0]} is on no ENI of this account, so the cloud will refuse to bind it: check the Pod's network mode, and the cluster's IP allocation`;
  }

  #untilMs(pod: PodFact, ports: readonly WantedPort[]): number {
    const { clock, state, verdictDelayMs } = this.#deps;
    const isOff = ports.some(({ owner }) => state.object(owner.ref.uid)?.annotations[VERDICT_DELAY] === "false");
    if (isOff) return 0;
    if (!pod.containersReady) return clock.now() + verdictDelayMs;
    // By the Pod's own word: a delay does not begin anew with each leader.
    const sinceMs = this.#readySinceMs.get(pod.uid) ?? Math.min(clock.now(), pod.containersReadyAtMs ?? clock.now());
    this.#readySinceMs.set(pod.uid, sinceMs);
    return sinceMs + verdictDelayMs;
  }

  #nextMs(podUid: string): number {
    const nowMs = this.#deps.clock.now();
    const { hindrances } = this.#deps.state;
    const times = [hindrances.awaitedUntilMs(podUid), ...hindrances.of(podUid).map(({ untilMs }) => untilMs)];
    const ends = times.flatMap((untilMs) => (untilMs !== undefined && untilMs > nowMs ? [untilMs - nowMs] : []));
    return Math.min(LOOK_AGAIN_MS, ...ends);
  }

  #forget(podUid: string): void {
    for (const [owner, kinds] of this.#kinds) if (kinds.delete(podUid) && kinds.size === 0) this.#kinds.delete(owner);
    const address = this.#addresses.get(podUid);
    if (address !== undefined) this.#deps.enis.forget(address);
    for (const map of [this.#networks, this.#addresses, this.#readySinceMs, this.#missingSinceMs]) map.delete(podUid);
    this.#deps.state.hindrances.forget(podUid);
    this.#deps.state.listening.delete(podUid);
    this.#deps.findings.forget(podUid);
  }
}

/** The agent has answered for every place that is asked about. */
const isWhole = (verdict: PodVerdict | undefined, tasks: readonly PortTask[]): boolean =>
  verdict !== undefined && tasks.every(({ key }) => verdict.ports.some((port) => port.key === key));

const groupsOf = ({ groups, sources }: PortTask): string[] => [
  ...groups,
  ...(groups.length === 0 ? [] : sources.flatMap(({ admittedBy }) => admittedBy)),
];

function whyAbsent(isBridged: boolean, areKnown: boolean): string {
  if (isBridged) return "the node's primary ENI was not found, whose security groups count for GlobalRouter";
  return areKnown ? "its address is on no ENI of this account" : "this account shows no ENIs";
}
