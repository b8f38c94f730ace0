/**
 * What the admission check meets at the webhook's Service, from the network of a node with a real kube-proxy: where none runs nobody can dial a
 * Service's cluster address.
 */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import { after, before, suite, test } from "node:test";
import type { KubeClient } from "../../../../common/kubernetes/requests.ts";
import {
  COORDINATOR_SERVICE_ACCOUNT,
  DEFAULT_NAMESPACE,
  INJECT_LABEL,
  WEBHOOK_CONFIGURATION,
  WEBHOOK_PORT,
  WEBHOOK_SERVICE,
} from "../../../../common/names.ts";
import { issueAuthority, issueServing } from "../../../../coordinator/tls/certificate.ts";
import { isInjected } from "../../injected.ts";
import { until } from "../../process.ts";
import type { Product } from "../../product.ts";
import { renewLeaf } from "../../renew-leaf.ts";
import { findBinaries } from "../binaries.ts";
import { ADMIN } from "../certificates.ts";
import { PROXY } from "../modules.ts";
import { startKubeProxies } from "./kube-proxy.ts";
import { endAll, startTestProduct } from "./test-product.ts";
import { makeNamespace, realNodesSkip } from "./testing.ts";

const NODE = "node-a";
const OURS = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
const SLICE = `/apis/discovery.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/endpointslices/${WEBHOOK_SERVICE}-processes`;
const GROUP = "admissionregistration.k8s.io";
const CONFIGURATIONS = "mutatingwebhookconfigurations";
const CONFIGURATION = `/apis/${GROUP}/v1/${CONFIGURATIONS}/${WEBHOOK_CONFIGURATION}`;
/** The check looks every 30 s where all was well, and at once after a change of certificates. */
const TOLD_MS = 45_000;

const proxy = await findBinaries(PROXY);
const skip = (await realNodesSkip()) || (proxy.kind === "missing" ? proxy.reason : false);

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

type Rule = { readonly apiGroups: readonly string[]; readonly resources: readonly string[]; readonly verbs: readonly string[] };

/** Takes the right to change the configuration from the coordinator; the result gives it back. */
async function takeRight(admin: KubeClient): Promise<() => Promise<unknown>> {
  const path = `/apis/rbac.authorization.k8s.io/v1/clusterroles/${COORDINATOR_SERVICE_ACCOUNT}`;
  const { rules } = await admin.get<{ rules: readonly Rule[] }>(path);
  const less = rules.map((rule) =>
    rule.resources.includes(CONFIGURATIONS) ? { ...rule, verbs: rule.verbs.filter((verb) => verb !== "patch") } : rule,
  );
  await admin.patch(path, { rules: less }, "merge");
  const user = `system:serviceaccount:${DEFAULT_NAMESPACE}:${COORDINATOR_SERVICE_ACCOUNT}`;
  const resourceAttributes = { group: GROUP, resource: CONFIGURATIONS, name: WEBHOOK_CONFIGURATION, verb: "patch" };
  const review = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec: { user, resourceAttributes } };
  const isDenied = async (): Promise<boolean> =>
    !(await admin.create<{ status: { allowed: boolean } }>("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)).status.allowed;
  await until("the coordinator has not the right any more", isDenied);
  return () => admin.patch(path, { rules }, "merge");
}

/** Has the API server trust that authority alone. */
async function trustOnly(admin: KubeClient, certPem: string): Promise<void> {
  const { webhooks } = await admin.get<{ webhooks: readonly { readonly clientConfig: object }[] }>(CONFIGURATION);
  const caBundle = Buffer.from(certPem).toString("base64");
  await admin.patch(
    CONFIGURATION,
    { webhooks: webhooks.map((one) => ({ ...one, clientConfig: { ...one.clientConfig, caBundle } })) },
    "merge",
  );
}

realSuite("the admission check on the network of a node with kube-proxy", () => {
  let admin: KubeClient;
  let product: Product;
  let strangersHost = "";
  const steps: (() => Promise<unknown>)[] = [];
  /** Rejects where no Pod can be created. */
  const isGated = (): Promise<boolean> => isInjected(admin, "/api/v1/namespaces/demo/pods", { [INJECT_LABEL]: "enabled" });
  const untilTold = (text: RegExp): Promise<unknown> =>
    until(
      `the check tells ${text}`,
      async () => {
        await isGated();
        const { items } = await admin.list<{ reason: string; message: string }>(`${OURS}/events`);
        return items.some(({ reason, message }) => reason === "AdmissionNotWorking" && text.test(message));
      },
      TOLD_MS,
      500,
    );
  const timesWell = async (): Promise<number> => {
    const text = await (await fetch(`${product.opsUrl}/metrics`)).text();
    return Number(/^clb_direct_admission_checks_total\{cause="none"\} (\d+)$/m.exec(text)?.[1] ?? 0);
  };
  const untilWell = async (): Promise<void> => {
    await until("Pods get the gate again", isGated, 10_000);
    const times = await timesWell();
    await until("the check finds all well", async () => (await timesWell()) > times, TOLD_MS);
  };
  /** API servers go on with the connections that they have until they are asked to close them; then the check looks soon. */
  const untilBare = async (): Promise<void> => {
    await renewLeaf(admin);
    await until("Pods get no gate", async () => !(await isGated()), 5_000);
    await renewLeaf(admin);
  };
  const leadTo = (endpoints: readonly object[]): Promise<unknown> => admin.patch(SLICE, { endpoints }, "merge");

  before(async () => {
    if (proxy.kind === "missing") throw new Error(proxy.reason);
    const begun = await startTestProduct((step) => steps.push(step), { names: [NODE], coordinatorOn: NODE });
    ({ product } = begun);
    const { cluster, nodes, slot } = begun.started;
    ({ admin } = begun.started);
    strangersHost = slot.plan.standby;
    const kubeconfig = await cluster.kubeconfigFile(ADMIN);
    const { directory } = cluster;
    startKubeProxies({ nodes, binary: proxy.binaries["kube-proxy"], kubeconfig, mode: "nftables", directory });
    await makeNamespace(admin, "demo");
    await until("Pods get the gate", () => isGated().catch(() => false), 20_000);
  });
  after(() => endAll(steps));

  test("tls: the API server trusts a stranger, and the coordinator has not the right to mend it", async () => {
    const giveBack = await takeRight(admin);
    const stranger = await issueAuthority(Date.now());
    await trustOnly(admin, stranger.certPem);
    await untilBare();
    await untilTold(/\(tls\): the API server is told to trust others than the coordinator's authority/);
    assert.equal(await isGated(), false);
    await giveBack();
    await untilWell();
  });

  test("tls: a stranger answers behind the webhook's Service", async (t) => {
    const stranger = await issueAuthority(Date.now());
    const { certPem: cert, keyPem: key } = await issueServing(stranger, [`${WEBHOOK_SERVICE}.${DEFAULT_NAMESPACE}.svc`], [], Date.now());
    const server = createServer({ cert, key }, (_request, response) => void response.end());
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(WEBHOOK_PORT, strangersHost, resolve));
    t.after(() => void server.close());
    const { endpoints } = await admin.get<{ endpoints: readonly object[] }>(SLICE);
    await leadTo([{ addresses: [strangersHost], conditions: { ready: true } }]);
    await untilBare();
    await untilTold(/\(tls\): who answers at Service clb-direct-webhook has no certificate of the coordinator's authority/);
    assert.equal(await isGated(), false);
    await leadTo(endpoints);
    await untilWell();
  });

  test("unreachable: the Service leads to nobody", async () => {
    const { endpoints } = await admin.get<{ endpoints: readonly object[] }>(SLICE);
    await leadTo([]);
    await untilBare();
    await untilTold(/\(unreachable\)/);
    assert.equal(await isGated(), false);
    await leadTo(endpoints);
    await untilWell();
  });
});
