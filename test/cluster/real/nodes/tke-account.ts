/** The account around real nodes that are TKE's: their ENIs, the addresses of Pods on them, security groups; and what runs there. */
import { DEFAULT_GATE_TYPE, DIRECT_ACCESS, EXISTING_LOAD_BALANCER, POD_NETWORKS, POD_NETWORKS_STATUS } from "../../../../common/names.ts";
import type { PodExplanation } from "../../../../coordinator/explain/explain.ts";
import type { RuleSet } from "../../../agent/kernel/rule-sets.ts";
import { applyManifests, type Manifest } from "../../manifests.ts";
import { until } from "../../process.ts";
import type { Pod } from "../../simulated/objects.ts";
import { APPLICATION_IMAGES } from "./configuration.ts";
import type { RealNode } from "./start.ts";
import type { TestProduct } from "./test-product.ts";

export type NodeRules = { readonly own: RuleSet; readonly pools: readonly RuleSet[] };

const ALL = { action: "ACCEPT", protocol: "ALL", port: "ALL" } as const;
/** The first of a /26 that a Pod gets: the one below is the gateway's. */
const FIRST_POD = 2;
const LAST_POD = 62;

/** The group of a load balancer that lets in one sender alone; `at`: his place among the senders. */
export const clientGroup = (at: number): string => `sg-sender${at}`;

/** A scenario: each node's own ENI, and one ENI for each set of rules, to which the addresses of its Pods belong in turn. */
export function tkeAccount(nodes: readonly RealNode[], rulesOf: (index: number) => NodeRules, senders: readonly string[]): object {
  const [first] = nodes;
  const range = `${first?.address.split(".").slice(0, 3).join(".")}.0/24`;
  const subnet = (id: string) => ({ id, vpc: "vpc-tke", cidr: range, zone: "ap-guangzhou-3" });
  const sets = nodes.map((_, index) => rulesOf(index));
  return {
    vpcs: [{ id: "vpc-tke", cidr: range }],
    subnets: [subnet("subnet-nodes"), subnet("subnet-pods")],
    instances: nodes.map((node, index) => ({
      id: `ins-${plain(node.name)}`,
      enis: [
        {
          id: `eni-${plain(node.name)}`,
          subnet: "subnet-nodes",
          ip: node.address,
          securityGroups: groupIds(`${plain(node.name)}own`, sets[index]?.own),
        },
        ...(sets[index]?.pools ?? []).map((rules, pool, all) => ({
          id: `eni-pods${plain(node.name)}${pool}`,
          subnet: "subnet-pods",
          // Only the first is the interface that the kernel shows; the cloud alone knows whose groups count for an address.
          ...(pool === 0 ? { mac: node.eniMac } : {}),
          ip: addressAt(node, LAST_POD - pool),
          secondaryIps: podAddresses(node)
            .slice(0, -all.length) // the last ones are the ENIs' own
            .filter((ip) => poolOf(nodes, node.name, ip, all.length) === pool),
          securityGroups: groupIds(`pool${pool}`, rules),
        })),
      ],
    })),
    securityGroups: [
      ...nodes.flatMap((node, index) => groups(`${plain(node.name)}own`, sets[index]?.own)),
      ...(sets[0]?.pools ?? []).flatMap((rules, pool) => groups(`pool${pool}`, rules)),
      ...senders.map((sender, at) => ({ id: clientGroup(at), ingress: [{ ...ALL, cidr: `${sender}/32` }] })),
    ],
  };
}

const plain = (name: string): string => name.replaceAll("-", "");
const groupIds = (name: string, rules: RuleSet = []): string[] => rules.map((_, at) => `sg-${name}g${at}`);

/** As policies of the cloud. */
function groups(name: string, rules: RuleSet = []): object[] {
  return rules.map((own, at) => ({
    id: `sg-${name}g${at}`,
    ingress: own.flatMap(({ accept, services, sources }) =>
      sources.flatMap((cidr) =>
        services.map((service) => {
          const [protocol = "", port = "ALL"] = service.split(":");
          return { action: accept ? "ACCEPT" : "DROP", protocol: protocol.toUpperCase(), port, cidr };
        }),
      ),
    ),
  }));
}

const addressAt = ({ podRange }: RealNode, host: number): string =>
  podRange.replace(/(\d+)\/\d+$/, (_, first: string) => String(Number(first) + host));
const podAddresses = (node: RealNode): string[] =>
  Array.from({ length: LAST_POD - FIRST_POD + 1 }, (_, at) => addressAt(node, FIRST_POD + at));

/** Which set of rules counts for an address: in turn, each node beginning where the one before ends after its share of the first Pods. */
export function poolOf(nodes: readonly RealNode[], name: string, ip: string, pools: number): number {
  const index = nodes.findIndex((node) => node.name === name);
  const node = nodes[index];
  const at = node === undefined ? -1 : podAddresses(node).indexOf(ip);
  return (at + Math.floor((index * pools) / nodes.length)) % pools;
}

/** A MAC of an ENI inside a Pod, which no kernel of a node shows. */
const OWN_MAC = "20:90:6f:00:0d:01";
/** What multus writes on a Pod with an ENI of its own. */
const ownEni = JSON.stringify([{ name: "tke-direct-eni", interface: "eth0", mac: OWN_MAC, default: true }]);

/** A Pod with a gate in that network. Its application answers TCP and UDP at 8080; the load balancers of `from-<n>` send to it. */
export function tkePod(name: string, node: string, network: string) {
  const env = { STARTUP_SECONDS: "0", UDP_PORTS: "8080" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "demo",
      labels: { app: "table" },
      annotations: { [POD_NETWORKS]: network, ...(network === "tke-direct-eni" && { [POD_NETWORKS_STATUS]: ownEni }) },
    },
    spec: {
      nodeName: node,
      readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }],
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "main",
          image: APPLICATION_IMAGES[0],
          imagePullPolicy: "Never",
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
        },
      ],
    },
  } satisfies Manifest;
}

/** A load balancer with that security group, and a Service on it that sends TCP and UDP of port 80 to those Pods. Gives its id. */
export async function openService(
  { cloud: { cloud }, started: { admin } }: TestProduct,
  name: string,
  group: string,
  port: number,
): Promise<string> {
  const { loadBalancerId } = cloud.addLoadBalancer({ name });
  await cloud.call(
    "clb",
    "SetLoadBalancerSecurityGroups",
    { LoadBalancerId: loadBalancerId, SecurityGroups: [group] },
    { name: "a person" },
  );
  const ports = ["TCP", "UDP"].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: 80, targetPort: port }));
  const annotations = { [DIRECT_ACCESS]: "true", [EXISTING_LOAD_BALANCER]: loadBalancerId };
  await applyManifests(admin, [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "demo", annotations },
      spec: { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, selector: { app: "table" }, ports },
    },
  ]);
  return loadBalancerId;
}

const isJudged = (text: string): boolean => text.includes("security-group") && !text.includes("security-group unknown");

/** What explain says of the Pod, once it says enough; where it never does, the error has its last word. */
export async function untilExplained(
  { product }: Pick<TestProduct, "product">,
  pod: string,
  isEnough: (told: PodExplanation) => boolean,
): Promise<PodExplanation> {
  let last = "nothing";
  return await until(
    () => `explain says enough of ${pod}; it says ${last}`,
    async () => {
      const told = await product.explain<PodExplanation>(`?pod=demo/${pod}`).catch((error: unknown) => void (last = String(error)));
      if (told === undefined) return undefined;
      last = JSON.stringify(told);
      return isEnough(told) && told;
    },
    EXPLAINED_MS,
    LOOK_MS,
  );
}

/** When a new Pod was created, has its address, and its ENI, subnet and verdict are in explain: milliseconds of this process's clock. */
export async function firstVerdict(
  { product, started: { admin } }: TestProduct,
  pod: ReturnType<typeof tkePod>,
): Promise<{ readonly createdMs: number; readonly addressMs: number; readonly verdictMs: number }> {
  const { name } = pod.metadata;
  const createdMs = performance.now();
  await applyManifests(admin, [pod]);
  const hasAddress = async (): Promise<boolean> =>
    (await admin.get<Pod>(`/api/v1/namespaces/demo/pods/${name}`)).status?.podIP !== undefined;
  await until(`${name} has an address`, hasAddress, 60_000, LOOK_MS);
  const addressMs = performance.now();
  await untilExplained({ product }, name, ({ eni, verdicts }) => eni !== undefined && verdicts.some(isJudged));
  return { createdMs, addressMs, verdictMs: performance.now() };
}

/** The error of what firstVerdict measures. */
const LOOK_MS = 20;
const EXPLAINED_MS = 60_000;
