import type { PodFact } from "../../../common/vocabulary.ts";

/** An EndpointSlice that a person or another controller wrote for a Service without a selector. */
export type EndpointSlice = {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly namespace: string;
  readonly name: string;
  /** The Service that it is for. */
  readonly service: string;
  /** "IPv4", "IPv6" or "FQDN". */
  readonly addressType: string;
  readonly endpoints: readonly Endpoint[];
  /** By protocol and name, e.g. { "TCP/http": 8080 }. */
  readonly ports: Readonly<Record<string, number>>;
};
/** `podUid`: the Pod that it is meant for, where it says so. */
type Endpoint = { readonly addresses: readonly string[]; readonly terminating: boolean; readonly podUid: string | undefined };

/** An address that is not bound, e.g. { slice: "web-1", address: "10.0.0.9", because: "no Pod has it" }. */
export type StrangeEndpoint = { readonly slice: string; readonly address: string; readonly because: string };

/** No label can be called so: blanks are refused by the API server. */
const MARK = "endpoint of ";

/** Selects the Pods that EndpointSlices of this Service name; such a Pod carries the label here and nowhere else. */
export const endpointSelector = (service: string): Readonly<Record<string, string>> => ({ [`${MARK}${service}`]: "" });
export const isEndpointSelector = (selector: Readonly<Record<string, string>>): boolean =>
  Object.keys(selector).some((name) => name.startsWith(MARK));

/** How a port of a Service is called in its EndpointSlices, e.g. "TCP/http"; "TCP/" where it has no name. */
export const endpointPort = (protocol: string, name: string): string => `${protocol}/${name}`;

/** Pure: the endpoints of these slices that are this Pod, as its ports by Service; undefined: none is. A hostNetwork Pod has no address of its own. */
export function endpointsOf(pod: PodFact, slices: Iterable<EndpointSlice>): PodFact["endpoints"] {
  const found: Record<string, Readonly<Record<string, number>>> = {};
  if (pod.hostNetwork) return undefined;
  for (const { namespace, service, endpoints, ports } of slices) {
    const isNamed = endpoints.some(
      ({ addresses, terminating, podUid }) =>
        !terminating && (podUid ?? pod.uid) === pod.uid && addresses.some((address) => pod.ips.includes(address)),
    );
    if (isNamed && namespace === pod.namespace) found[service] = { ...found[service], ...ports };
  }
  return Object.keys(found).length === 0 ? undefined : found;
}

/** Pure: the Pod with what EndpointSlices say of it. */
export function withEndpoints(pod: PodFact, endpoints: PodFact["endpoints"]): PodFact {
  if (endpoints === undefined) return pod;
  const marks = Object.keys(endpoints).map((service) => [`${MARK}${service}`, ""]);
  return { ...pod, endpoints, labels: { ...pod.labels, ...Object.fromEntries(marks) } };
}

/** Pure: addresses that are bound nowhere, and why. `podAt`: the Pod that has an address now, whatever its Namespace. */
export function strangeEndpoints(
  slices: Iterable<EndpointSlice>,
  podAt: (ip: string) => Pick<PodFact, "uid" | "namespace" | "name"> | undefined,
): StrangeEndpoint[] {
  return [...slices].flatMap(({ namespace, name: slice, addressType, endpoints }) =>
    endpoints.flatMap(({ addresses, terminating, podUid }) =>
      terminating
        ? []
        : addresses.flatMap((address): StrangeEndpoint[] => {
            const pod = podAt(address);
            const because = whyStrange(addressType, namespace, podUid, pod);
            return because === undefined ? [] : [{ slice, address, because }];
          }),
    ),
  );
}

function whyStrange(
  addressType: string,
  namespace: string,
  podUid: string | undefined,
  pod: Pick<PodFact, "uid" | "namespace" | "name"> | undefined,
): string | undefined {
  if (addressType === "FQDN") return "a load balancer binds addresses, no names";
  if (pod === undefined) return "no Pod of a Pod network has it, and only Pods are bound";
  if (pod.namespace !== namespace) return `it is that of Pod ${pod.namespace}/${pod.name}, of another Namespace`;
  return podUid === undefined || podUid === pod.uid ? undefined : `its targetRef names another Pod than ${pod.name}, which has it now`;
}
