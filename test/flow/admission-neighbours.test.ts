/** Other people's webhooks around ours: sidecars that come before and after it are held like the rest of the Pod, and all agree. */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { DEFAULT_GATE_TYPE, HOLD_PATH, HOLD_TOKEN } from "../../common/names.ts";
import { issueAuthority, issueServing } from "../../coordinator/tls/certificate.ts";
import { isInjected } from "../cluster/injected.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const PODS = "/api/v1/namespaces/demo/pods";
const CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

type Container = {
  readonly name: string;
  readonly lifecycle?: { readonly preStop?: { readonly httpGet?: { readonly path: string }; readonly sleep?: object } };
};
type Pod = {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly containers: readonly Container[]; readonly readinessGates?: readonly { readonly conditionType: string }[] };
};
type Review = { readonly request: { readonly uid: string; readonly object: Pod } };

/** A sidecar injector as meshes have one; API servers call configurations in the order of their names. */
async function startInjector(
  t: TestContext,
  { client, plan }: World,
  name: string,
  reinvocationPolicy: string,
  sidecar: Container,
): Promise<void> {
  const authority = await issueAuthority(Date.now());
  const { certPem, keyPem } = await issueServing(authority, [], [plan.client], Date.now());
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.once("end", () => {
      const { uid, object } = (JSON.parse(Buffer.concat(chunks).toString()) as Review).request;
      const isThere = object.spec.containers.some((one) => one.name === sidecar.name);
      const operations = [{ op: "add", path: "/spec/containers/-", value: { image: "sidecar", ...sidecar } }];
      const patch = { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(operations)).toString("base64") };
      const answer = { uid, allowed: true, ...(!isThere && patch) };
      response.end(JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: answer }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, plan.client, resolve));
  t.after(async () => {
    await client.delete(`${CONFIGURATIONS}/${name}`).catch(() => undefined);
    server.close();
    server.closeAllConnections();
  });
  const url = `https://${plan.client}:${(server.address() as AddressInfo).port}/`;
  const webhook = {
    name: `${name}.example.com`,
    clientConfig: { url, caBundle: Buffer.from(authority.certPem).toString("base64") },
    rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "Namespaced" }],
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "demo" } },
    failurePolicy: "Ignore",
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
    reinvocationPolicy,
  };
  await client.create(CONFIGURATIONS, { metadata: { name }, webhooks: [webhook] });
}

for (const policy of ["IfNeeded", "Never"])
  test(`sidecars that come before and after ours get the same hold, the gate is there once (their reinvocation: ${policy})`, async (t) => {
    const world = await startWorld(t, { coordinatorEnv: { DRAIN_MODE: "hold" } });
    await applyExample(world, undefined, ({ kind }) => kind === "Service" || kind === "Namespace");
    await until("Pods get the gate", () => isInjected(world.client, PODS, { app: "web" }).catch(() => false), 20_000);
    await startInjector(t, world, "aa-mesh", policy, { name: "before" });
    await startInjector(t, world, "zz-mesh", policy, { name: "after" });
    const own = { preStop: { sleep: { seconds: 3 } } };
    await startInjector(t, world, "zz-own", policy, { name: "own", lifecycle: own });
    const spec = { containers: [{ name: "web", image: "web", ports: [{ name: "http", containerPort: 8080 }] }] };
    const create = (): Promise<Pod> =>
      world.client.create<Pod>(PODS, { metadata: { generateName: "web-", labels: { app: "web" } }, spec }, { query: { dryRun: "All" } });
    const hooksOf = ({ spec: { containers } }: Pod): Readonly<Record<string, unknown>> =>
      Object.fromEntries(containers.map(({ name, lifecycle }) => [name, lifecycle?.preStop?.httpGet?.path ?? lifecycle?.preStop?.sleep]));
    let seen: Pod | undefined;
    // A review that takes a second on a busy machine counts for nothing: the next Pod has it.
    await until(
      () => `every container has what it should; seen last: ${JSON.stringify(seen)}`,
      async () => {
        seen = await create();
        const held = `${HOLD_PATH}${seen.metadata.annotations?.[HOLD_TOKEN]}`;
        return isDeepStrictEqual(hooksOf(seen), { web: held, before: held, after: held, own: own.preStop.sleep });
      },
      20_000,
    );
    assert.deepEqual(seen?.spec.readinessGates, [{ conditionType: DEFAULT_GATE_TYPE }]);
    const created = await Promise.all(Array.from({ length: 5 }, create));
    const tokens = created.flatMap(({ metadata }) => metadata.annotations?.[HOLD_TOKEN] ?? []);
    assert.equal(new Set(tokens).size, tokens.length, "each Pod has a token of its own");
  });
