/** Pure: which addresses the real nodes of a slot and their Pods have. */
import type { AddressPlan } from "../../network.ts";

export type NodeAddresses = {
  readonly name: string;
  /** Of the node, e.g. "10.245.3.2": its Pods' hostIP and where its agent listens. */
  readonly address: string;
  /** E.g. "10.245.3.64/26"; the first address is the Pods' gateway. */
  readonly podRange: string;
  /** Of its second ENI, from which its Pods have their addresses where the nodes are TKE's, e.g. "10.245.3.34". */
  readonly eni: { readonly address: string; readonly mac: string; readonly link: string };
  /** The outer end of its cable, e.g. "clbd3n0" (an interface name has 15 characters at most). */
  readonly link: string;
};

export type NodeNetwork = {
  /** Everything of this slot, e.g. "10.245.3.0/24": what the emulated cloud's `backendCidrs` must allow. */
  readonly range: string;
  readonly bridge: string;
  /** Outer end of the nodes' network, e.g. "10.245.3.1/26"; from there they reach what listens on 10.244.0.0/16 in the outer namespace. */
  readonly gateway: string;
  readonly nodes: readonly NodeAddresses[];
};

/** A /24 has four /26: one for the nodes themselves, one for the Pods of each node; a node that is alone has the upper half, for 125 Pods. */
const SHARE = 64;
const PREFIX = 26;
const MOST_NODES = 3;
/** In the nodes' own /26, above their addresses. */
const FIRST_ENI = 34;

/**
 * Out of 10.245.0.0/16, a /24 per slot: the launcher makes all of 10.244.0.0/16 local to the outer namespace (namespace.ts), where no route
 * to a node could win. Throws RangeError on none or more than 3 nodes.
 */
export function nodeNetwork({ slot }: Pick<AddressPlan, "slot">, names: readonly string[]): NodeNetwork {
  if (names.length < 1 || names.length > MOST_NODES)
    throw new RangeError(`nodes: 1 to ${MOST_NODES} real nodes are possible, got ${names.length}`);
  const hosts = `10.245.${slot}`;
  return {
    range: `${hosts}.0/24`,
    bridge: `clbd${slot}`,
    gateway: `${hosts}.1/${PREFIX}`,
    nodes: names.map((name, index) => ({
      name,
      address: `${hosts}.${index + 2}`,
      podRange: names.length === 1 ? `${hosts}.128/25` : `${hosts}.${(index + 1) * SHARE}/${PREFIX}`,
      link: `clbd${slot}n${index}`,
      eni: { address: `${hosts}.${FIRST_ENI + index}`, mac: `20:90:6f:00:01:0${index}`, link: `clbd${slot}e${index}` },
    })),
  };
}

/** The plan of the same slot whose nodes are the real ones, for whoever starts agents by it (product.ts). */
export function planWithRealNodes(plan: AddressPlan, { nodes }: NodeNetwork): AddressPlan {
  return {
    ...plan,
    nodeAddress: (index) => {
      const node = nodes[index];
      if (node === undefined) throw new RangeError(`node index must be below ${nodes.length}, got ${index}`);
      return node.address;
    },
  };
}
