/** Pods are created without a pause while what the webhook serves with, and who serves it, changes: on both kinds of cluster, through its Service. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Agent, request } from "undici";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import {
  CA_SECRET,
  CANARY_NAMESPACE,
  DEFAULT_NAMESPACE,
  INJECT_LABEL,
  SERVING_SECRET,
  WEBHOOK_PORT,
  WEBHOOK_SERVICE,
} from "../../common/names.ts";
import { MUTATE_PATH, TIMEOUT_SECONDS } from "../../coordinator/admission/webhook-objects.ts";
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

/** So often a creation whose connection failed is tried anew: each attempt to connect may take 10 s. */
const MOST_UNCONNECTED = 6;

type Created = { readonly isGated: boolean; readonly tookMs: number; readonly unconnected: number };

/**
 * One Pod, as a dry run; `tookMs` is that of the attempt that was answered, `unconnected` how many had no connection. A busy machine takes longer
 * than 10 s for a thousand handshakes of this process with the API server. That says nothing of the webhook, which is asked behind the API
 * server: what goes wrong there is an answer.
 */
async function createOne(client: KubeClient, labels: object, timeoutMs?: number): Promise<Created> {
  for (let unconnected = 0; ; unconnected++) {
    const startedMs = performance.now();
    try {
      const isGated = await isInjected(client, PODS, labels, timeoutMs === undefined ? {} : { timeoutMs });
      return { isGated, tookMs: performance.now() - startedMs, unconnected };
    } catch (error) {
      if (!(error instanceof KubeApiError) || error.failure !== "transport" || unconnected >= MOST_UNCONNECTED) throw error;
      await pause(500);
    }
  }
}

/** `late`: has no gate, and took as long as a review may: the machine had no time for the webhook. `bare`: somebody answered for it. */
const kindOf = ({ isGated, tookMs }: Created): "gated" | "bare" | "late" =>
  isGated ? "gated" : tookMs < TIMEOUT_SECONDS * 1_000 ? "bare" : "late";

/** Creates so many Pods as dry runs, so many at a time. Rejects where one cannot be created. */
async function createMany({ client }: World, many: number, parallel: number): Promise<Counts> {
  const counts: Counts = { gated: 0, bare: 0 };
  let left = many;
  const one = async (): Promise<void> => {
    while (left-- > 0) counts[(await createOne(client, LABELS)).isGated ? "gated" : "bare"] += 1;
  };
  await Promise.all(Array.from({ length: parallel }, one));
  return counts;
}

/** Twenty a second until `over` is called, which resolves with what they got. */
function createOn({ client }: World): { readonly over: () => Promise<Counts> } {
  const counts: Counts = { gated: 0, bare: 0 };
  const running: Promise<void>[] = [];
  const one = async (): Promise<void> => void (counts[(await createOne(client, LABELS)).isGated ? "gated" : "bare"] += 1);
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

/** A new leaf; each fourth time a new authority before it. What a change needs to arrive is waited for. */
function makeRotations(world: World): { readonly count: () => number; readonly next: () => Promise<void> } {
  let rotations = 0;
  const next = async (): Promise<void> => {
    rotations += 1;
    const authority = { certPem: await secretOf(world, CA_SECRET, "tls.crt"), keyPem: await secretOf(world, CA_SECRET, "tls.key") };
    const { dnsNames, ipAddresses } = namesOf(await secretOf(world, SERVING_SECRET, "tls.crt"));
    if (rotations % 4 === 0) {
      const another = await issueAuthority(Date.now());
      const data = { "tls.crt": another.certPem, "tls.key": another.keyPem, "previous.crt": authority.certPem };
      await world.client.patch(`${OURS}/secrets/${CA_SECRET}`, encoded(data), "merge");
      await until("the new authority is in the configuration", () => isTrusted(world, another.certPem));
      // Until the API server's own watch has brought it, which nobody can see: 300 ms were too few. The product's own leaf comes an hour later.
      return await pause(3_000);
    }
    const leaf = await issueServing(authority, dnsNames, ipAddresses, Date.now());
    await world.client.patch(`${OURS}/secrets/${SERVING_SECRET}`, encoded({ "tls.crt": leaf.certPem, "tls.key": leaf.keyPem }), "merge");
    await pause(300);
  };
  return { count: () => rotations, next };
}

test("1 000 Pods are created while leaves and the CA are replaced again and again: each has the gate", async (t) => {
  const world = await aWorld(t);
  const counts = { gated: 0, bare: 0, late: 0 };
  const rotations = makeRotations(world);
  const isEnough = (): boolean => counts.gated + counts.bare >= 1_000 && rotations.count() >= 5;
  const creating = Array.from({ length: 20 }, async () => {
    while (!isEnough()) counts[kindOf(await createOne(world.client, LABELS))] += 1;
  });
  while (!isEnough()) await rotations.next();
  await Promise.all(creating);
  t.diagnostic(`${JSON.stringify(counts)}, ${rotations.count()} rotations`);
  assert.equal(counts.bare, 0, `${counts.bare} of ${counts.bare + counts.gated} without the gate, ${rotations.count()} rotations`);
});

/** Each client has 32 connections. */
const CLIENTS = 32;
const BURST = 1_024;
/** Until the last one of a burst is answered, however slow the machine is. */
const BURST_MS = 60_000;
/** What the API server itself needs for a burst on a machine where it waits for no review in vain. */
const FAST_ENOUGH_MS = 2_000;

type Burst = Counts & {
  readonly late: number;
  readonly most: number;
  readonly retries: number;
  readonly unconnected: number;
  readonly slowestMs: number;
};

/**
 * All of them at once; what the API server has too much of is created again, as kubectl and controllers do. `unconnected`: how often the
 * connection to the API server failed. `slowestMs`: with all that was tried again.
 */
async function burst(clients: readonly KubeClient[], labels: object): Promise<Burst> {
  const counts = { gated: 0, bare: 0, late: 0, most: 0, retries: 0, unconnected: 0, slowestMs: 0 };
  let underWay = 0;
  const create = async (client: KubeClient): Promise<Created> => {
    for (;;)
      try {
        return await createOne(client, labels, BURST_MS);
      } catch (error) {
        if (!(error instanceof KubeApiError) || error.failure !== "throttled") throw error;
        counts.retries += 1;
        await pause(error.retryAfterMs ?? 1_000);
      }
  };
  const one = async (client: KubeClient): Promise<void> => {
    counts.most = Math.max(counts.most, ++underWay);
    const startedMs = performance.now();
    const created = await create(client);
    counts.slowestMs = Math.max(counts.slowestMs, Math.round(performance.now() - startedMs));
    counts.unconnected += created.unconnected;
    counts[kindOf(created)] += 1;
    underWay -= 1;
  };
  await Promise.all(Array.from({ length: BURST / clients.length }, () => clients.map(one)).flat());
  return counts;
}

/** Bursts; of several, other work on the machine does not slow down each. */
const BURSTS = { least: 2, most: 6 } as const;

test("1 024 creations that are under way at once, while leaves and the CA are replaced: each Pod has the gate", async (t) => {
  const world = await aWorld(t);
  const clients = await Promise.all(Array.from({ length: CLIENTS }, world.anotherClient));
  const optedOut = { ...LABELS, [INJECT_LABEL]: "disabled" };
  await burst(clients, optedOut); // connects
  const alone = await burst(clients, optedOut);
  t.diagnostic(`opted out: ${JSON.stringify(alone)}`);
  assert.ok(alone.most >= BURST, `${alone.most} at once`);
  const rotations = makeRotations(world);
  const over = new AbortController();
  const isEnough = (all: readonly Burst[]): boolean =>
    all.length >= BURSTS.most || (all.length >= BURSTS.least && all.some(({ late }) => late === 0));
  const bursts = (async () => {
    const all: Burst[] = [];
    try {
      while (!isEnough(all)) all.push(await burst(clients, LABELS));
    } finally {
      over.abort();
    }
    return all;
  })();
  while (!over.signal.aborted) await rotations.next().catch(() => pause(500)); // an API server with a thousand creations may answer nothing else in time
  const all = await bursts;
  for (const seen of all) t.diagnostic(JSON.stringify(seen));
  t.diagnostic(`${rotations.count()} rotations`);
  for (const { bare, most } of all) {
    assert.ok(most >= BURST, `${most} at once`);
    assert.equal(bare, 0, "without the gate, though the API server need not have waited");
  }
  if (alone.slowestMs < FAST_ENOUGH_MS)
    assert.ok(
      all.some(({ late }) => late === 0),
      `in each of ${all.length} bursts some are without the gate after ${TIMEOUT_SECONDS} s`,
    );
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
