/** What the API server calls the webhook by is kept as it has to be, whoever deletes, edits or corrupts it; and the check tells what stops the gate. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient, ListPage, Query } from "../../../common/kubernetes/requests.ts";
import { CANARY_NAMESPACE, DEFAULT_GATE_TYPE, WEBHOOK_SERVICE } from "../../../common/names.ts";
import { makeAdmissionCheck } from "../../../coordinator/admission/check.ts";
import { makeWebhookKeeper, type WebhookKeeper } from "../../../coordinator/admission/keeper.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import type { Serving } from "../../../coordinator/tls/serving.ts";
import { inProcessCluster } from "../../cluster/embedded/in-process.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { silentLog } from "../pods.ts";

const NAMESPACE = "clb-direct";
const CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const CONFIGURATION = `${CONFIGURATIONS}/clb-direct`;
const SERVICES = `/api/v1/namespaces/${NAMESPACE}/services`;
const SERVICE = `${SERVICES}/${WEBHOOK_SERVICE}`;

async function withKeeper(_t: TestContext, work: (world: ReturnType<typeof aWorld>) => Promise<void>, retired = false): Promise<void> {
  const world = aWorld(retired);
  await world.clock.run(
    (async () => {
      for (const name of [NAMESPACE, CANARY_NAMESPACE]) await world.client.create("/api/v1/namespaces", { metadata: { name } });
      const stop = new AbortController();
      const running = world.keeper.run(stop.signal);
      await world.clock.sleep(3_000);
      await work(world);
      stop.abort();
      await running;
    })(),
    3_600_000,
  );
}

function aWorld(retired: boolean) {
  const clock = makeVirtualClock(1_700_000_000_000);
  const { client } = inProcessCluster(clock);
  const told: Problem[] = [];
  let current: Serving = { certPem: "", keyPem: "", caBundlePem: "bundle one" };
  const listeners = new Set<(serving: Serving) => void>();
  const serving = {
    get current() {
      return current;
    },
    subscribe: (listener: (serving: Serving) => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const renew = (caBundlePem: string): void => {
    current = { ...current, caBundlePem };
    for (const listener of listeners) listener(current);
  };
  const shared = {
    client,
    serving,
    namespace: NAMESPACE,
    port: 8443,
    clock,
    log: silentLog,
    tell: (problem: Problem) => void told.push(problem),
  };
  const keeper = makeWebhookKeeper({ ...shared, retired });
  return { clock, client, told, keeper, renew, shared };
}

const webhooksOf = async (client: KubeClient): Promise<readonly Record<string, unknown>[]> =>
  (await client.get<{ webhooks: readonly Record<string, unknown>[] }>(CONFIGURATION)).webhooks;
const bundlesOf = async (client: KubeClient): Promise<readonly string[]> =>
  (await webhooksOf(client)).map((one) => Buffer.from(String(Reflect.get(Object(one["clientConfig"]), "caBundle")), "base64").toString());

test("a fresh cluster gets the configuration and the Service, and nobody is told", async (t) => {
  await withKeeper(t, async ({ client, keeper, told }) => {
    assert.deepEqual(
      (await webhooksOf(client)).map(({ name, failurePolicy, timeoutSeconds }) => [name, failurePolicy, timeoutSeconds]),
      [
        ["gate.clb-direct.io", "Ignore", 5],
        ["opted-in.clb-direct.io", "Ignore", 5],
      ],
    );
    assert.deepEqual(await bundlesOf(client), ["bundle one", "bundle one"]);
    assert.deepEqual(keeper.faults, []);
    assert.deepEqual(told, []);
  });
});

const edit = (change: (webhook: Record<string, unknown>) => void) => async (client: KubeClient) => {
  const webhooks = structuredClone(await webhooksOf(client));
  webhooks.forEach(change);
  await client.patch(CONFIGURATION, { webhooks }, "merge");
};
const DAMAGE: Readonly<Record<string, (client: KubeClient) => Promise<unknown>>> = {
  "the configuration is deleted": (client) => client.delete(CONFIGURATION),
  "its webhooks are taken out": (client) => client.patch(CONFIGURATION, { webhooks: [] }, "merge"),
  "caBundle is garbage": edit((one) => void (one["clientConfig"] = { ...Object(one["clientConfig"]), caBundle: "Z2FyYmFnZQ==" })),
  "caBundle is empty": edit((one) => void (one["clientConfig"] = { ...Object(one["clientConfig"]), caBundle: "" })),
  "it leads elsewhere": edit((one) => void (one["clientConfig"] = { url: "https://elsewhere.example/mutate" })),
  "the rules are edited": edit((one) => void (one["rules"] = [])),
  "the selector is edited": edit((one) => void (one["namespaceSelector"] = { matchLabels: { no: "such" } })),
  "a condition keeps Pods from it": edit((one) => void (one["matchConditions"] = [{ name: "none", expression: "false" }])),
  "it fails closed": edit((one) => void (one["failurePolicy"] = "Fail")),
  "a webhook that is not ours is put into it": async (client) =>
    await client.patch(CONFIGURATION, { webhooks: [...(await webhooksOf(client)), { name: "other.example" }] }, "merge"),
  "the Service is deleted": (client) => client.delete(SERVICE),
  "the Service leads elsewhere": (client) => client.patch(SERVICE, { spec: { selector: { app: "other" } } }, "merge"),
  "the Service's selector asks for one label more": (client) => client.patch(SERVICE, { spec: { selector: { version: "2" } } }, "merge"),
  "the Service leads to replicas of the API server's own node only": (client) =>
    client.patch(SERVICE, { spec: { internalTrafficPolicy: "Local" } }, "merge"),
  "the Service leads to replicas that are not ready": (client) =>
    client.patch(SERVICE, { spec: { publishNotReadyAddresses: true } }, "merge"),
  "the Service has another port": (client) => client.patch(SERVICE, { spec: { ports: [{ port: 8443 }] } }, "merge"),
};

for (const [name, damage] of Object.entries(DAMAGE))
  test(`put right within 5 s, and told: ${name}`, async (t) => {
    await withKeeper(t, async ({ clock, client, keeper, told }) => {
      const before = [await webhooksOf(client), (await client.get<{ spec: object }>(SERVICE)).spec];
      await damage(client);
      await clock.sleep(5_000);
      const after = [await webhooksOf(client), (await client.get<{ spec: object }>(SERVICE)).spec];
      assert.deepEqual(after[0], before[0]);
      assert.deepEqual(Reflect.get(Object(after[1]), "selector"), Reflect.get(Object(before[1]), "selector"));
      assert.deepEqual(keeper.faults, []);
      assert.deepEqual(
        told.map(({ reason }) => reason),
        ["AdmissionRepaired"],
      );
    });
  });

test("what is deleted again as soon as it is back is put back as soon, each time", async (t) => {
  await withKeeper(t, async ({ clock, client, told }) => {
    for (const path of [CONFIGURATION, SERVICE])
      for (let round = 0; round < 3; round++) {
        await client.delete(path);
        await clock.sleep(1_500);
        await client.get(path); // rejects where it is not back
      }
    assert.equal(told.length, 6);
  });
});

for (const [name, damage] of Object.entries(DAMAGE))
  test(`whether the API server only trusts others, as a keeper without the right to mend it has it: ${name}`, async () => {
    const { clock, client, keeper, shared } = aWorld(false);
    const refuse = (): Promise<never> => Promise.reject(new Error("not allowed"));
    const powerless = makeWebhookKeeper({ ...shared, client: { ...client, create: refuse, patch: refuse }, retired: false });
    const during = async (one: typeof keeper, work: () => Promise<unknown>): Promise<void> => {
      const stop = new AbortController();
      const running = one.run(stop.signal);
      await clock.sleep(3_000);
      await work();
      stop.abort();
      await running;
    };
    const all = async (): Promise<void> => {
      await client.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
      await during(keeper, () => Promise.resolve());
      await during(powerless, async () => {
        assert.deepEqual([powerless.faults, powerless.lacksTrustOnly], [[], false]);
        await damage(client);
        await clock.sleep(1_000);
        assert.ok(powerless.faults.length > 0);
        assert.equal(powerless.lacksTrustOnly, name.startsWith("caBundle"), powerless.faults.join());
      });
    };
    await clock.run(all(), 60_000);
  });

test("a new CA is in the bundle within 5 s", async (t) => {
  await withKeeper(t, async ({ clock, client, renew }) => {
    renew("bundle two");
    await clock.sleep(5_000);
    assert.deepEqual(await bundlesOf(client), ["bundle two", "bundle two"]);
  });
});

test("a write that is refused by whatever it is, or aborted, ends nothing: it is tried again, and the run ends well", async () => {
  const { clock, client, shared } = aWorld(false);
  let refusals = 0;
  const refuse = (): Promise<never> => {
    refusals += 1;
    return Promise.reject(new Error("not the leader any more"));
  };
  const keeper = makeWebhookKeeper({ ...shared, client: { ...client, create: refuse, patch: refuse }, retired: false });
  await clock.run(
    (async () => {
      await client.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
      const stop = new AbortController();
      const running = keeper.run(stop.signal);
      await clock.sleep(5_000);
      stop.abort();
      await running;
    })(),
    60_000,
  );
  assert.ok(refusals >= 4, `${refusals} tries in 5 s`); // two objects, each once a second
});

test("who fights is answered once in 30 s, and told", async (t) => {
  await withKeeper(t, async ({ clock, client, told }) => {
    let writes = 0;
    for (let second = 0; second < 600; second++) {
      if ((await webhooksOf(client)).length > 0) {
        writes += 1;
        await client.patch(CONFIGURATION, { webhooks: [] }, "merge");
      }
      await clock.sleep(1_000);
    }
    assert.ok(writes <= 600 / 30 + 20, `${writes} repairs in 600 s`);
    assert.ok(told.some(({ reason }) => reason === "AdmissionContested"));
  });
});

test("retired: a configuration stays, without webhooks, and none is made", async (t) => {
  await withKeeper(
    t,
    async ({ clock, client, keeper, told }) => {
      assert.equal(await client.get(CONFIGURATION).catch(() => "none"), "none");
      assert.deepEqual(keeper.faults, []);
      await client.create(CONFIGURATIONS, { metadata: { name: "clb-direct" }, webhooks: [{ name: "gate.clb-direct.io" }] });
      await clock.sleep(5_000);
      assert.deepEqual(await webhooksOf(client), []);
      assert.deepEqual([keeper.faults, told], [[], []]);
    },
    true,
  );
});

test("what we want otherwise than before is nobody's doing: a new CA; an edit is told", async (t) => {
  await withKeeper(t, async ({ clock, client, renew, told }) => {
    for (const bundle of ["bundle two", "bundle three"]) {
      renew(bundle);
      await clock.sleep(5_000);
    }
    assert.deepEqual(await bundlesOf(client), ["bundle three", "bundle three"]);
    assert.deepEqual(told, []);
    await client.patch(CONFIGURATION, { webhooks: [] }, "merge", { query: { fieldManager: "kubectl" } });
    await clock.sleep(5_000);
    assert.equal(told.length, 1);
  });
});

test("a new leader brings what the former one wrote up to date without a word, and tells of what others wrote meanwhile", async () => {
  const { clock, client, shared } = aWorld(false);
  const news: Problem[] = [];
  await clock.run(
    (async () => {
      await client.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
      for (const bundle of ["one", "two"]) await runNext(shared, "clb-direct", bundle, news);
      assert.deepEqual([await bundlesOf(client), news], [["two", "two"], []]);
      await runNext(shared, "kubectl", "three", news);
    })(),
    60_000,
  );
  assert.deepEqual(
    news.map(({ reason }) => reason),
    ["AdmissionRepaired"],
  );
});

/** A keeper with another bundle, of a new leader; the API server says that `manager` wrote last what it keeps. */
async function runNext(shared: ReturnType<typeof aWorld>["shared"], manager: string, caBundlePem: string, news: Problem[]): Promise<void> {
  const { client, clock } = shared;
  const managedFields = [
    { manager, time: "2026-01-02T00:00:00Z" },
    { manager: "helm", time: "2026-01-01T00:00:00Z" },
  ];
  const list: KubeClient["list"] = async <T>(...args: Parameters<KubeClient["list"]>): Promise<ListPage<T>> => {
    const page = await client.list<T>(...args);
    for (const one of page.items) Object.assign(Object(Reflect.get(Object(one), "metadata")), { managedFields });
    return page;
  };
  const serving = { current: { certPem: "", keyPem: "", caBundlePem }, subscribe: () => () => undefined };
  const stop = new AbortController();
  const next = makeWebhookKeeper({
    ...shared,
    client: { ...client, list },
    serving,
    tell: (problem) => void news.push(problem),
    retired: false,
  });
  await Promise.all([next.run(stop.signal), clock.sleep(300).then(() => stop.abort())]);
}

const ARRIVES = { spec: { readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }] } };
/** Denies so many creations, and lets the others through; the check's Namespace is there or not. */
function denying(times: number, hasNamespace = true): Pick<KubeClient, "create" | "list"> {
  let left = times;
  const message = 'pods is forbidden: User "clb-direct" cannot create resource "pods"';
  return {
    create: async <T>(path: string): Promise<T> => {
      if (left-- > 0) throw new KubeApiError(`POST ${path}`, "denied", message, { code: 403 });
      return (await Promise.resolve(ARRIVES)) as T;
    },
    list: <T>(path: string, query?: Query): Promise<ListPage<T>> => {
      assert.deepEqual([path, query?.["fieldSelector"]], ["/api/v1/namespaces", `metadata.name=${CANARY_NAMESPACE}`]);
      return Promise.resolve({ items: hasNamespace ? [{} as T] : [], resourceVersion: "1" });
    },
  };
}
/** As a keeper that cannot mend it has it. */
const wrong = (cause: string | undefined): Pick<WebhookKeeper, "faults" | "lacksTrustOnly"> => ({
  faults: cause === "namespace" ? [] : ["MutatingWebhookConfiguration clb-direct"],
  lacksTrustOnly: cause === "tls",
});
for (const { name, client, dial, spoil, cause } of [
  { name: "the gate arrives", client: { create: () => Promise.resolve(ARRIVES) }, cause: undefined },
  {
    name: "the Namespace is missing",
    spoil: (kube: KubeClient) => kube.delete(`/api/v1/namespaces/${CANARY_NAMESPACE}`),
    cause: "namespace",
  },
  {
    name: "the Namespace is labelled so that no webhook is asked there",
    spoil: (kube: KubeClient) =>
      kube.patch(`/api/v1/namespaces/${CANARY_NAMESPACE}`, { metadata: { labels: { "clb-direct.io/inject": "disabled" } } }, "merge"),
    cause: "namespace",
  },
  { name: "the configuration is edited", spoil: DAMAGE["its webhooks are taken out"], cause: "configuration" },
  { name: "the API server is told to trust others", spoil: DAMAGE["caBundle is garbage"], cause: "tls" },
  { name: "somebody else answers", dial: "tls", cause: "tls" },
  { name: "no replica answers", dial: "unreachable", cause: "unreachable" },
  { name: "nobody knows", dial: "ok", cause: "unknown" },
  { name: "our right is missing", client: denying(Infinity), cause: "rights" },
  { name: "the Namespace is missing, and our right with it", client: denying(Infinity, false), cause: "namespace" },
  { name: "nothing, an API server that has just begun denies everything", client: denying(1), cause: undefined },
] as const)
  test(`the check tells what stops the gate: ${name}`, async (t) => {
    await withKeeper(t, async ({ clock, shared, keeper, told }) => {
      await spoil?.(shared.client);
      const results: (string | undefined)[] = [];
      const check = makeAdmissionCheck({
        ...shared,
        client: (client ?? shared.client) as KubeClient,
        keeper: spoil === undefined ? keeper : { ...keeper, ...wrong(cause), object: keeper.object },
        wallClock: clock,
        gateType: DEFAULT_GATE_TYPE,
        onResult: (one) => void results.push(one),
        dial: () => Promise.resolve(dial ?? "ok"),
      });
      const stop = new AbortController();
      const running = check.run(stop.signal);
      await clock.sleep(14_000);
      stop.abort();
      await running;
      assert.ok(results.length > 0, "it has come to a result");
      assert.equal(results.at(-1), cause, told.map(({ message }) => message).join("\n"));
      assert.equal(check.last?.cause, cause);
      const messages = told.filter(({ reason }) => reason === "AdmissionNotWorking").map(({ message }) => message);
      assert.deepEqual(messages.length > 0, cause !== undefined);
      assert.ok(messages.every((message) => message.includes(`(${cause})`)));
    });
  });
