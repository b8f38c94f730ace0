import assert from "node:assert/strict";
import { test } from "node:test";
import { errorFromAnswer, errorFromTransport } from "../../../common/kubernetes/api-error.ts";
import { IN_STEP, MANAGED_ANNOTATION } from "../../../common/names.ts";
import { makeConfigReconciler } from "../../../coordinator/configs/reconcile.ts";
import type { OwnerStanding } from "../../../coordinator/domain/intent/owner-intent.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { decodeConfig } from "../../../coordinator/state/config-objects.ts";
import type { Outcome } from "../../../coordinator/workqueue/worker.ts";
import { aListener, aLoadBalancer, anIntent, anOwner, aService, CLUSTER, SERVICE_UID } from "../../builders.ts";

const AUTO = { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config-auto": "true" };
const NAME = "web-auto-service-config";
const PATH = "/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs";
const OWNER = { apiVersion: "v1", kind: "Service", name: "web", uid: SERVICE_UID };

type Raw = {
  metadata: Record<string, unknown> & {
    annotations?: Record<string, string>;
    ownerReferences?: readonly object[];
    resourceVersion: string;
  };
  spec?: unknown;
};
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const merged = (old: unknown, patch: unknown): unknown => {
  if (!isRecord(patch)) return patch;
  const base = isRecord(old) ? old : {};
  return { ...base, ...Object.fromEntries(Object.entries(patch).map(([key, value]) => [key, merged(base[key], value)])) };
};

/** One owner, and an API server that keeps one TkeServiceConfig; `refuse`: what it answers instead of writing. */
function aWorld(
  standing: (intent: ReturnType<typeof anIntent>) => OwnerStanding = (intent) => ({ state: "served", intent, loadBalancerId: "lb-1" }),
) {
  const world = {
    service: aService({ annotations: AUTO }),
    stored: undefined as Raw | undefined,
    /** What the watch shows; undefined: as it is stored. */
    shown: undefined as { readonly as: Raw | undefined } | undefined,
    actual: aLoadBalancer({ listeners: [] }) as ReturnType<typeof aLoadBalancer> | undefined,
    refuse: undefined as Error | undefined,
    nowMs: 1_000_000,
    writes: [] as { readonly verb: string; readonly path: string; readonly body: Raw }[],
    told: [] as Problem[],
  };
  let version = 0;
  const store = (verb: string, path: string, body: Raw): void => {
    world.writes.push({ verb, path, body });
    if (world.refuse !== undefined) throw world.refuse;
    const { resourceVersion: _, ...metadata } = body.metadata;
    world.stored = merged(world.stored, { ...body, metadata: { uid: "config-1", ...metadata, resourceVersion: String(++version) } }) as Raw;
  };
  const pass = makeConfigReconciler({
    client: {
      create: (path, body) => Promise.resolve().then(() => store("create", path, body as Raw) as never),
      patch: (path, body) => Promise.resolve().then(() => store("patch", path, body as Raw) as never),
    },
    clock: { now: () => world.nowMs, sleep: () => Promise.reject(new Error("nobody sleeps")) },
    clusterId: CLUSTER,
    intents: {
      get: (uid) => (uid === SERVICE_UID ? anOwner(world.service, standing(anIntent(world.service))) : undefined),
      isCheckOff: () => true,
    },
    mirror: { read: () => world.actual },
    config: (namespace, name) => {
      const raw = world.shown === undefined ? world.stored : world.shown.as;
      return raw === undefined || namespace !== "demo" || name !== NAME ? undefined : decodeConfig(raw);
    },
    tell: (problem) => void world.told.push(problem),
  });
  const edit = (patch: object): void => {
    world.stored = merged(world.stored, { ...patch, metadata: { ...Object(patch).metadata, resourceVersion: String(++version) } }) as Raw;
  };
  return { world, edit, pass: (): Promise<Outcome> => pass(SERVICE_UID, AbortSignal.timeout(5_000)) };
}
const reasons = ({ told }: { readonly told: readonly Problem[] }): string[] => told.map(({ reason }) => reason);
const answer = (code: number, message: string, more: object = {}): Error =>
  errorFromAnswer(`POST ${PATH}`, code, JSON.stringify({ message, ...more }));

test("makes it once, with owner and mark, and writes nothing when it is in step", async () => {
  const { world, pass } = aWorld();
  assert.deepEqual(await pass(), { kind: "done" });
  const [made] = world.writes;
  assert.deepEqual([made?.verb, made?.path, made?.body.metadata["name"]], ["create", PATH, NAME]);
  assert.deepEqual(world.stored?.metadata.ownerReferences, [OWNER]);
  assert.deepEqual(world.stored?.metadata.annotations, { [MANAGED_ANNOTATION]: "true", [IN_STEP]: '["TCP/80"]' });
  for (let n = 0; n < 3; n++) assert.deepEqual(await pass(), { kind: "done" });
  assert.equal(world.writes.length, 1);
  assert.deepEqual(world.told, []);
});

test("writes over the version that it has read only, and of an edit leaves what a person wrote", async () => {
  const { world, edit, pass } = aWorld();
  await pass();
  edit({ spec: { loadBalancer: { internetMaxBandwidthOut: 7, l4Listeners: [{ protocol: "TCP", port: 80, scheduler: "LEAST_CONN" }] } } });
  world.service = aService({
    annotations: AUTO,
    ports: [80, 81].map((port) => ({ name: `p${port}`, protocol: "TCP", port, targetPort: 8080 })),
  });
  const read = world.stored?.metadata.resourceVersion;
  await pass();
  const { verb, path, body } = world.writes[1] ?? assert.fail();
  assert.deepEqual([verb, path, body.metadata["resourceVersion"], body.metadata["uid"]], ["patch", `${PATH}/${NAME}`, read, "config-1"]);
  const { spec } = world.stored ?? assert.fail();
  assert.deepEqual(Object(spec).loadBalancer.l4Listeners[0], { protocol: "TCP", port: 80, scheduler: "LEAST_CONN" });
  assert.equal(Object(spec).loadBalancer.internetMaxBandwidthOut, 7);
  world.refuse = answer(409, "the object has been modified");
  edit({ spec: { loadBalancer: { l4Listeners: [] } } });
  assert.equal((await pass()).kind, "again");
  assert.deepEqual(world.told, []);
});

test("waits until its own write is shown", async () => {
  const { world, pass } = aWorld();
  world.shown = { as: undefined };
  await pass();
  assert.equal((await pass()).kind, "again");
  assert.equal(world.writes.length, 1);
});

test("is put back after a deletion, ever more rarely, and the third time that is told", async () => {
  const { world, pass } = aWorld();
  await pass();
  await pass();
  const times: number[] = [];
  for (const end = world.nowMs + 180_000; world.nowMs < end; world.nowMs += 500) {
    if (world.stored !== undefined) await pass(); // the watch shows it before it goes
    world.stored = undefined;
    const before = world.writes.length;
    await pass();
    if (world.writes.length > before) times.push(world.nowMs - 1_000_000);
  }
  assert.ok(times.length >= 6 && times.length <= 12, `put back at ${times.join(", ")}`);
  const gaps = times.slice(1).map((at, n) => at - (times[n] ?? 0));
  assert.ok((gaps.at(-1) ?? 0) >= 30_000, `put back at ${times.join(", ")}`);
  assert.deepEqual([...new Set(reasons(world))], ["ServiceConfigNotKept"]);
  assert.match(world.told[0]?.message ?? "", /deletes TkeServiceConfig demo\/web-auto-service-config/);
});

test("reads one that was not made for it and never writes it; with our mark it is handed over", async () => {
  const { world, edit, pass } = aWorld();
  world.stored = { metadata: { uid: "config-1", name: NAME, namespace: "demo", resourceVersion: "0" }, spec: { loadBalancer: {} } };
  assert.deepEqual(await pass(), { kind: "done" });
  assert.equal(world.writes.length, 0);
  assert.deepEqual(reasons(world), ["ServiceConfigNotKept"]);
  edit({ metadata: { annotations: { [MANAGED_ANNOTATION]: "true" } } });
  await pass();
  assert.deepEqual(world.stored.metadata.ownerReferences, [OWNER]);
  assert.equal(Object(world.stored.spec).loadBalancer.l4Listeners.length, 1);
  edit({ metadata: { annotations: { [MANAGED_ANNOTATION]: "false" } }, spec: { loadBalancer: { l4Listeners: [] } } });
  await pass();
  assert.equal(world.writes.length, 1, "somebody has taken it from us");
});

test("takes over what a former owner of its name has left, and lets other owners be", async () => {
  const { world, edit, pass } = aWorld();
  await pass();
  const other = { apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "x" };
  edit({ metadata: { ownerReferences: [{ ...OWNER, uid: "former" }, other] } });
  await pass();
  assert.deepEqual(world.stored?.metadata.ownerReferences, [other, OWNER]);
  await pass();
  assert.equal(world.writes.length, 2);
});

test("leaves one that is being deleted", async () => {
  const { world, edit, pass } = aWorld();
  await pass();
  edit({ metadata: { deletionTimestamp: "2026-01-02T03:04:05Z" }, spec: { loadBalancer: { l4Listeners: [] } } });
  assert.deepEqual(await pass(), { kind: "done" });
  assert.equal(world.writes.length, 1);
});

const REFUSALS: readonly (readonly [what: string, error: Error, reason: string, words: RegExp])[] = [
  ["no such kind", answer(404, "the server could not find the requested resource"), "ServiceConfigNotKept", /tkeserviceconfigs\.yaml/],
  [
    "no right",
    answer(403, 'cannot create resource "tkeserviceconfigs"'),
    "ApiAccessDenied",
    /may not create tkeserviceconfigs.*Apply its rights/,
  ],
  ["a policy", answer(403, "denied by policy x"), "ApiAccessDenied", /No right is missing/],
  ["a bad name", answer(422, "metadata.name: too long"), "ServiceConfigNotKept", /too long/],
];
for (const [what, error, reason, words] of REFUSALS)
  test(`tells of ${what}, and tries again after 30 s and not before, whatever changes meanwhile`, async () => {
    const { world, pass } = aWorld();
    world.refuse = error;
    assert.deepEqual((await pass()).kind, "again");
    assert.deepEqual(reasons(world), [reason]);
    assert.match(world.told[0]?.message ?? "", words);
    for (let n = 0; n < 29; n++) {
      world.nowMs += 1_000;
      assert.equal((await pass()).kind, "again");
    }
    assert.equal(world.writes.length, 1);
    world.nowMs += 1_000;
    world.refuse = undefined;
    assert.deepEqual(await pass(), { kind: "done" });
    assert.equal(world.writes.length, 2);
  });

test("says nothing in a Namespace that ends, and fails where the API server is away", async () => {
  const { world, pass } = aWorld();
  world.refuse = answer(403, "namespace demo is being terminated", { details: { causes: [{ reason: "NamespaceTerminating" }] } });
  assert.deepEqual(await pass(), { kind: "done" });
  world.refuse = errorFromTransport(`POST ${PATH}`, new Error("refused"));
  await assert.rejects(pass(), /refused/);
  assert.deepEqual(world.told, []);
});

test("takes over what the load balancer has, and waits until that is known", async () => {
  const { world, pass } = aWorld();
  world.actual = undefined;
  assert.deepEqual(await pass(), { kind: "done" });
  assert.equal(world.writes.length, 0);
  world.actual = aLoadBalancer({ listeners: [aListener({ scheduler: "LEAST_CONN" })] });
  await pass();
  assert.equal(Object(world.stored?.spec).loadBalancer.l4Listeners[0].scheduler, "LEAST_CONN");
});

const UNSERVED: readonly (readonly [what: string, standing: (intent: ReturnType<typeof anIntent>) => OwnerStanding])[] = [
  ["waits for a load balancer", (intent) => ({ state: "waiting", intent, blocker: undefined })],
  ["is held", () => ({ state: "held", loadBalancerId: "lb-1", blocker: undefined })],
  ["goes", (intent) => ({ state: "deleted", intent, loadBalancerId: "lb-1" })],
];
for (const [what, standing] of UNSERVED)
  test(`makes none for an owner that ${what}`, async () => {
    const { world, pass } = aWorld(standing);
    assert.deepEqual(await pass(), { kind: "done" });
    assert.equal(world.writes.length, 0);
  });

test("makes none for an owner that names its own, or none", async () => {
  for (const annotations of [{ "service.cloud.tencent.com/tke-service-config": "checks" }, {}]) {
    const { world, pass } = aWorld();
    world.service = aService({ annotations: { "service.cloud.tencent.com/direct-access": "true", ...annotations } });
    assert.deepEqual(await pass(), { kind: "done" });
    assert.equal(world.writes.length, 0);
  }
});
