/** Pods are created without a pause while what the webhook serves with, and who serves it, changes: on both kinds of cluster, through its Service. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Agent, request } from "undici";
import { CA_SECRET, CANARY_NAMESPACE, DEFAULT_NAMESPACE, SERVING_SECRET, WEBHOOK_PORT, WEBHOOK_SERVICE } from "../../common/names.ts";
import { MUTATE_PATH } from "../../coordinator/admission/webhook-objects.ts";
import { issueAuthority, issueServing, namesOf } from "../../coordinator/tls/certificate.ts";
import { isInjected } from "../cluster/injected.ts";
import type { Replica } from "../cluster/product.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const PODS = "/api/v1/namespaces/demo/pods";
const OURS = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
const SLICE = `/apis/discovery.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/endpointslices/${WEBHOOK_SERVICE}-processes`;
const LABELS = { app: "web" };

/** Two coordinators behind the webhook's Service, and a Service that selects the Pods which are created. */
async function aWorld(t: TestContext): Promise<World> {
  const world = await startWorld(t, { replicas: 2 });
  if (!(await world.client.get(`/api/v1/namespaces/${CANARY_NAMESPACE}`).catch(() => undefined)))
    await world.client.create("/api/v1/namespaces", { metadata: { name: CANARY_NAMESPACE } });
  await world.product.startCoordinator(1);
  await applyExample(world, undefined, ({ kind }) => kind === "Service" || kind === "Namespace");
  await until("Pods get the gate", () => isInjected(world.client, PODS, LABELS).catch(() => false), 10_000);
  for (const host of [world.plan.coordinator, world.plan.standby])
    await until(`the replica at ${host} knows the Service`, () => injects(host));
  return world;
}

/** Whether the webhook of one replica gives a Pod the gate: which of them the API server asks is its own choice. */
async function injects(host: string): Promise<boolean> {
  const object = { metadata: { labels: LABELS }, spec: { containers: [{ name: "web" }] } };
  const review = { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { uid: "1", namespace: "demo", object } };
  const agent = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    const url = `https://${host}:${WEBHOOK_PORT}${MUTATE_PATH}`;
    const { statusCode, body } = await request(url, { method: "POST", body: JSON.stringify(review), dispatcher: agent });
    const text = await body.text();
    return statusCode === 200 && text.includes('"patch"');
  } catch {
    return false;
  } finally {
    await agent.destroy();
  }
}

type Counts = { gated: number; bare: number };

/** The API server waits for a review so long; what has no gate after that had a slow machine, not a wrong certificate. */
const TIMEOUT_MS = 1_000;

/** Creates so many Pods as dry runs, so many at a time. Rejects where one cannot be created. */
async function createMany({ client }: World, many: number, parallel: number): Promise<Counts> {
  const counts: Counts = { gated: 0, bare: 0 };
  let left = many;
  const one = async (): Promise<void> => {
    while (left-- > 0) counts[(await isInjected(client, PODS, LABELS)) ? "gated" : "bare"] += 1;
  };
  await Promise.all(Array.from({ length: parallel }, one));
  return counts;
}

/** Twenty a second until `over` is called, which resolves with what they got. */
function createOn({ client }: World): { readonly over: () => Promise<Counts> } {
  const counts: Counts = { gated: 0, bare: 0 };
  const running: Promise<void>[] = [];
  const one = async (): Promise<void> => void (counts[(await isInjected(client, PODS, LABELS)) ? "gated" : "bare"] += 1);
  const timer = setInterval(() => running.push(one()), 50);
  return {
    over: async () => {
      clearInterval(timer);
      await Promise.all(running);
      return counts;
    },
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const encoded = (data: Readonly<Record<string, string>>): object => ({
  data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
});
const secretOf = async ({ client }: World, name: string, key: string): Promise<string> =>
  Buffer.from((await client.get<{ data: Record<string, string> }>(`${OURS}/secrets/${name}`)).data[key] ?? "", "base64").toString();

const CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/clb-direct";
type Configuration = { readonly webhooks?: readonly { readonly clientConfig?: { readonly caBundle?: string } }[] };

async function isTrusted({ client }: World, certPem: string): Promise<boolean> {
  const { webhooks = [] } = await client.get<Configuration>(CONFIGURATION);
  const bundles = webhooks.map(({ clientConfig }) => Buffer.from(clientConfig?.caBundle ?? "", "base64").toString());
  return bundles.length > 0 && bundles.every((bundle) => bundle.includes(certPem.trim()));
}

test("1 000 Pods are created while leaves and the CA are replaced again and again: each has the gate", async (t) => {
  const world = await aWorld(t);
  const counts: Counts = { gated: 0, bare: 0 };
  let rotations = 0;
  const rotate = async (): Promise<void> => {
    rotations += 1;
    const authority = { certPem: await secretOf(world, CA_SECRET, "tls.crt"), keyPem: await secretOf(world, CA_SECRET, "tls.key") };
    const { dnsNames, ipAddresses } = namesOf(await secretOf(world, SERVING_SECRET, "tls.crt"));
    if (rotations % 4 === 0) {
      const next = await issueAuthority(Date.now());
      const data = { "tls.crt": next.certPem, "tls.key": next.keyPem, "previous.crt": authority.certPem };
      await world.client.patch(`${OURS}/secrets/${CA_SECRET}`, encoded(data), "merge");
      await until("the new authority is in the configuration", () => isTrusted(world, next.certPem));
      // Until the API server's own watch has brought it, which nobody can see: 300 ms were too few. The product's own leaf comes an hour later.
      return await pause(3_000);
    }
    const leaf = await issueServing(authority, dnsNames, ipAddresses, Date.now());
    await world.client.patch(`${OURS}/secrets/${SERVING_SECRET}`, encoded({ "tls.crt": leaf.certPem, "tls.key": leaf.keyPem }), "merge");
    await pause(300);
  };
  const isEnough = (): boolean => counts.gated + counts.bare >= 1_000 && rotations >= 5;
  let slow = 0;
  const creating = Array.from({ length: 20 }, async () => {
    while (!isEnough()) {
      const startedMs = performance.now();
      if (await isInjected(world.client, PODS, LABELS)) counts.gated += 1;
      else if (performance.now() - startedMs < TIMEOUT_MS) counts.bare += 1;
      else slow += 1;
    }
  });
  while (!isEnough()) await rotate();
  await Promise.all(creating);
  t.diagnostic(`${JSON.stringify(counts)}, ${slow} after more than ${TIMEOUT_MS} ms, ${rotations} rotations`);
  assert.equal(counts.bare, 0, `${counts.bare} of ${counts.bare + counts.gated} without the gate, ${rotations} rotations`);
});

test("both replicas are replaced one after the other under 20 creations a second: each Pod has the gate", async (t) => {
  const world = await aWorld(t);
  const { plan, product, client } = world;
  const hosts = [plan.coordinator, plan.standby] as const;
  const creating = createOn(world);
  for (const replica of [0, 1] as const satisfies readonly Replica[]) {
    // A Pod that is deleted is no endpoint any more, while its process gets SIGTERM: here in the same order.
    await client.patch(SLICE, { endpoints: [{ addresses: [hosts[1 - replica]], conditions: { ready: true } }] }, "merge");
    await product.coordinator(replica)?.stop();
    await product.startCoordinator(replica);
    await pause(1_000);
  }
  const counts = await creating.over();
  assert.equal(counts.bare, 0, JSON.stringify(counts));
  assert.ok(counts.gated > 100, JSON.stringify(counts));
});

test("one of two replicas is killed under 20 creations a second: none is refused, and soon each Pod has the gate again", async (t) => {
  const world = await aWorld(t);
  const creating = createOn(world); // rejects where one is refused
  await pause(1_000);
  world.product.coordinator(0)?.signal("SIGKILL"); // the leader, to which the API server has connections
  await until("it is gone", () => world.product.coordinator(0)?.hasExited());
  await until("twenty in a row have the gate", async () => (await createMany(world, 20, 4)).bare === 0, 20_000);
  const counts = await creating.over();
  assert.ok(counts.gated > 0, JSON.stringify(counts));
  t.diagnostic(`created meanwhile: ${JSON.stringify(counts)}`);
});

test("both replicas are killed: Pods go on being created, and have the gate again within 5 s after one runs", async (t) => {
  const world = await aWorld(t);
  for (const replica of [0, 1] as const) world.product.coordinator(replica)?.signal("SIGKILL");
  await until("both are gone", () => ([0, 1] as const).every((replica) => world.product.coordinator(replica)?.hasExited()));
  assert.deepEqual(await createMany(world, 20, 4), { gated: 0, bare: 20 });
  await world.product.startCoordinator(0);
  await until("Pods have the gate", () => isInjected(world.client, PODS, LABELS), 5_000, 100);
});
