import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { converged, podsOf } from "./disturbed-rollout.ts";
import { changedExample, rollOut, SERVICE, scaleTo } from "./examples.ts";
import { podsOf as apiPods, assertNoFailure, gateOf, loadBalancer, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

/** What people do to objects by hand, and what must still hold. */
const SOON = { coordinatorEnv: { RESYNC_MS: "1000", HEALTH_IDLE_MS: "1000" } };

test("our finalizer removed, our gate turned back, our Service turned into another type and back", { timeout: 150_000 }, async (t) => {
  const world = await startWorld(t, SOON);
  await applyExample(world, changedExample({ replicas: 3 }));
  await converged(world, 3);

  await t.test("a rollout loses no request although the finalizer was removed", async () => {
    const client = startClient(world, { rate: 40 });
    await world.client.patch(SERVICE, { metadata: { finalizers: null } }, "merge");
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await rollOut(world, "by hand");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await converged(world, 3, 60_000);
    assertNoFailure(await client.stop());
    const { metadata } = await world.client.get<{ metadata: { finalizers?: string[] } }>(SERVICE);
    assert.deepEqual(metadata.finalizers, ["clb-direct.io/load-balancer"]);
  });

  await t.test("a gate that somebody turned back is opened again", async () => {
    const [pod] = podsOf(world);
    const conditions = [{ type: DEFAULT_GATE_TYPE, status: "False", reason: "ByHand", message: "" }];
    await world.client.patch(`/api/v1/namespaces/demo/pods/${pod?.metadata.name}/status`, { status: { conditions } }, "strategic");
    await until(
      "the gate open again",
      async () => (await apiPods(world, "app=web")).every((one) => gateOf(one)?.status === "True"),
      10_000,
    );
  });

  await t.test("a Service that was something else for a while is served again", async () => {
    await world.client.patch(SERVICE, { spec: { type: "ClusterIP", loadBalancerClass: null } }, "merge");
    await until("the load balancer deleted", () => world.cloud.cloud.state().loadBalancers.length === 0);
    await until("the finalizer gone", async () => {
      const { metadata } = await world.client.get<{ metadata: { finalizers?: string[] } }>(SERVICE);
      return (metadata.finalizers ?? []).length === 0;
    });
    await world.client.patch(SERVICE, { spec: { type: "LoadBalancer" } }, "merge");
    await converged(world, 3, 60_000);
  });
});

test("address claims that were deleted, an address that was bound by hand before us, one that was freed: dead backends go, foreign ones stay", {
  timeout: 150_000,
}, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { ...SOON.coordinatorEnv, DRAIN_MS: "1000" } });
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, 2);
  const { id, listeners } = loadBalancer(world);
  const register = (ip: string): Promise<unknown> =>
    world.cloud.cloud.call("clb", "RegisterTargets", {
      LoadBalancerId: id,
      ListenerId: listeners[0]?.id,
      Targets: [{ EniIp: ip, Port: 8080, Weight: 10 }],
    });

  await t.test("a Pod that ended while the coordinator was away goes although its address claim had been deleted before", async () => {
    await world.client.delete(`/api/v1/namespaces/clb-direct/configmaps/clb-direct-record-${id}-0`);
    await scaleTo(world, 3);
    await converged(world, 3);
    await world.product.coordinator()?.stop();
    const [victim] = podsOf(world);
    await world.client.delete(`/api/v1/namespaces/demo/pods/${victim?.metadata.name}`, { gracePeriodSeconds: 0 });
    await world.product.startCoordinator();
    await converged(world, 3, 40_000, "of those that have one");
  });

  await t.test("an address that somebody bound and that is freed by us before stays theirs", async () => {
    await scaleTo(world, 2);
    await until("one target less", () => boundTargets(world).size === 2, 30_000);
    const free = world.plan.podAddresses.at(-1) ?? "";
    await world.product.coordinator()?.stop();
    await world.product.startCoordinator();
    await until(
      "our registration accepted",
      () =>
        register(free).then(
          () => true,
          () => false,
        ),
      10_000,
      300,
    );
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    assert.ok(boundTargets(world).has(`${free}:8080`), "a foreign target is left alone");
  });
});
