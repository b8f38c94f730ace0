/** New Pods get the gate by themselves, on both kinds of cluster; what the webhook needs is mended while Pods go on being created. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { CA_SECRET, CANARY_NAMESPACE, DEFAULT_GATE_TYPE, DEFAULT_NAMESPACE, SERVING_SECRET, WEBHOOK_SERVICE } from "../../common/names.ts";
import { certificateFault, issueAuthority } from "../../coordinator/tls/certificate.ts";
import { isGated, isInjected } from "../cluster/injected.ts";
import { renewLeaf } from "../cluster/renew-leaf.ts";
import { KIND } from "./cluster.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/clb-direct";
const OURS = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
const PODS = "/api/v1/namespaces/demo/pods";

/** A Pod as the user's template makes it, as a dry run. */
const dryPod = (world: World, labels: object = { app: "web" }, path = PODS): Promise<boolean> => isInjected(world.client, path, labels);

async function aWorld(t: TestContext): Promise<World> {
  const world = await startWorld(t);
  if (!(await world.client.get(`/api/v1/namespaces/${CANARY_NAMESPACE}`).catch(() => undefined)))
    await world.client.create("/api/v1/namespaces", { metadata: { name: CANARY_NAMESPACE } });
  await until("the webhook is configured", () => world.client.get(CONFIGURATION).catch(() => false), 10_000);
  return world;
}

const eventsOf = async (world: World, namespace: string, reason: string): Promise<readonly string[]> =>
  (await world.client.list<{ reason: string; message: string }>(`/api/v1/namespaces/${namespace}/events`)).items
    .filter((event) => event.reason === reason)
    .map(({ message }) => message);

test("a Deployment that comes before its Service: its Pods are told, and after a restart all have the gate", async (t) => {
  const world = await aWorld(t);
  await applyExample(world, undefined, ({ kind }) => kind !== "Service");
  await until("its Pods run", () => world.pods().length > 0 && world.pods().every(({ status }) => status?.phase === "Running"), 20_000);
  assert.ok(
    world.pods().every((pod) => !isGated(pod)),
    "no Service was known",
  );
  await applyExample(world, undefined, ({ kind }) => kind === "Service");
  const [told] = await until(
    "the Service is told",
    async () => {
      const events = await eventsOf(world, "demo", "PodsNotInjected");
      return events.length > 0 && events;
    },
    40_000,
  );
  assert.match(told ?? "", /kubectl rollout restart/);
  const restart = { spec: { template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } } } } };
  await world.client.patch("/apis/apps/v1/namespaces/demo/deployments/web", restart, "merge");
  await until(
    "every Pod has the gate, and it is True",
    () => {
      const pods = world.pods().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      const open = pods.filter(
        (pod) => isGated(pod) && pod.status?.conditions?.some(({ type, status }) => type === DEFAULT_GATE_TYPE && status === "True"),
      );
      return pods.length > 0 && open.length === pods.length;
    },
    60_000,
  );
});

test("whom it gives the gate: by Service, by label of the Pod, by label of the Namespace; never on the node's network", async (t) => {
  const world = await aWorld(t);
  await applyExample(world, undefined, ({ kind }) => kind === "Service" || kind === "Namespace");
  await until("its Service's Pods get it", () => dryPod(world), 10_000);
  const enabled = { "clb-direct.io/inject": "enabled" };
  assert.equal(await dryPod(world, { app: "other" }), false);
  assert.equal(await dryPod(world, { app: "other", ...enabled }), true);
  assert.equal(await dryPod(world, { app: "web", "clb-direct.io/inject": "disabled" }), false);
  const onNode = {
    metadata: { generateName: "dry-", labels: enabled },
    spec: { hostNetwork: true, containers: [{ name: "web", image: "web" }] },
  };
  assert.equal(isGated(await world.client.create(PODS, onNode, { query: { dryRun: "All" } })), false);
  await world.client.create("/api/v1/namespaces", { metadata: { name: "opted", labels: enabled } });
  t.after(() => world.client.delete("/api/v1/namespaces/opted").catch(() => undefined));
  const there = "/api/v1/namespaces/opted";
  await until("Pods can be created there", () => world.client.get(`${there}/serviceaccounts/default`).catch(() => false));
  await until("its Pods get it", () => dryPod(world, { app: "other" }, `${there}/pods`), 5_000);
});

/** As Pod Security `restricted` wants it. */
const CAREFUL = {
  securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: "RuntimeDefault" } },
  containers: [{ name: "web", image: "web", securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } } }],
};

test("Namespaces that enforce Pod Security take the injected Pods", async (t) => {
  const world = await aWorld(t);
  for (const level of ["baseline", "restricted"]) {
    const labels = { "clb-direct.io/inject": "enabled", "pod-security.kubernetes.io/enforce": level };
    const name = `secured-${level}`;
    await world.client.create("/api/v1/namespaces", { metadata: { name, labels } });
    t.after(() => world.client.delete(`/api/v1/namespaces/${name}`).catch(() => undefined));
    const there = `/api/v1/namespaces/${name}`;
    await until("Pods can be created there", () => world.client.get(`${there}/serviceaccounts/default`).catch(() => false));
    const pod = { metadata: { generateName: "web-" }, spec: CAREFUL };
    const create = (): Promise<unknown> => world.client.create(`${there}/pods`, pod, { query: { dryRun: "All" } });
    await until(`Pods get the gate under ${level}`, async () => isGated(await create()), 10_000); // rejects where it is refused
  }
});

const HEAL_MS = 5_000;

type Kept = {
  readonly webhooks?: readonly Readonly<Record<string, unknown>>[];
  readonly spec?: { readonly selector?: object };
  readonly data?: Readonly<Record<string, string>>;
};

/** What the webhook needs, as the API server has it: a gate may arrive for a while though something of it is wrong. Rejects where one is missing. */
async function keptOf({ client }: World): Promise<{ readonly wished: object; readonly faults: readonly string[] }> {
  const [{ webhooks = [] }, { spec }, ca, serving] = (await Promise.all(
    [CONFIGURATION, `${OURS}/services/${WEBHOOK_SERVICE}`, `${OURS}/secrets/${CA_SECRET}`, `${OURS}/secrets/${SERVING_SECRET}`].map(
      (path) => client.get<Kept>(path),
    ),
  )) as [Kept, Kept, Kept, Kept];
  const decoded = (text: unknown): string => Buffer.from(typeof text === "string" ? text : "", "base64").toString();
  const material = ({ data = {} }: Kept) => ({ certPem: decoded(data["tls.crt"]), keyPem: decoded(data["tls.key"]) });
  const caPem = material(ca).certPem;
  const fault = (name: string, kept: Kept): readonly string[] => {
    const found = certificateFault({ ...material(kept), caPem }, Date.now(), []);
    return found === undefined ? [] : [`${name}: ${found}`];
  };
  const bundles = webhooks.map(({ clientConfig }) => decoded(Reflect.get(Object(clientConfig), "caBundle")));
  return {
    wished: {
      selector: spec?.selector,
      webhooks: webhooks.map(({ clientConfig, ...rest }) => ({
        ...rest,
        service: Reflect.get(Object(clientConfig), "service") as unknown,
      })),
    },
    faults: [
      ...fault("CA", ca),
      ...fault("leaf", serving),
      ...(bundles.length > 0 && bundles.every((bundle) => bundle.includes(caPem.trim())) ? [] : ["caBundle"]),
    ],
  };
}

test("whatever is deleted, edited or corrupted is mended within 5 s, and Pods go on being created", async (t) => {
  const world = await aWorld(t);
  await applyExample(world, undefined, ({ kind }) => kind === "Service" || kind === "Namespace");
  await until("Pods get the gate", () => dryPod(world), 10_000);
  const encoded = (text: string): string => Buffer.from(text).toString("base64");
  const stranger = await issueAuthority(Date.now());
  const secret = (name: string, data: object) => world.client.patch(`${OURS}/secrets/${name}`, { data }, "merge");
  const webhooks = async () => (await world.client.get<{ webhooks?: Record<string, unknown>[] }>(CONFIGURATION)).webhooks ?? [];
  const damages: Readonly<Record<string, () => Promise<unknown>>> = {
    "the configuration is deleted": () => world.client.delete(CONFIGURATION),
    "its webhooks are taken out": () => world.client.patch(CONFIGURATION, { webhooks: [] }, "merge"),
    "caBundle is garbage": async () =>
      await world.client.patch(
        CONFIGURATION,
        {
          webhooks: (await webhooks()).map((one) => ({
            ...one,
            clientConfig: { ...Object(one["clientConfig"]), caBundle: encoded("garbage") },
          })),
        },
        "merge",
      ),
    "the rules are edited": async () =>
      await world.client.patch(
        CONFIGURATION,
        {
          webhooks: (await webhooks()).map((one) => ({
            ...one,
            rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["DELETE"], resources: ["pods"], scope: "*" }],
          })),
        },
        "merge",
      ),
    "the selectors are edited": async () =>
      await world.client.patch(
        CONFIGURATION,
        {
          webhooks: (await webhooks()).map((one) => ({
            ...one,
            namespaceSelector: { matchLabels: { "example.com/none": "" } },
            objectSelector: { matchLabels: { "example.com/none": "" } },
          })),
        },
        "merge",
      ),
    "the Service's selector is edited": () =>
      world.client.patch(`${OURS}/services/${WEBHOOK_SERVICE}`, { spec: { selector: { app: "none" } } }, "merge"),
    "the Service is deleted": () => world.client.delete(`${OURS}/services/${WEBHOOK_SERVICE}`),
    "the serving Secret is deleted": () => world.client.delete(`${OURS}/secrets/${SERVING_SECRET}`),
    "the certificate is corrupted": () => secret(SERVING_SECRET, { "tls.crt": encoded("nonsense") }),
    "the CA's Secret is deleted": () => world.client.delete(`${OURS}/secrets/${CA_SECRET}`),
    "the CA is replaced by a stranger's": () =>
      secret(CA_SECRET, { "tls.crt": encoded(stranger.certPem), "tls.key": encoded(stranger.keyPem), "previous.crt": encoded("") }),
  };
  const before = await keptOf(world);
  assert.deepEqual(before.faults, []);
  for (const [name, damage] of Object.entries(damages)) {
    await damage();
    const startedMs = Date.now();
    let seen: unknown;
    await until(
      () => `what the webhook needs is whole, and the gate arrives, after ${name}; seen last: ${JSON.stringify(seen)}`,
      async () => {
        const gated = await dryPod(world); // rejects where no Pod can be created
        const kept = await keptOf(world).catch((error: unknown) => ({ wished: String(error), faults: [] }));
        seen = { gated, ...kept };
        return gated && isDeepStrictEqual(kept, before);
      },
      20_000,
    );
    const tookMs = Date.now() - startedMs;
    assert.ok(tookMs < HEAL_MS, `${name}: mended after ${tookMs} ms`);
  }
  // A Secret's damage stops no gate: replicas serve with what they hold until it is back. What could have stopped one is told on the Service.
  for (const told of [
    /Configuration.*gate.clb-direct.io is missing/,
    /Configuration.*caBundle/,
    /Configuration.*rules/,
    /Configuration.*it does not exist/,
    /Service.*it does not exist/,
  ])
    await until(`an Event that matches ${told}`, async () =>
      (await eventsOf(world, DEFAULT_NAMESPACE, "AdmissionRepaired")).some((message) => told.test(message)),
    );
});

test("what nobody mends is told by the check with its cause, while Pods go on being created", async (t) => {
  const world = await aWorld(t);
  await applyExample(world, undefined, ({ kind }) => kind === "Service" || kind === "Namespace");
  await until("Pods get the gate", () => dryPod(world), 10_000);
  const isTold = (cause: string) => async (): Promise<boolean> => {
    await dryPod(world); // rejects where no Pod can be created
    return (await eventsOf(world, DEFAULT_NAMESPACE, "AdmissionNotWorking")).some((message) => message.includes(`(${cause})`));
  };
  const slice = `/apis/discovery.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/endpointslices/${WEBHOOK_SERVICE}-processes`;
  const { endpoints } = await world.client.get<{ endpoints: unknown }>(slice);
  await world.client.patch(slice, { endpoints: [] }, "merge");
  await renewLeaf(world.client); // an API server goes on with the connections that it has until it is asked to close them
  await until("the check tells that no replica is reached", isTold("unreachable"), 45_000, 500);
  assert.equal(await dryPod(world), false);
  await world.client.patch(slice, { endpoints }, "merge");
  await until("Pods get the gate again", () => dryPod(world), 10_000);

  const namespace = `/api/v1/namespaces/${CANARY_NAMESPACE}`;
  const isThere = (path: string): Promise<boolean> =>
    world.client.get(path).then(
      () => true,
      () => false,
    );
  await world.client.delete(namespace);
  await until("the check's Namespace is gone", async () => !(await isThere(namespace)), 30_000, 200);
  await until("the check tells that its Namespace is missing", isTold("namespace"), 45_000, 500);
  assert.equal(await dryPod(world), true);
  await world.client.create("/api/v1/namespaces", { metadata: { name: CANARY_NAMESPACE } });
  // The Role went with the Namespace; an embedded API server knows no rights.
  if (KIND === "real") await until("the check tells that its right is missing", isTold("rights"), 45_000, 500);
  assert.equal(await dryPod(world), true);
});
