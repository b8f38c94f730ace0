/**
 * Pods that real kubelets made, on nodes whose network is TKE's: which ENI carries each, and whether what the product says of security groups is
 * what a connection really meets. nftables on the Pods' host side plays the groups.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { PodExplanation } from "../../../../coordinator/explain/explain.ts";
import type { Attempt } from "../../../agent/kernel/peer.ts";
import { PORT, RULE_SETS, type RuleSet, SENDERS } from "../../../agent/kernel/rule-sets.ts";
import { applyManifests } from "../../manifests.ts";
import { until } from "../../process.ts";
import type { Pod } from "../../simulated/objects.ts";
import { run } from "./run.ts";
import { groupCommands } from "./security-groups.ts";
import type { RealNode } from "./start.ts";
import { endAll, startTestProduct, type TestProduct } from "./test-product.ts";
import { makeNamespace, NODE_NAMES, realNodesSkip } from "./testing.ts";
import { clientGroup, firstVerdict, openService, poolOf, tkeAccount, tkePod, untilExplained } from "./tke-account.ts";

const skip = await realNodesSkip();
const PEER = new URL("../../../agent/kernel/peer.ts", import.meta.url).pathname;
const SETS = Object.entries(RULE_SETS);
/** Of the nodes' own ENIs, which count for Pods of GlobalRouter. */
const NODE_SETS = ["one network accepted", "the first of two groups drops"];
const PROTOCOLS = ["TCP", "UDP"] as const;
/** Of them have a Pod with an ENI of its own on each node as well. */
const DIRECT_PER_NODE = 2;
/** A Pod of each set of rules, by VPC-CNI with a shared ENI; then some with their own, and one of GlobalRouter on each node. */
const ROUTED = SETS.length;

const setOf = (name: string): RuleSet => RULE_SETS[name] ?? [];

/** Of the node at this place: its own ENI has its own set, and addresses of Pods take the sets in turn. */
const rulesOfNode = (index: number) => ({ own: setOf(NODE_SETS[index] ?? ""), pools: SETS.map(([, rules]) => rules) });

async function startWorld(t: TestContext): Promise<TestProduct> {
  const steps: (() => Promise<unknown>)[] = [];
  t.after(() => endAll(steps));
  const world = await startTestProduct((step) => steps.push(step), {
    accountOf: (nodes) => tkeAccount(nodes, rulesOfNode, SENDERS),
    coordinatorEnv: { GLOBAL_ROUTER_DIRECT_ACCESS: "true" },
  });
  await Promise.all(NODE_NAMES.map((node) => world.product.startAgent(node)));
  await makeNamespace(world.started.admin, "demo");
  return world;
}

type Cell = { readonly cell: string; readonly verdict: string; readonly met: string };

/** The Pod, where it runs, and the groups that count for it. */
type Judged = { readonly name: string; readonly ip: string; readonly node: string; readonly mode: string; readonly set: string };

async function podsWithAddress({ started: { admin, nodes } }: TestProduct, names: readonly string[]): Promise<Judged[]> {
  const pods = await until(
    "every Pod runs with an address",
    async () => {
      const { items } = await admin.list<Pod>("/api/v1/namespaces/demo/pods");
      const wanted = items.filter(({ metadata, status }) => names.includes(metadata.name) && status?.podIP !== undefined);
      return wanted.length === names.length && wanted.every(({ status }) => status?.phase === "Running") && wanted;
    },
    90_000,
    200,
  );
  return pods.map(({ metadata: { name }, spec: { nodeName: node = "" }, status }) => {
    const ip = status?.podIP ?? "";
    const index = NODE_NAMES.indexOf(node);
    const isBridged = name.startsWith("bridge-");
    const set = isBridged ? (NODE_SETS[index] ?? "") : (SETS[poolOf(nodes.nodes, node, ip, ROUTED)]?.[0] ?? "");
    return { name, ip, node, mode: modeOf(name), set };
  });
}

const modeOf = (name: string): string =>
  name.startsWith("bridge-") ? "tke-bridge" : name.startsWith("direct-") ? "tke-direct-eni" : "tke-route-eni";

/** What the product says of that sender: the clients of the load balancer whose own group lets in him alone. */
function verdictFor({ verdicts }: PodExplanation, loadBalancerId: string, protocol: string): string {
  const start = `${loadBalancerId} ${protocol}:80: security-group `;
  const found = verdicts.find((text) => text.startsWith(start) && text.includes(" for clients"));
  return found?.slice(start.length).split(" ")[0] ?? "none";
}

test("on nodes of TKE: each Pod's ENI and verdict, and the verdict is what a connection meets in every cell", {
  skip,
  timeout: 240_000,
}, async (t) => {
  const world = await startWorld(t);
  const { admin, nodes } = world.started;
  const balancers = await Promise.all(SENDERS.map((_, at) => openService(world, `from-${at}`, clientGroup(at), PORT)));
  const routed = SETS.map((_, at) => tkePod(`route-${at}`, NODE_NAMES[at % NODE_NAMES.length] ?? "", "tke-route-eni"));
  await applyManifests(admin, routed); // first: their addresses are the first ones of each node, so each set of rules gets one
  const names = routed.map(({ metadata }) => metadata.name);
  await podsWithAddress(world, names);
  const direct = NODE_NAMES.flatMap((node) =>
    Array.from({ length: DIRECT_PER_NODE }, (_, at) => tkePod(`direct-${node}-${at}`, node, "tke-direct-eni")),
  );
  const bridged = NODE_NAMES.map((node) => tkePod(`bridge-${node}`, node, "tke-bridge"));
  const others = [...direct, ...bridged];
  await applyManifests(admin, others);
  const pods = await podsWithAddress(world, [...names, ...others.map(({ metadata }) => metadata.name)]);
  // A kubelet that had to make a Pod's network twice has skipped an address, and with it a set.
  const sets = new Set(pods.filter(({ mode }) => mode === "tke-route-eni").map(({ set }) => set));
  assert.ok(sets.size >= 6, `only these sets of rules have a Pod: ${[...sets].join(", ")}`);

  for (const [index, node] of nodes.nodes.entries())
    await layGroups(
      nodes.enter(node.name),
      pods.filter((pod) => pod.node === node.name),
      index,
    );
  await run(["sh", "-ec", SENDERS.map((ip) => `ip address replace ${ip}/32 dev lo`).join("; ")]);
  t.after(() => run(["sh", "-c", SENDERS.map((ip) => `ip address del ${ip}/32 dev lo`).join("; ")]));

  await t.test("the ENI is found in the node's kernel, and in the account with subnet and groups", async () => {
    for (const { name, mode, node } of pods) {
      // What the kernel shows and what the account knows come by different ways.
      const told = await untilExplained(
        world,
        name,
        ({ eni, hostInterface, verdicts }) => eni !== undefined && hostInterface !== undefined && verdicts.length > 0,
      );
      assert.match(told.networkMode ?? "", new RegExp(`^${mode} \\(`), name);
      assert.match(
        told.eni ?? "",
        mode === "tke-bridge" ? new RegExp(`^eni-${node.replace("-", "")} in subnet-nodes `) : /^eni-pods\w+ in subnet-pods \(/,
        name,
      );
      if (mode === "tke-route-eni") assert.equal(told.hostInterface, "eth1", `${name}: the interface that its rule leads to`);
      if (mode === "tke-direct-eni") assert.equal(told.hostInterface, "", `${name}: an interface that the node does not have`);
    }
  });

  await t.test("the table: mode × rules × sender × protocol", async () => {
    const attempts = pods.flatMap(({ ip }) =>
      SENDERS.flatMap((from) => PROTOCOLS.map((protocol): Attempt => ({ protocol, from, to: ip, port: PORT }))),
    );
    await until("every application listens", async () => await hasAnswered(pods, nodes.nodes, nodes.enter), 60_000, 500);
    const meet = async (): Promise<boolean[]> => {
      return JSON.parse(await run([process.execPath, PEER, "connect", JSON.stringify(attempts)])) as boolean[]; // from the program of that file
    };
    const table = async (met: readonly boolean[]): Promise<Cell[]> => {
      const told = new Map<string, PodExplanation>();
      for (const { ip, name } of pods) told.set(ip, await world.product.explain<PodExplanation>(`?pod=demo/${name}`));
      return attempts.map(({ protocol, from, to }, at) => {
        const pod = pods.find(({ ip }) => ip === to);
        const explained = told.get(to);
        const verdict =
          explained === undefined ? "none" : verdictFor(explained, balancers[SENDERS.findIndex((ip) => ip === from)] ?? "", protocol);
        return { cell: `${pod?.mode} | ${pod?.set} | ${protocol} from ${from}`, verdict, met: met[at] === true ? "allowed" : "denied" };
      });
    };
    let cells: Cell[] = [];
    const differing = (): Cell[] => cells.filter(({ verdict, met: real }) => verdict !== real);
    await until(
      () => `verdicts are what connections met: ${JSON.stringify(differing())}`,
      async () => {
        cells = await table(await meet()); // anew: on a busy machine a connection may come too late
        return differing().length === 0;
      },
      60_000,
      1_000,
    );
    const outcomes = new Set(cells.map(({ met: real }) => real));
    assert.ok(cells.length >= 40 && outcomes.size === 2, `${cells.length} cells`);
    t.diagnostic(`${cells.length} cells, ${cells.filter((one) => one.met === "allowed").length} allowed; all as the connections met`);
  });

  await t.test("a new Pod's ENI, subnet and verdict are visible in explain soon after it has its address", async () => {
    const { createdMs, addressMs, verdictMs } = await firstVerdict(world, tkePod("route-timed", NODE_NAMES[0] ?? "", "tke-route-eni"));
    t.diagnostic(
      `Pod created → address ${addressMs - createdMs} ms → ENI, subnet and verdict in explain ${verdictMs - addressMs} ms later`,
    );
  });
});

/** nftables of the node plays the groups of its Pods. */
async function layGroups(enter: readonly string[], pods: readonly Judged[], index: number): Promise<void> {
  const commands = groupCommands(
    pods.map(({ ip, mode, set }) => ({ ip, rules: mode === "tke-bridge" ? rulesOfNode(index).own : setOf(set) })),
  );
  await run([...enter, "nft", commands]);
}

/** From the Pods' own nodes, where no group is asked. */
async function hasAnswered(
  pods: readonly Judged[],
  nodes: readonly RealNode[],
  enter: (node: string) => readonly string[],
): Promise<boolean> {
  for (const { name: node } of nodes) {
    const attempts = pods
      .filter((pod) => pod.node === node)
      .map(({ ip }): Attempt => ({ protocol: "TCP", from: "0.0.0.0", to: ip, port: PORT }));
    const answers = JSON.parse(await run([...enter(node), process.execPath, PEER, "connect", JSON.stringify(attempts)])) as boolean[]; // from the program of that file
    if (!answers.every(Boolean)) return false;
  }
  return true;
}
