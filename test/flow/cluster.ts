/** The Kubernetes below a flow test: embedded in this process, or a real control plane with simulated nodes. `CLUSTER=real` chooses. */
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { AuditEntry } from "../cluster/embedded/server.ts";
import type { AddressPlan } from "../cluster/network.ts";
import type { ProductOptions } from "../cluster/product.ts";
import type { Cluster } from "../cluster/simulated/cluster.ts";
import type { Pod } from "../cluster/simulated/objects.ts";

export type ClusterKind = "embedded" | "real";

/** Throws on a value of CLUSTER that is neither. */
function chosenKind(value = process.env["CLUSTER"] ?? "embedded"): ClusterKind {
  if (value === "embedded" || value === "real") return value;
  throw new Error(`CLUSTER=${value}: use embedded or real`);
}
export const KIND: ClusterKind = chosenKind();

/** For the `skip` option of a test that only one kind can show; `reason` says what the other one lacks. */
export const onlyOn = (kind: ClusterKind, reason: string): string | false =>
  KIND === kind ? false : `on ${kind} clusters only: ${reason}`;

/** One answered request to the API server; that of a watch when it began. */
export type SeenRequest = AuditEntry & {
  /** When it was received or answered, milliseconds since the epoch. */
  readonly atMs: number;
  /** Of an agent or a coordinator, whomever it acted as. */
  readonly byProduct: boolean;
  /** As whom it was made, e.g. "system:node:node-a". */
  readonly impersonated?: string;
};

/** What can befall the API server as a whole. Whoever has to reach it alone goes through a wire (wire.ts). */
export type Troubles = {
  /** Connections stay, no byte comes; resolves when it is over. */
  readonly freeze: (ms: number) => Promise<void>;
  /** Every connection breaks, new ones are refused; resolves when it serves again, from the same data. */
  readonly leave: (ms: number) => Promise<void>;
  /** Every watch ends and every earlier resourceVersion is 410, so that everybody lists anew. */
  readonly forget: () => Promise<void>;
  /** An object is gone without having been deleted; `silently`: no event tells it, only the next list. */
  readonly vanish: (plural: "services", namespace: string, name: string, silently: boolean) => Promise<void>;
  /** Only on a real cluster: saves the database; the result restores it. */
  readonly backup?: () => Promise<() => Promise<void>>;
  /** Only on a real cluster: a second control plane from the same database, without nodes. The caller stops it. */
  readonly copy?: () => Promise<CopiedCluster>;
};

export type CopiedCluster = Pick<FlowCluster, "plan" | "cluster" | "client" | "apiServer"> & { readonly stop: () => Promise<void> };

export type FlowCluster = {
  readonly plan: AddressPlan;
  /** As an administrator. */
  readonly cluster: Cluster;
  readonly client: KubeClient;
  /** Another one, with connections of its own. Ends with the cluster. */
  readonly anotherClient: () => Promise<KubeClient>;
  readonly apiServer: { readonly url: string; readonly caPem: string };
  readonly install: ProductOptions["install"];
  /** The Pods of Namespace demo; while a real API server does not answer, as it told them last. */
  readonly pods: () => readonly Pod[];
  /** All requests to the API server since the test began, oldest first. */
  readonly requests: () => readonly SeenRequest[];
  readonly troubles: Troubles;
  /** Ends it, or makes it as good as new for the next test. */
  readonly end: () => Promise<void>;
};
