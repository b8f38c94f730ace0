/** Policies of the chart on a real API server: who may use which load balancer, and the gate without a webhook. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { DEFAULT_GATE_TYPE, INJECT_LABEL } from "../../../common/names.ts";
import { findHelm, runHelm } from "../../../deploy/tools/helm.ts";
import { CHART } from "../../../deploy/tools/render.ts";
import { applyManifests, type Manifest, parseManifests } from "../manifests.ts";
import { addressPlan, claimSlot, type SlotClaim } from "../network.ts";
import { until } from "../process.ts";
import { findControlPlane } from "./binaries.ts";
import { ADMIN } from "./certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "./control-plane.ts";

const found = await findControlPlane();
const helm = findHelm(process.env);
const skip =
  (found.kind === "missing" && found.reason) || (helm.kind === "missing" && helm.reason) || (networkFault(addressPlan(1)) ?? false);

const RULES = [
  { namespaces: ["shop", "team-*"], existing: ["lb-1"], create: ["private"], most: 2 },
  { namespaceLabels: { tier: "edge" }, existingTags: { use: "edge" }, create: ["public"] },
];
const EXISTING = { "service.kubernetes.io/tke-existed-lbid": "lb-1" };
const OTHER = { "service.kubernetes.io/tke-existed-lbid": "lb-2" };
const PRIVATE = { "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": "subnet-1" };
const service = (name: string, annotations: object, spec: object = {}): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, annotations: { "service.cloud.tencent.com/direct-access": "true", ...annotations } },
  spec: { type: "LoadBalancer", loadBalancerClass: "clb-direct.io/clb", ports: [{ port: 80 }], ...spec },
});

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

/** What the chart makes of these values, of one template. */
const rendered = (template: string, ...values: readonly string[]): readonly Manifest[] => {
  assert.ok(helm.kind === "found");
  const required = ["--namespace", "default", "--kube-version", "1.36", "--set", "region=r", "--set", "image.repository=i"];
  const args = ["template", "clb-direct", CHART, ...required, ...values, "-s", `templates/${template}.yaml`];
  return parseManifests(runHelm(helm.file, args, process.env), "the chart");
};

type Pod = { readonly spec: { readonly readinessGates?: readonly { readonly conditionType: string }[] } };

realSuite("what the chart's policies allow and change", () => {
  let slot: SlotClaim;
  let cluster: RealCluster;
  let admin: KubeClient;

  /** "created", or what the API server says. */
  const outcome = async (namespace: string, object: object): Promise<string> => {
    try {
      await admin.create(`/api/v1/namespaces/${namespace}/services`, object);
      return "created";
    } catch (err) {
      if (err instanceof KubeApiError) return err.message;
      throw err;
    }
  };

  before(async () => {
    assert.ok(found.kind === "found");
    slot = await claimSlot();
    cluster = await startControlPlane({ plan: slot.plan, binaries: found.binaries });
    admin = await cluster.client(ADMIN);
    await applyManifests(admin, rendered("load-balancer-access", "--set-json", `loadBalancerAccess=${JSON.stringify(RULES)}`));
    for (const [name, labels] of [
      ["shop", {}],
      ["team-a", {}],
      ["edge", { tier: "edge" }],
      ["other", {}],
    ] as const)
      await admin.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
    let at = 0;
    await until("the policy is in force", async () => /LoadBalancerNotAllowed/.test(await outcome("other", service(`probe-${at++}`, {}))));
  });
  after(async () => {
    await cluster?.stop();
    await slot?.release();
  });

  test("what no rule of the Namespace allows is refused, the rest is created", async () => {
    const cases: readonly (readonly [namespace: string, object: object, expected: RegExp])[] = [
      ["shop", service("named", EXISTING), /^created$/],
      ["shop", service("other", OTHER), /Namespace shop may not use load balancer lb-2/],
      ["shop", service("private", PRIVATE), /^created$/],
      ["shop", service("public", {}), /Namespace shop may not create public load balancers/],
      ["team-a", service("private", PRIVATE), /^created$/],
      ["edge", service("public", {}), /^created$/],
      ["edge", service("tagged", OTHER), /^created$/], // tags are the coordinator's to judge
      ["edge", service("private", PRIVATE), /may not create private/],
      ["other", service("cluster-ip", {}, { type: "ClusterIP", loadBalancerClass: undefined }), /^created$/],
      ["other", service("not-ours", OTHER, { loadBalancerClass: "example.com/other" }), /^created$/],
    ];
    for (const [namespace, object, expected] of cases) assert.match(await outcome(namespace, object), expected, JSON.stringify(object));
  });

  test("an edit of something else passes, one to another load balancer does not", async () => {
    const path = "/api/v1/namespaces/shop/services/named";
    await admin.patch(path, { metadata: { labels: { a: "b" } } }, "merge");
    await assert.rejects(admin.patch(path, { metadata: { annotations: OTHER } }, "merge"), /may not use load balancer lb-2/);
  });

  /** Types of the gates that a Pod gets, as a dry run. */
  const gatesOf = async (namespace: string, spec: object, labels: object = { [INJECT_LABEL]: "enabled" }): Promise<readonly string[]> => {
    const pod = { metadata: { generateName: "web-", labels }, spec: { containers: [{ name: "web", image: "web" }], ...spec } };
    const created = await admin.create<Pod>(`/api/v1/namespaces/${namespace}/pods`, pod, { query: { dryRun: "All" } });
    return (created.spec.readinessGates ?? []).map(({ conditionType }) => conditionType);
  };

  test("admission=policy: Pods with the label get the gate once, others and those of the release's Namespace get none", async () => {
    const policies = rendered("admission-webhook-policies", "--set", "admission=policy");
    const [gate, other] = [DEFAULT_GATE_TYPE, "example.com/other"];
    await applyManifests(
      admin,
      policies.filter(({ kind }) => kind.startsWith("MutatingAdmissionPolicy")),
    );
    await until("the policy is in force", async () => (await gatesOf("shop", {})).length > 0);
    const having = (...types: readonly string[]): object => ({ readinessGates: types.map((conditionType) => ({ conditionType })) });
    const cases: readonly (readonly [namespace: string, spec: object, labels: object | undefined, expected: readonly string[]])[] = [
      ["shop", {}, undefined, [gate]],
      ["shop", having(other), undefined, [other, gate]],
      ["shop", having(gate, other), undefined, [gate, other]],
      ["shop", { hostNetwork: true }, undefined, []],
      ["shop", {}, {}, []],
      ["shop", {}, { [INJECT_LABEL]: "disabled" }, []],
      ["default", {}, undefined, []],
      ["kube-system", {}, undefined, []],
    ];
    for (const [namespace, spec, labels, expected] of cases)
      assert.deepEqual(await gatesOf(namespace, spec, labels), expected, `${namespace} ${JSON.stringify([spec, labels])}`);
  });
});
