import type { ContainerPort, HostInterface, PodFact } from "../../common/vocabulary.ts";

/**
 * Label sets, lists of ports and so on that are kept for sharing, of each kind. A cluster has one per workload; where there are more, they
 * are forgotten and kept anew, which costs memory only. Own choice.
 */
const MOST = 20_000;

/**
 * Equal parts of different Pods are kept once: the Pods of a workload have the same labels and ports, those of a node the same interfaces,
 * and each report brings them as new objects. Of 150 000 Pods that is a third of what they take.
 */
export function makeSharing(most = MOST): (fact: PodFact) => PodFact {
  const namespaces = new Map<string, string>();
  const labels = new Map<string, PodFact["labels"]>();
  const ports = new Map<string, PodFact["ports"]>();
  const interfaces = new Map<string, HostInterface>();

  const shared = <V>(known: Map<string, V>, key: string, value: V): V => {
    const first = known.get(key);
    if (first !== undefined) return first;
    if (known.size >= most) known.clear();
    known.set(key, value);
    return value;
  };
  return (fact) => ({
    ...fact,
    namespace: shared(namespaces, fact.namespace, fact.namespace),
    labels: shared(labels, keyOfLabels(fact.labels), fact.labels),
    ports: shared(ports, fact.ports.map(keyOfPort).join(), fact.ports),
    hostInterface: fact.hostInterface && shared(interfaces, keyOfInterface(fact.hostInterface), fact.hostInterface),
  });
}

/** Neither names nor values of labels contain a comma or an equals sign. */
function keyOfLabels(labels: PodFact["labels"]): string {
  let key = "";
  for (const name in labels) key += `${name}=${labels[name] ?? ""},`;
  return key;
}

const keyOfPort = ({ name, port, protocol }: ContainerPort): string => `${name} ${port} ${protocol}`;

const keyOfInterface = ({ name, mac, kind, table }: HostInterface): string => `${name} ${mac} ${kind} ${table}`;
