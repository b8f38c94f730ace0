/** The demo in a cluster that is not its own: a real control plane with simulated nodes, which it finds by KUBECONFIG. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { addressPlan, claimSlot, type SlotClaim } from "../cluster/network.ts";
import { until } from "../cluster/process.ts";
import { findControlPlane } from "../cluster/real/binaries.ts";
import { ADMIN, kubeletUser } from "../cluster/real/certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "../cluster/real/control-plane.ts";
import { untilSchedulable } from "../cluster/real/schedulable.ts";
import { listAll } from "../cluster/simulated/cluster.ts";
import type { Metadata } from "../cluster/simulated/objects.ts";
import { type SimulatedCluster, startSimulatedCluster } from "../cluster/simulated/start.ts";
import { perform, startDemo } from "./testing.ts";

const found = await findControlPlane();
const skip = found.kind === "missing" ? found.reason : (networkFault(addressPlan(1)) ?? false);
const NODES = ["node-a", "node-b"];
const KUBECONFIG_DEMO = ["--cluster", "kubeconfig"];

test("without KUBECONFIG it says what to set", { timeout: 60_000 }, async (t) => {
  const demo = startDemo(t, KUBECONFIG_DEMO, { KUBECONFIG: "" });
  assert.equal(await demo.exited, 1);
  assert.match(demo.output(), /^--cluster kubeconfig needs to know which cluster: set KUBECONFIG, e\.g\. .*\n$/);
});

/** A skipped suite would not be counted; a skipped test is. */
if (skip === false) suite("in a cluster named by KUBECONFIG", inNamedCluster);
else test("in a cluster named by KUBECONFIG", { skip });

function inNamedCluster(): void {
  let slot: SlotClaim;
  let cluster: RealCluster;
  let client: KubeClient;
  let nodes: SimulatedCluster | undefined;
  let env: { KUBECONFIG: string };

  before(async () => {
    slot = await claimSlot();
    assert.ok(found.kind === "found");
    cluster = await startControlPlane({ plan: slot.plan, binaries: found.binaries });
    env = { KUBECONFIG: await cluster.kubeconfigFile(ADMIN) };
    client = await makeKubeClient({ clock: makeClock(), env, userAgent: "demo-test" });
  });
  after(async () => {
    await nodes?.stop();
    await client?.close();
    await cluster?.stop();
    await slot?.release();
  });

  const refusal = async (t: Parameters<typeof startDemo>[0]): Promise<string> => {
    const demo = startDemo(t, KUBECONFIG_DEMO, env);
    assert.equal(await demo.exited, 1);
    return demo.output();
  };

  test("a cluster without nodes is refused", { timeout: 60_000 }, async (t) => {
    assert.equal(await refusal(t), "no Node of that cluster runs Pods: it has none\n");
  });

  test("a cluster that has a namespace of that name is refused, and the namespace stays", { timeout: 60_000 }, async (t) => {
    await client.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } });
    assert.match(await refusal(t), /^the demo needs a cluster without namespaces\/demo, and touches nothing that is not its own/);
    await client.delete("/api/v1/namespaces/demo");
    await until("the namespace is gone", async () => !(await namesOf(client)).includes("namespaces/demo"));
  });

  test("its rollout loses no request, and all that it made is taken away", { timeout: 240_000 }, async (t) => {
    nodes = await startNodes(cluster, client, slot);
    const names = await namesOf(client);
    const { code, summary, output } = await perform(t, [...KUBECONFIG_DEMO, "--replicas", "2"], env);
    assert.equal(code, 0, output);
    assert.equal(summary.failed, 0, JSON.stringify(summary.causes));
    assert.deepEqual(await namesOf(client), names);
  });

  test("Ctrl-C in the middle takes everything away as well", { timeout: 180_000 }, async (t) => {
    const names = await namesOf(client);
    const demo = startDemo(t, [...KUBECONFIG_DEMO, "--replicas", "2"], env);
    await until("the example is there", () => demo.output().includes("applied deploy/examples"), 60_000);
    assert.notDeepEqual(await namesOf(client), names);
    demo.child.kill("SIGINT");
    assert.equal(await demo.exited, 130, demo.output());
    assert.deepEqual(await namesOf(client), names);
  });
}

async function startNodes(cluster: RealCluster, client: KubeClient, { plan }: SlotClaim): Promise<SimulatedCluster> {
  const nodes = await startSimulatedCluster({
    client,
    clock: makeClock(),
    log: pino({ level: "silent" }),
    plan,
    nodes: NODES,
    controllers: [],
    kubeletClient: (node) => cluster.client(kubeletUser(node)),
  });
  await untilSchedulable(client, NODES);
  return nodes;
}

const KINDS = [
  "/api/v1/namespaces",
  "/api/v1/pods",
  "/api/v1/services",
  "/api/v1/secrets",
  "/apis/apps/v1/deployments",
  "/apis/rbac.authorization.k8s.io/v1/clusterroles",
  "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
  "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
  "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
  "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
  "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
];

/** What the demo could leave, e.g. ["namespaces/default", …]; Leases and Events are the cluster's own. */
async function namesOf(client: KubeClient): Promise<readonly string[]> {
  const lists = await Promise.all(
    KINDS.map(async (path) => {
      const items = await listAll<{ readonly metadata: Metadata }>(client, path);
      return items.map(({ metadata }) =>
        [path.split("/").at(-1), metadata.namespace, metadata.name].filter((part) => part !== undefined).join("/"),
      );
    }),
  );
  return lists.flat().sort();
}
