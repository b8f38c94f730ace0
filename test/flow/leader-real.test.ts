import assert from "node:assert/strict";
import { test } from "node:test";
import { TEST_KEY } from "../cloud/options.ts";
import { until } from "../cluster/process.ts";
import { startLoad } from "../demo/load.ts";
import { applyRealExample, type RealWorld, realSkip, startRealWorld } from "./real-world.ts";
import { SECOND_KEY } from "./world.ts";

const DEPLOYMENT = "/apis/apps/v1/namespaces/demo/deployments/web";
type Deployment = {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly replicas?: number;
  };
};

const rollOut = (world: RealWorld, version: string): Promise<unknown> =>
  world.admin.patch(DEPLOYMENT, { spec: { template: { metadata: { annotations: { version } } } } }, "merge");

/** All replicas new and available, and the load balancer has exactly these, alive. */
const converged = (world: RealWorld): Promise<unknown> =>
  until(
    "the rollout's end",
    async () => {
      const { metadata, spec, status } = await world.admin.get<Deployment>(DEPLOYMENT);
      const targets = world.cloud.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
      const rolled =
        status.observedGeneration === metadata.generation &&
        status.updatedReplicas === spec.replicas &&
        status.replicas === spec.replicas &&
        status.availableReplicas === spec.replicas;
      return rolled && targets.length === spec.replicas && targets.every(({ weight, health }) => weight > 0 && health === "Alive");
    },
    120_000,
    100,
  );

/** Who wrote to the cloud since then, without repetitions. */
function writers(world: RealWorld, sinceMs: number): string[] {
  const names: Record<string, string> = { [TEST_KEY.secretId]: "first", [SECOND_KEY.secretId]: "second" };
  const calls = world.cloud.cloud.journal.of("call").filter(({ action, startMs }) => !action.startsWith("Describe") && startMs >= sinceMs);
  const order = calls.sort((a, b) => a.startMs - b.startMs).map(({ caller }) => names[caller] ?? caller);
  return order.filter((writer, index) => writer !== order[index - 1]);
}

const leads = (address: string): Promise<boolean> =>
  fetch(`http://${address}:9090/explain`, { signal: AbortSignal.timeout(1_000) }).then(
    ({ ok }) => ok,
    () => false,
  );

test("two coordinators on a real control plane: killed, cut off and handed over under traffic, one writer at any time", {
  skip: await realSkip(),
  timeout: 300_000,
}, async (t) => {
  const world = await startRealWorld(t, { replicas: 2 });
  await applyRealExample(world);
  await converged(world);
  const [balancer] = world.cloud.cloud.state().loadBalancers;
  const load = startLoad({ host: balancer?.vip ?? "", port: world.plan.servicePort, rate: 40, localAddress: world.plan.client });
  t.after(() => load.stop());

  await t.test("the leader is killed in the middle of a rollout", async () => {
    const sinceMs = Date.now();
    await rollOut(world, "1");
    await until("a write of this rollout", () => writers(world, sinceMs).length > 0);
    world.product.coordinator(0)?.signal("SIGKILL");
    const fromMs = performance.now();
    await until("the second to lead", () => leads(world.plan.standby), 20_000, 20);
    assert.ok(performance.now() - fromMs <= 5_000, `took over after ${Math.round(performance.now() - fromMs)} ms`);
    await converged(world);
    assert.deepEqual(writers(world, sinceMs), ["first", "second"]);
    await world.product.startCoordinator(0);
  });

  await t.test("the API server is frozen for longer than the Lease: nobody writes, nothing is removed, then it goes on", async () => {
    const sinceMs = Date.now();
    await rollOut(world, "2");
    await until("a write of this rollout", () => writers(world, sinceMs).length > 0);
    world.cluster.part("kube-apiserver").signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 3_000)); // two thirds of the Lease are over, calls that were on their way have ended
    const stoppedMs = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const during = writers(world, stoppedMs);
    world.cluster.part("kube-apiserver").signal("SIGCONT");
    assert.deepEqual(during, [], "a leader that cannot renew its Lease writes nothing");
    await converged(world);
  });

  await t.test("the leader is stopped in the middle of a rollout", async () => {
    const sinceMs = Date.now();
    await rollOut(world, "3");
    await until("a write of this rollout", () => writers(world, sinceMs).length > 0);
    const replica = (await leads(world.plan.standby)) ? 1 : 0;
    const fromMs = performance.now();
    const stopped = world.product.coordinator(replica)?.stop();
    await until("the other to lead", () => leads(replica === 1 ? world.plan.coordinator : world.plan.standby), 20_000, 20);
    assert.ok(performance.now() - fromMs <= 1_500, `took over after ${Math.round(performance.now() - fromMs)} ms`); // a second, and half a one for a call on its way
    await stopped;
    await converged(world);
    assert.equal(writers(world, sinceMs).length, 2);
  });

  const { requests, failures } = await load.stop();
  assert.ok(requests > 1_000);
  assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${requests} requests failed`);
  assert.equal(world.cloud.cloud.counts().overlaps, 0);
});
