/** What of the nodes' network is outside of them: the bridge, the cables' outer ends, the routes to Pods. */
import type { NodeNetwork } from "./addresses.ts";
import { run } from "./run.ts";
import { ENI_TABLE } from "./tke-networks.ts";

/** First what an earlier start left that was killed. Rejects where the namespace is not ours to change. */
export async function setUpBridge(network: NodeNetwork): Promise<void> {
  await removeBridge(network);
  // Before any address exists: a connection to a Pod that is gone must not leave by another route.
  await run(["ip", "route", "replace", "blackhole", network.range]);
  await run(["ip", "link", "add", network.bridge, "type", "bridge"]);
  await run(["ip", "address", "add", network.gateway, "dev", network.bridge]);
  await run(["ip", "link", "set", network.bridge, "up"]);
}

/** The cables' outer ends went with the nodes. */
export async function removeBridge({ bridge, range, nodes }: NodeNetwork): Promise<void> {
  for (const link of [...nodes.flatMap((node) => [node.link, node.eni.link]), bridge]) await removeLink(link);
  if ((await run(["ip", "route", "show", "type", "blackhole", range])).trim() !== "")
    await run(["ip", "route", "delete", "blackhole", range]);
}

/** The kernel takes a cable away some time after the last process of its node has ended, so possibly between our look and our deletion. */
async function removeLink(link: string): Promise<void> {
  if (!(await isThere(link))) return;
  await run(["ip", "link", "delete", link]).catch(async (error: unknown) => {
    if (await isThere(link)) throw error;
  });
}

const isThere = (link: string): Promise<boolean> =>
  run(["ip", "link", "show", link]).then(
    () => true,
    () => false,
  );

/** A cable from the bridge into the network namespace of process `pid`, and both sides' routes. */
export async function connectNode(network: NodeNetwork, index: number, pid: number): Promise<void> {
  const node = network.nodes[index];
  if (node === undefined) throw new RangeError(`there is no node ${index}`);
  const [gateway = "", prefix = ""] = network.gateway.split("/");
  await run(["ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", String(pid)]);
  await run(["ip", "link", "set", node.link, "master", network.bridge, "up"]);
  const inside = (...args: readonly string[]): Promise<string> => run(["nsenter", `--net=/proc/${pid}/ns/net`, "ip", ...args]);
  await inside("address", "add", `${node.address}/${prefix}`, "dev", "eth0");
  await inside("link", "set", "eth0", "up");
  await inside("route", "add", "default", "via", gateway);
  // A Pod that is gone is answered for at once; without it the packet would go back out by the default route.
  await inside("route", "add", "unreachable", node.podRange);
  for (const other of network.nodes) if (other !== node) await inside("route", "add", other.podRange, "via", other.address);
  await run(["ip", "route", "add", node.podRange, "via", node.address]);
}

/** A node's second ENI: eth1, with its own table for what Pods send, as TKE's network component keeps it (tke-contract.md §9). */
export async function attachEni(network: NodeNetwork, index: number, pid: number): Promise<void> {
  const node = network.nodes[index];
  if (node === undefined) throw new Error(`there is no node ${index}`);
  const { address, mac, link } = node.eni;
  const [gateway = ""] = network.gateway.split("/");
  await run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth1", "address", mac, "netns", String(pid)]);
  await run(["ip", "link", "set", link, "master", network.bridge, "up"]);
  const inside = (...command: readonly string[]): Promise<string> => run(["nsenter", `--net=/proc/${pid}/ns/net`, ...command]);
  await inside("ip", "address", "add", `${address}/32`, "dev", "eth1");
  await inside("ip", "link", "set", "eth1", "up");
  await inside("ip", "route", "add", "default", "via", gateway, "dev", "eth1", "onlink", "table", ENI_TABLE);
  // What comes to a Pod by eth0 is answered by eth1.
  await inside("sh", "-c", "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $file; done");
}
