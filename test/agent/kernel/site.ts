/**
 * A node's network on a real kernel, as TKE's network plugins build it: network namespaces for the node, for the VPC around it and for each
 * Pod, joined by veth pairs. Everything goes with the test; nothing outside the namespaces is touched.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { readlink } from "node:fs/promises";
import { promisify } from "node:util";
import type { Command } from "../../../agent/adapters/kernel.ts";

const run = promisify(execFile);

/** Why namespaces cannot be made here, as `skip` takes it; false where they can. */
export function namespaceSkip(): string | false {
  const made = spawnSync("unshare", ["--net", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"], { encoding: "utf8" });
  if (made.status === 0) return false;
  const why = made.error?.message ?? made.stderr.trim().split("\n")[0] ?? "no reason given";
  return `needs root, or \`npm test\`, which makes a user namespace: \`unshare --net ip link add\` failed (${why})`;
}

/** A network namespace that lives as long as its process. */
export class Namespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async make(): Promise<Namespace> {
    const holder = spawn("unshare", ["--net", "sleep", "600"], { stdio: "ignore" });
    await new Promise((resolve, reject) => holder.once("spawn", () => resolve(undefined)).once("error", reject));
    const namespace = new Namespace(holder);
    const ours = await readlink("/proc/self/ns/net");
    for (let tries = 0; tries < 500; tries++) {
      const theirs = await readlink(`/proc/${holder.pid}/ns/net`).catch(() => ours);
      if (theirs !== ours) {
        await namespace.sh("ip link set lo up");
        return namespace;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    namespace.end();
    throw new Error("`unshare --net` made no namespace within 2.5 s");
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** Runs a program there, e.g. enter("ip"). */
  enter(...program: readonly string[]): Command {
    return ["nsenter", `--net=/proc/${this.pid}/ns/net`, ...program];
  }

  async sh(script: string): Promise<string> {
    const [file, ...args] = this.enter("sh", "-ec", script);
    return (await run(file, args)).stdout;
  }

  end(): void {
    this.#holder.kill("SIGKILL");
  }
}

export type PodOptions = {
  readonly ip: string;
  /** Its IPv6 address, e.g. "fd00:3::7". */
  readonly ip6?: string;
  /** The ENI that carries it, e.g. "eth1"; of a Pod of GlobalRouter none. */
  readonly eni?: string;
};

/** The routing table of each ENI, as TKE's component has numbered them in its versions: 2000 + index, later 4000 +. */
export type SiteOptions = { readonly tableOf?: (eni: string) => number; readonly toPriority?: number; readonly fromPriority?: number };

/** Of the node's end of a Pod's veth pair; a Pod has it as the permanent neighbour 169.254.1.1. */
const HOST_SIDE = "ee:ee:ee:ee:ee:ee";

/** A node with a primary ENI (eth0, 10.0.1.2), and a VPC whose router is 10.0.x.1 for every subnet. */
export class Site {
  readonly node: Namespace;
  readonly vpc: Namespace;
  readonly #pods = new Map<string, Namespace>();
  readonly #options: Required<SiteOptions>;

  private constructor(node: Namespace, vpc: Namespace, options: SiteOptions) {
    this.node = node;
    this.vpc = vpc;
    this.#options = {
      tableOf: options.tableOf ?? ((eni) => 4000 + Number(eni.slice(3))),
      toPriority: options.toPriority ?? 512,
      fromPriority: options.fromPriority ?? 1536,
    };
  }

  static async make(t: { readonly after: (cleanUp: () => unknown) => void }, options: SiteOptions = {}): Promise<Site> {
    const [node, vpc] = await Promise.all([Namespace.make(), Namespace.make()]);
    const site = new Site(node, vpc, options);
    t.after(() => {
      for (const namespace of [node, vpc, ...site.#pods.values()]) namespace.end();
    });
    const loose = "echo 1 > /proc/sys/net/ipv4/ip_forward; for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done";
    await Promise.all([node.sh(loose), vpc.sh(loose)]);
    await site.attach("eth0", "10.0.1.2/24", "20:90:6f:00:00:01");
    await node.sh("ip route add default via 10.0.1.1 dev eth0");
    return site;
  }

  /** An ENI comes to the node; the VPC's router has the first address of its subnet. */
  async attach(eni: string, address: string, mac: string): Promise<void> {
    const router = address.replace(/\.\d+\//, ".1/");
    await this.node.sh(`ip link add ${eni} address ${mac} type veth peer name vpc-${eni} netns ${this.vpc.pid}
      ip addr add ${address} dev ${eni}; ip link set ${eni} up; echo 0 > /proc/sys/net/ipv4/conf/${eni}/rp_filter`);
    await this.vpc.sh(
      `ip addr add ${router} dev vpc-${eni}; ip link set vpc-${eni} up; echo 0 > /proc/sys/net/ipv4/conf/vpc-${eni}/rp_filter`,
    );
    if (eni === "eth0") return;
    const table = this.#options.tableOf(eni);
    await this.node.sh(`ip route add default via ${router.split("/")[0]} dev ${eni} table ${table} onlink`);
  }

  async detach(eni: string): Promise<void> {
    await this.node.sh(`ip link del ${eni}`);
  }

  /** A Pod as tke-route-eni makes it: a veth pair, a /32 route to it, and the two rules (tke-contract.md §9). */
  async routePod(name: string, options: PodOptions & { readonly eni: string }): Promise<Namespace> {
    const { ip, ip6, eni } = options;
    const pod = await this.#podNamespace(name);
    const veth = `eni${name}`.slice(0, 15);
    await this.node.sh(`ip link add ${veth} address ${HOST_SIDE} type veth peer name eth0 netns ${pod.pid}; ip link set ${veth} up
      echo 0 > /proc/sys/net/ipv4/conf/${veth}/rp_filter`);
    await pod.sh(`ip addr add ${ip}/32 dev eth0; ip link set eth0 up
      ip route add 169.254.1.1 dev eth0 scope link; ip route add default via 169.254.1.1 dev eth0
      ip neigh replace 169.254.1.1 lladdr ${HOST_SIDE} dev eth0 nud permanent`);
    await this.moveRules(ip, eni, veth);
    await this.vpc.sh(`ip route replace ${ip}/32 via ${await this.#addressOf(eni)} dev vpc-${eni}`);
    if (ip6 !== undefined) {
      const { toPriority, fromPriority, tableOf } = this.#options;
      await this.node.sh(`ip -6 route replace ${ip6}/128 dev ${veth}; ip -6 route replace default dev ${eni} table ${tableOf(eni)}
        ip -6 rule add pref ${toPriority} to ${ip6} lookup main; ip -6 rule add pref ${fromPriority} from ${ip6} lookup ${tableOf(eni)}`);
    }
    return pod;
  }

  /** Lays the route and the rules of an address; those that it had go first. */
  async moveRules(ip: string, eni: string, veth: string): Promise<void> {
    const { toPriority, fromPriority, tableOf } = this.#options;
    await this.node.sh(`while ip rule del from ${ip} 2>/dev/null; do :; done; while ip rule del to ${ip} 2>/dev/null; do :; done
      ip route replace ${ip}/32 dev ${veth} scope link
      ip rule add pref ${toPriority} to ${ip} lookup main; ip rule add pref ${fromPriority} from ${ip} lookup ${tableOf(eni)}`);
  }

  /** A Pod of GlobalRouter: its veth is a port of the bridge cbr0, which has the first address of the range. */
  async bridgePod(name: string, { ip }: PodOptions): Promise<Namespace> {
    const pod = await this.#podNamespace(name);
    const gateway = ip.replace(/\.\d+$/, ".1");
    await this.node.sh(`ip link show cbr0 >/dev/null 2>&1 || { ip link add cbr0 type bridge; ip addr add ${gateway}/24 dev cbr0; ip link set cbr0 up; }
      ip link add veth${name} type veth peer name eth0 netns ${pod.pid}; ip link set veth${name} master cbr0 up`);
    await pod.sh(`ip addr add ${ip}/24 dev eth0; ip link set eth0 up; ip route add default via ${gateway}`);
    await this.vpc.sh(`ip route replace ${ip}/32 via 10.0.1.2 dev vpc-eth0`);
    return pod;
  }

  /** A Pod whose ENI is in its own namespace (exclusive ENI): the node sees nothing of it. */
  async exclusivePod(name: string, { ip, mac }: { readonly ip: string; readonly mac: string }): Promise<Namespace> {
    const pod = await this.#podNamespace(name);
    const router = ip.replace(/\.\d+$/, ".1");
    await this.vpc.sh(
      `ip link add vpc-${name} type veth peer name eth0 netns ${pod.pid}; ip addr add ${router}/24 dev vpc-${name}; ip link set vpc-${name} up`,
    );
    await pod.sh(`ip link set eth0 address ${mac}; ip addr add ${ip}/24 dev eth0; ip link set eth0 up; ip route add default via ${router}`);
    return pod;
  }

  async #addressOf(eni: string): Promise<string> {
    return (await this.node.sh(`ip -4 -o addr show dev ${eni} | sed 's/.*inet \\([0-9.]*\\).*/\\1/'`)).trim();
  }

  async #podNamespace(name: string): Promise<Namespace> {
    const pod = await Namespace.make();
    this.#pods.set(name, pod);
    return pod;
  }
}
