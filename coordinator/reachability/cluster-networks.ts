import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { ClusterDefault, GlobalRouterPermit } from "../domain/network-mode.ts";

export type ClusterNetworksDeps = {
  readonly client: Pick<KubeClient, "get">;
  readonly clock: Clock;
  /** Bind Pods of GlobalRouter where TKE's ConfigMap cannot be read. */
  readonly globalRouterDirectAccess: boolean;
};

/** What TKE's ConfigMaps in kube-system say of networks (tke-contract.md R5, R8, §4); read, never written. */
export interface ClusterNetworks {
  /** Reads them when they are older than 30 s. Never rejects for what the API server answers. */
  refresh(signal: AbortSignal): Promise<void>;
  readonly clusterDefault: ClusterDefault;
  readonly permit: GlobalRouterPermit;
}

const CNI = "/api/v1/namespaces/kube-system/configmaps/tke-cni-agent-conf";
const SERVICES = "/api/v1/namespaces/kube-system/configmaps/tke-service-controller-config";
const REFRESH_MS = 30_000;

type ConfigMap = { readonly data?: Readonly<Record<string, string>> };
type Read =
  | { readonly kind: "read"; readonly data: Readonly<Record<string, string>> }
  | { readonly kind: "absent" }
  | { readonly kind: "unreadable"; readonly because: string };

export function makeClusterNetworks({ client, clock, globalRouterDirectAccess }: ClusterNetworksDeps): ClusterNetworks {
  let readAtMs = Number.NEGATIVE_INFINITY;
  let clusterDefault: ClusterDefault = { kind: "unreadable", because: "kube-system/tke-cni-agent-conf has not been read yet" };
  let permit: GlobalRouterPermit = ownWord(globalRouterDirectAccess, "it has not been read yet");

  const read = async (path: string, signal: AbortSignal): Promise<Read> => {
    try {
      return { kind: "read", data: (await client.get<ConfigMap>(path, { signal })).data ?? {} };
    } catch (err) {
      if (signal.aborted) throw signal.reason;
      if (err instanceof KubeApiError && err.failure === "notFound") return { kind: "absent" };
      return { kind: "unreadable", because: err instanceof Error ? err.message : String(err) };
    }
  };
  return {
    get clusterDefault() {
      return clusterDefault;
    },
    get permit() {
      return permit;
    },
    async refresh(signal) {
      if (clock.now() < readAtMs + REFRESH_MS) return;
      readAtMs = clock.now(); // passes that come meanwhile go on with what is known
      const [cni, services] = await Promise.all([read(CNI, signal), read(SERVICES, signal)]);
      if (cni.kind === "read") clusterDefault = defaultIn(cni.data["00-multus.conf"]);
      else if (cni.kind === "absent") clusterDefault = cni;
      else if (clusterDefault.kind === "unreadable")
        clusterDefault = { kind: "unreadable", because: `kube-system/tke-cni-agent-conf: ${cni.because}` };
      if (services.kind === "read") permit = wordOf(services.data["GlobalRouteDirectAccess"], globalRouterDirectAccess);
      else permit = ownWord(globalRouterDirectAccess, services.kind === "absent" ? "there is none" : services.because);
    },
  };
}

/** `defaultDelegates` is a comma list of network names; the first is the one that a Pod gets. */
function defaultIn(text: string | undefined): ClusterDefault {
  try {
    const delegates: unknown = Reflect.get(Object(JSON.parse(text ?? "")), "defaultDelegates");
    const [name = ""] = typeof delegates === "string" ? delegates.split(",") : [];
    if (name.trim() !== "") return { kind: "named", name: name.trim() };
  } catch {} // told below
  return { kind: "unreadable", because: "key 00-multus.conf of kube-system/tke-cni-agent-conf has no defaultDelegates that can be read" };
}

function wordOf(word: string | undefined, ours: boolean): GlobalRouterPermit {
  if (word === undefined) return ownWord(ours, "it has no key GlobalRouteDirectAccess");
  return {
    allowed: word === "true",
    because: `GlobalRouteDirectAccess in kube-system/tke-service-controller-config is "${word}": set it to "true"`,
  };
}

const ownWord = (allowed: boolean, why: string): GlobalRouterPermit => ({
  allowed,
  because: `kube-system/tke-service-controller-config says nothing of it (${why}): set GLOBAL_ROUTER_DIRECT_ACCESS=true for the coordinator`,
});
