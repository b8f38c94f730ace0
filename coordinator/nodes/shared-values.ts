import { type ContainerPort, type HostInterface, NO_NETWORKS, type PodFact, type PodNetworks } from "../../common/vocabulary.ts";

/**
 * Label sets, lists of ports and so on that are kept for sharing, of each kind. A cluster has one per workload; where there are more, they
 * are forgotten and kept anew, which costs memory only. Own choice.
 */
const MOST = 20_000;
/** What is larger is no workload's of thousands of Pods, and is not kept: with it the tables are bounded in bytes too. Characters of its key. Own choice. */
const LONGEST_KEY = 4_096;

/**
 * Equal parts of different Pods are kept once: the Pods of a workload have the same labels and ports, those of a node the same interfaces,
 * and each report brings them as new objects. Of 150 000 Pods that is a third of what they take.
 */
export function makeSharing(most = MOST): (fact: PodFact) => PodFact {
  const labels = makeShared<PodFact["labels"]>({ hintOf: firstValue, isSame: isSameLabels, keyOf: keyOfLabels }, most);
  const ports = makeShared<PodFact["ports"]>({ hintOf: ([first]) => first?.name ?? "", isSame: isSamePorts, keyOf: keyOfPorts }, most);
  const interfaces = makeShared<HostInterface>({ hintOf: ({ mac }) => mac, isSame: isSameInterface, keyOf: keyOfInterface }, most);
  const networks = makeShared<PodNetworks>({ hintOf: ({ statusMac }) => statusMac, isSame: isSameNetworks, keyOf: keyOfNetworks }, most);
  const namespaces = new Map<string, string>();
  const sharedNamespace = (namespace: string): string => {
    const first = namespaces.get(namespace);
    if (first !== undefined) return first;
    if (namespaces.size >= most) namespaces.clear();
    namespaces.set(namespace, namespace);
    return namespace;
  };
  return (fact) => ({
    ...fact,
    namespace: sharedNamespace(fact.namespace),
    labels: labels(fact.labels),
    ports: ports(fact.ports),
    hostInterface: fact.hostInterface && interfaces(fact.hostInterface),
    networks: fact.networks === NO_NETWORKS ? NO_NETWORKS : networks(fact.networks), // that nothing was told is told by what it is
  });
}

/** `hintOf`: a text that equal values have in common, and others hardly; it is there already. `keyOf`: one that tells more; it is made. */
type Kind<V> = {
  readonly hintOf: (value: V) => string;
  readonly isSame: (one: V, other: V) => boolean;
  readonly keyOf: (value: V) => string;
};

/**
 * Gives the first one that was equal. Mostly it is the one that came last with the same hint, and no key has to be made. A key is no proof: what
 * agents say may have the commas and equals signs that it is made with, and would pass for another Pod's.
 */
function makeShared<V>({ hintOf, isSame, keyOf }: Kind<V>, most: number): (value: V) => V {
  const firsts = new Map<string, V>();
  const lasts = new Map<string, V>();
  return (value) => {
    const hint = hintOf(value);
    const last = lasts.get(hint);
    if (last !== undefined && isSame(last, value)) return last;
    const key = keyOf(value);
    if (key.length > LONGEST_KEY) return value;
    const known = firsts.get(key);
    const first = known !== undefined && isSame(known, value) ? known : value;
    if (Math.max(firsts.size, lasts.size) >= most) for (const values of [firsts, lasts]) values.clear();
    firsts.set(key, first);
    lasts.set(hint, first);
    return first;
  };
}

function firstValue(labels: PodFact["labels"]): string {
  for (const name in labels) return labels[name] ?? "";
  return "";
}

function isSameLabels(one: PodFact["labels"], other: PodFact["labels"]): boolean {
  for (const name in one) if (one[name] !== other[name]) return false;
  for (const name in other) if (!Object.hasOwn(one, name)) return false;
  return true;
}

function keyOfLabels(labels: PodFact["labels"]): string {
  let key = "";
  for (const name in labels) key += `${name}=${labels[name] ?? ""},`;
  return key;
}

function isSamePorts(one: PodFact["ports"], other: PodFact["ports"]): boolean {
  if (one.length !== other.length) return false;
  return one.every(({ name, port, protocol }, at) => {
    const there = other[at];
    return name === there?.name && port === there.port && protocol === there.protocol;
  });
}

const keyOfPorts = (ports: PodFact["ports"]): string =>
  ports.map(({ name, port, protocol }: ContainerPort) => `${name} ${port} ${protocol}`).join();

const isSameInterface = (one: HostInterface, other: HostInterface): boolean =>
  one.name === other.name && one.mac === other.mac && one.kind === other.kind && one.table === other.table;

const keyOfInterface = ({ name, mac, kind, table }: HostInterface): string => `${name} ${mac} ${kind} ${table}`;

const isSameNetworks = (one: PodNetworks, other: PodNetworks): boolean =>
  one.statusMac === other.statusMac &&
  one.statusName === other.statusName &&
  one.fault === other.fault &&
  one.asked.length === other.asked.length &&
  one.asked.every((name, at) => name === other.asked[at]);

const keyOfNetworks = ({ asked, statusName, statusMac, fault }: PodNetworks): string =>
  `${statusMac} ${statusName} ${asked.join()} ${fault}`;
