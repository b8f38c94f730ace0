/** `kubectl wait --for=condition=Ready service/web`: the condition says what is at the load balancer, also right after an edit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVICE } from "./examples.ts";
import { converged, loadBalancer } from "./look.ts";
import { applyExample, startWorld, until } from "./world.ts";

type Condition = { readonly type: string; readonly status: string; readonly reason: string; readonly observedGeneration?: number };
type Service = {
  readonly metadata: { readonly generation?: number };
  readonly spec: { readonly ports: readonly object[] };
  readonly status: { readonly conditions?: readonly Condition[] };
};
/** A former answer is seen for so long at most after an edit: until the coordinator has heard of it and has written. Milliseconds. */
const STALE_MS = 2_000;
const LOOK_MS = 10;

test("condition Ready of a Service is True only when what it asks for is at the load balancer", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t);
  await applyExample(world);
  const look = async (): Promise<{ readonly service: Service; readonly ready: Condition | undefined }> => {
    const service = await world.client.get<Service>(SERVICE);
    return { service, ready: service.status.conditions?.find(({ type }) => type === "Ready") };
  };
  const listening = (): number => world.cloud.cloud.state().loadBalancers.reduce((sum, { listeners }) => sum + listeners.length, 0);
  /** As kubectl reads it: an answer about a former generation is none. Of Services a real API server counts none. */
  const isMet = ({ service: { metadata }, ready }: Awaited<ReturnType<typeof look>>): boolean =>
    ready?.status === "True" &&
    (metadata.generation === undefined || (ready.observedGeneration ?? metadata.generation) >= metadata.generation);

  await until("Ready for the first time", async () => isMet(await look()), 60_000);
  assert.equal(listening(), 1);
  await converged(world, { count: 6 });
  const { service } = await look();
  const first = service.spec.ports[0];
  for (const more of [1, 2]) {
    const ports = [...Array(more + 1).keys()].map((n) => ({
      ...first,
      name: `port-${n}`,
      port: world.plan.servicePort + n,
      targetPort: 8080,
    }));
    await world.client.patch(SERVICE, { spec: { ports } }, "merge");
    const editedMs = performance.now();
    let heardMs: number | undefined;
    await until(
      "Ready for the new port",
      async () => {
        // First the cloud: a listener that comes between the two reads makes no True too early.
        const listeners = listening();
        const seen = await look();
        if (heardMs === undefined && (!isMet(seen) || listeners === ports.length)) heardMs = performance.now() - editedMs;
        if (heardMs === undefined) assert.ok(performance.now() - editedMs < STALE_MS, "the former answer is still there");
        else if (isMet(seen)) assert.equal(listeners, ports.length, "True before its listener is there");
        return heardMs !== undefined && isMet(seen);
      },
      60_000,
      LOOK_MS,
    );
    t.diagnostic(
      `the former answer was seen for ${Math.round(heardMs ?? 0)} ms, generation ${String((await look()).service.metadata.generation)}`,
    );
  }
  assert.equal(loadBalancer(world).listeners.length, 3);
});
