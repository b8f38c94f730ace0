import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { NODES_SCOPE, ORIGINAL_CLUSTER, RECORD_PREFIX } from "../../common/names.ts";
import type { ClusterStanding } from "../domain/intent/owner-intent.ts";
import type { NodeState } from "../state/pod-facts.ts";
import type { Records } from "../state/records.ts";

/** A Node object, as far as it matters here. */
type NodeRef = { readonly name: string; readonly uid: string };

/** A load balancer that finds these addresses healthy although no Pod of this API server has them, e.g. { loadBalancerId: "lb-1", ips: ["10.0.3.7"] }. */
export type ServedElsewhere = { readonly loadBalancerId: string; readonly ips: readonly string[] };

export type ClusterProofDeps = {
  readonly client: Pick<KubeClient, "list" | "patch">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Nodes and records have been read. */
  readonly ready: () => boolean;
  readonly records: Pick<Records, "entries" | "get" | "put" | "forget" | "isMarked">;
  /** The Node objects of the API server that this process talks to. */
  readonly nodes: () => Iterable<NodeRef>;
  /** Who speaks for which node. */
  readonly speakers: () => readonly NodeState[];
  /** Do somebody else's Pods serve at the load balancers on record? May reject. */
  readonly servedElsewhere: (signal: AbortSignal) => Promise<ServedElsewhere | undefined>;
  readonly namespace: string;
  readonly clusterId: string;
};

/** A kubelet renews its Lease every 10 s, and one that has lost the API server tries every 7 s at last (kubelet's own defaults). Milliseconds. */
const PROOF_MS = 45_000;
/** Agents connect within a second or two; a Lease is worth a look after its next renewal. Milliseconds. */
const LOOK_MS = 250;
const LEASES_MS = 5_000;
/** Every pass asks; thousands of Nodes are gone through so often at most. Milliseconds. */
const ASKED_MS = 50;
/** A copy is looked at again so often: its Nodes may only have been late. Milliseconds. */
const AGAIN_MS = 30_000;
/** The record follows the Nodes so often. Milliseconds. */
const KEEP_MS = 10_000;
/** A server that has just begun refuses everybody for a second or two; a role without the right does so all the time. Milliseconds. */
const DENIED_MS = 20_000;
/** Leases of so many Nodes are compared: one of them is enough. */
const MOST_LEASES = 500;
/** Addresses named in a message. */
const MOST_NAMED = 3;
const FIRST = `${RECORD_PREFIX}${NODES_SCOPE}-0`;
const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/**
 * Is this the cluster whose records these are, or a copy of it: a database that was restored into a second cluster, a copied control plane? A
 * copy has the same Services, records and Node objects, but none of the Nodes is alive for its API server: no agent connects, and no Lease is
 * renewed. It must not touch the load balancers, for every Pod of the original is absent there.
 *
 * Ours: no Node is on record (a new installation, or one of a version that stored none); a recorded Node is alive; or a person has said so. Or
 * no object of a recorded Node is left, another Node is alive, and no load balancer on record finds a backend healthy that no Pod here is: all
 * Nodes were replaced while no leader ran. In a copy whose dead Nodes somebody has deleted the original's backends are healthy.
 */
export class ClusterProof {
  readonly #deps: ClusterProofDeps;
  /** By name of the Node: when its Lease was renewed, as it was read first. */
  readonly #renewed = new Map<string, string>();
  readonly #alive = new Set<string>();
  #leasesAtMs = Number.NEGATIVE_INFINITY;
  /** Since when the Leases may not be read, in a row; milliseconds. */
  #deniedSinceMs: number | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #sinceMs: number | undefined;
  #standing: ClusterStanding = "unknown";
  /** Why other Nodes than the recorded ones, which are gone, do not prove it; undefined: a recorded one is there. */
  #doubt: string | undefined;
  #doubtedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ClusterProofDeps) {
    this.#deps = deps;
  }

  /** What can be said at once is said at once: a new leader must not wait for a look. */
  get standing(): ClusterStanding {
    const nowMs = this.#deps.clock.now();
    if (this.#standing !== "unknown" || this.#askedAtMs + ASKED_MS > nowMs || !this.#deps.ready()) return this.#standing;
    this.#askedAtMs = nowMs;
    if (this.#atOnce() !== undefined) this.#standing = "ours";
    return this.#standing;
  }

  /** Ends with the signal; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, ready } = this.#deps;
    while (!signal.aborted) {
      if (ready()) {
        if (this.#standing !== "ours") await this.#look(signal);
        if (this.#standing === "ours") await this.#keep(signal);
      }
      const pauseMs = this.#standing === "ours" ? KEEP_MS : this.#standing === "unknown" ? LOOK_MS : LEASES_MS;
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, log, clusterId } = this.#deps;
    this.#sinceMs ??= clock.now();
    const because = this.#atOnce() ?? (await this.#whyOurs(signal));
    if (because !== undefined) {
      if (this.#standing !== "unknown") log.info({ because }, "this cluster is no copy");
      this.#standing = "ours";
      return;
    }
    if (this.#standing === "unknown" && clock.now() - this.#sinceMs >= PROOF_MS) {
      const recorded = [...this.#deps.records.entries(NODES_SCOPE)].length;
      const message = this.#message(recorded);
      log.error({ clusterId, recorded }, message);
      this.#standing = { blocker: { reason: "ClusterCopied", message } };
    }
  }

  #message(recorded: number): string {
    const { clusterId, namespace } = this.#deps;
    const away = "is alive for this API server (no agent is connected, no Lease in kube-node-lease is renewed)";
    const because = `none of the ${recorded} Nodes on record ${this.#doubt ?? away}`;
    return `${because}: this cluster is a copy of the one that owns cluster id ${clusterId}, and nothing is written to its load balancers. Give the copy a CLUSTER_ID of its own; if it is no copy: kubectl -n ${namespace} annotate configmap ${FIRST} ${ORIGINAL_CLUSTER}=true`;
  }

  /** It has an object here, and the same one is on record. */
  #isRecorded({ name, uid }: NodeRef): boolean {
    return this.#deps.records.get(NODES_SCOPE, keyOf(name)) === uid;
  }

  /** Names of the recorded Nodes that have an object here. */
  #present(): ReadonlySet<string> {
    const present = new Set<string>();
    for (const node of this.#deps.nodes()) if (this.#isRecorded(node)) present.add(node.name);
    return present;
  }

  #atOnce(): string | undefined {
    const [recorded] = this.#deps.records.entries(NODES_SCOPE);
    return recorded === undefined ? "no Node is on record" : this.#connected((node) => this.#isRecorded(node));
  }

  /** Of Nodes that have an object here. Nearly always asked while no agent at all is connected, or where the first one that is will do. */
  #connected(isMeant: (node: NodeRef) => boolean = () => true): string | undefined {
    const connected = new Set(this.#deps.speakers().flatMap(({ node, source }) => (source === "agent" ? [node] : [])));
    if (connected.size === 0) return undefined;
    for (const node of this.#deps.nodes())
      if (connected.has(node.name) && isMeant(node)) return `the agent of Node ${node.name} is connected`;
    return undefined;
  }

  async #whyOurs(signal: AbortSignal): Promise<string | undefined> {
    if (this.#deps.records.isMarked(NODES_SCOPE, ORIGINAL_CLUSTER)) {
      await this.#unmark(signal);
      return "a person has said so";
    }
    const present = this.#present();
    if (present.size > 0) {
      this.#doubt = undefined;
      return await this.#renewing(present, signal);
    }
    const others = new Set([...this.#deps.nodes()].map(({ name }) => name));
    const alive = this.#connected() ?? (await this.#renewing(others, signal));
    return alive !== undefined && (await this.#areReplaced(signal)) ? `all Nodes on record were replaced: ${alive}` : undefined;
  }

  /** No object of a recorded Node is left. Who serves at the load balancers, if nobody else does? */
  async #areReplaced(signal: AbortSignal): Promise<boolean> {
    const { clock, log, servedElsewhere } = this.#deps;
    if (clock.now() - this.#doubtedAtMs < this.#pauseMs) return false;
    this.#doubtedAtMs = clock.now();
    try {
      const found = await servedElsewhere(signal);
      if (found === undefined) return true;
      const { loadBalancerId, ips } = found;
      const named = ips.slice(0, MOST_NAMED).join(", ") + (ips.length > MOST_NAMED ? ", …" : "");
      this.#doubt = `has an object here any more, and load balancer ${loadBalancerId} finds backends healthy that are no Pods of this API server (${named})`;
    } catch (err) {
      this.#doubt = `has an object here any more, and the load balancers do not tell whose Pods serve there (${String(err)})`;
      if (!signal.aborted) log.warn({ err }, "load balancers could not be asked who serves there, trying again");
    }
    return false;
  }

  async #renewing(nodes: ReadonlySet<string>, signal: AbortSignal): Promise<string | undefined> {
    if (!(await this.#readLeases(signal))) return "the Leases of Nodes may not be read";
    const alive = [...nodes].find((name) => this.#alive.has(name));
    return alive === undefined ? undefined : `Node ${alive} renews its Lease`;
  }

  get #pauseMs(): number {
    return this.#standing === "unknown" ? LEASES_MS : AGAIN_MS;
  }

  /** What a person has said holds once: else it would hold for a copy of this cluster as well. */
  async #unmark(signal: AbortSignal): Promise<void> {
    const { client, namespace, log } = this.#deps;
    const path = kubePath`/api/v1/namespaces/${namespace}/configmaps/${FIRST}`;
    const body = { metadata: { annotations: { [ORIGINAL_CLUSTER]: null } } };
    await client
      .patch(path, body, "merge", { signal })
      .catch((err: unknown) => log.warn({ err }, "annotation of the Nodes' record not taken off"));
  }

  /** False: the role of a former version lacks the right, and nothing can be proven. */
  async #readLeases(signal: AbortSignal): Promise<boolean> {
    const { client, clock, log } = this.#deps;
    if (clock.now() - this.#leasesAtMs < this.#pauseMs) return true;
    this.#leasesAtMs = clock.now();
    try {
      const { items } = await client.list<unknown>(LEASES, { limit: MOST_LEASES }, { signal });
      for (const lease of items) this.#note(lease);
      this.#deniedSinceMs = undefined;
      return true;
    } catch (err) {
      if (err instanceof KubeApiError && err.failure === "denied") {
        this.#deniedSinceMs ??= clock.now();
        if (clock.now() - this.#deniedSinceMs < DENIED_MS) return true;
        log.error(
          { err },
          "the coordinator's role lacks list on Leases in kube-node-lease: a copied cluster would not be noticed; apply the access manifest",
        );
        return false;
      }
      if (!signal.aborted) log.warn({ err }, "Leases of Nodes not read, trying again");
      return true;
    }
  }

  #note(lease: unknown): void {
    const name = member(member(lease, "metadata"), "name");
    const renewed = member(member(lease, "spec"), "renewTime");
    if (typeof name !== "string" || typeof renewed !== "string") return;
    const first = this.#renewed.get(name);
    if (first === undefined) this.#renewed.set(name, renewed);
    else if (first !== renewed) this.#alive.add(name);
  }

  /** The record names the Nodes that are there. */
  async #keep(signal: AbortSignal): Promise<void> {
    const { records, nodes, log } = this.#deps;
    const wanted = new Map([...nodes()].map(({ name, uid }) => [keyOf(name), uid]));
    if (wanted.size === 0) return; // nothing is concluded from an empty list
    const known = new Map(records.entries(NODES_SCOPE));
    const fresh = new Map([...wanted].filter(([key, uid]) => known.get(key) !== uid));
    records.forget(
      NODES_SCOPE,
      [...known.keys()].filter((key) => !wanted.has(key)),
    );
    if (fresh.size === 0) return;
    await records.put(NODES_SCOPE, fresh, signal).catch((err: unknown) => {
      if (!signal.aborted) log.warn({ err }, "Nodes not recorded, trying again");
    });
  }
}

/** A name of a Node may hold what a key of a ConfigMap may hold. */
const keyOf = (name: string): string => `node.${name}`;
