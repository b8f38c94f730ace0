import { isIP } from "node:net";
import { NO_NETWORKS, type PodFact } from "../../common/vocabulary.ts";

/** RFC 1123, as Kubernetes has it for namespaces (label) and for Pods and Nodes (subdomain). */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const LONGEST_NAME = 253;
/** UUIDs, and what static Pods have; the API server takes any text here, and 36 characters are usual. */
const UID = /^[A-Za-z0-9._-]{1,64}$/;
/** IFNAMSIZ is 16 with its end. */
const INTERFACE = /^[^\s/]{0,15}$/;
const MAC = /^[0-9a-f:]{0,59}$/i;
/** Characters of a Pod's labels and ports together; the API server bounds a whole object at 1.5 MB, and a Pod has some hundred. Own choice. */
const MOST_CHARACTERS = 65_536;
/** The API server knows one of each family. Own choice. */
const MOST_IPS = 16;
/**
 * Characters, as `sizeOf` counts them, of all that is kept of what the agents of one node say. 250 Pods with a hundred long labels each have 4 million,
 * and 14 000 that have ended with some twenty usual ones 20 million. Own choice.
 */
export const MOST_OF_NODE = 32 * 1_048_576;
/** What a text, port or address takes beside its characters. */
const EACH = 16;

export const isNodeName = (name: string): boolean => name.length <= LONGEST_NAME && SUBDOMAIN.test(name);

/** What of a reported Pod cannot be, e.g. `name "../services/web" is no RFC 1123 name`; undefined: nothing. The text is bounded. */
export function faultOf(pod: PodFact): string | undefined {
  const told = (text: string): string => JSON.stringify(text.slice(0, 80));
  if (!UID.test(pod.uid)) return `uid ${told(pod.uid)} is none`;
  if (!LABEL.test(pod.namespace)) return `namespace ${told(pod.namespace)} is no RFC 1123 name`;
  if (pod.name.length > LONGEST_NAME || !SUBDOMAIN.test(pod.name)) return `name ${told(pod.name)} is no RFC 1123 name`;
  const address = pod.ips.find((ip) => isIP(ip) === 0);
  if (pod.ips.length > MOST_IPS) return `ips has ${pod.ips.length} addresses, at most ${MOST_IPS} can be kept`;
  if (address !== undefined) return `ips has ${told(address)}, which is no address`;
  const { name = "", mac = "" } = pod.hostInterface ?? {};
  if (!INTERFACE.test(name) || !MAC.test(mac)) return `host_interface ${told(name)} ${told(mac)} is none`;
  const length = lengthOf(pod);
  if (length > MOST_CHARACTERS) return `labels and ports have ${length} characters, at most ${MOST_CHARACTERS} can be kept`;
  return undefined;
}

function lengthOf({ labels, ports }: PodFact): number {
  let length = 0;
  for (const name in labels) length += name.length + (labels[name]?.length ?? 0);
  for (const { name, protocol } of ports) length += name.length + protocol.length + 1;
  return length;
}

/** What a report takes, in characters: those of all its texts, and 16 for each text, port and address, because thousands of empty ones are large too. */
export function sizeOf(pod: PodFact): number {
  const { uid, resourceVersion, namespace, name, ips, labels, ports, networks, networkNote, weights, gateWish = "" } = pod;
  let size = 8 * EACH + uid.length + resourceVersion.length + namespace.length + name.length + networkNote.length + gateWish.length;
  for (const label in labels) size += 2 * EACH + label.length + (labels[label]?.length ?? 0);
  for (const port of ports) size += EACH + port.name.length + port.protocol.length;
  for (const text of ips) size += EACH + text.length;
  if (networks !== NO_NETWORKS) {
    size += networks.statusName.length + networks.statusMac.length + networks.fault.length;
    for (const text of networks.asked) size += EACH + text.length;
  }
  return weights === undefined ? size : size + weights.service.length + weights.ingress.length;
}

/** E.g. ("of the first 70 Pods", 33554500); for whoever looks after the node. */
export const tooLarge = (ofWhat: string, characters: number): string =>
  `labels, ports and other texts ${ofWhat} have ${characters} characters, at most ${MOST_OF_NODE} are kept of a node: ` +
  "shorten them where its Pods do have so much; else its agent is broken or not ours: delete the agent's Pod";
