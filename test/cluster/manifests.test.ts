import assert from "node:assert/strict";
import { test } from "node:test";
import { DIRECT_ACCESS, SERVICE_CONFIG } from "../../common/names.ts";
import { collectionPath, exampleFile, loadManifests, parseManifests } from "./manifests.ts";

test("the example is what a careful user has: no gate, sleep within the grace period, nothing unavailable, a port by name", async () => {
  const manifests = await loadManifests(exampleFile("web.yaml"));
  assert.deepEqual(manifests.map(collectionPath), [
    "/api/v1/namespaces",
    "/apis/apps/v1/namespaces/demo/deployments",
    "/api/v1/namespaces/demo/services",
    "/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs",
  ]);
  const [, deployment, service, config] = manifests;
  assert.ok(deployment);
  const { template, strategy, replicas } = deployment["spec"] as {
    template: { spec: object };
    strategy: object;
    replicas: number;
  };
  assert.equal(replicas, 6);
  assert.deepEqual(strategy, { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 2 } });
  assert.deepEqual(template.spec, {
    terminationGracePeriodSeconds: 30,
    containers: [
      {
        name: "web",
        image: "registry.example.com/web:1",
        ports: [{ name: "http", containerPort: 8080 }],
      },
    ],
  });
  assert.deepEqual(service?.metadata["annotations"], { [DIRECT_ACCESS]: "true", [SERVICE_CONFIG]: config?.metadata.name });
  assert.deepEqual(config?.["spec"], {
    loadBalancer: {
      l4Listeners: [{ protocol: "TCP", port: 80, healthCheck: { enable: true, intervalTime: 2, healthNum: 2, unHealthNum: 2 } }],
    },
  });
});

test("a document without a name is refused with its place", () => {
  const yaml = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {}\n";
  assert.throws(() => parseManifests(yaml, "some.yaml"), /some\.yaml: document 2 needs apiVersion, kind and metadata\.name/);
});

test("fields keep the names that the API has for them", async () => {
  const yaml = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: a }
spec: { versions: [{ name: v1, schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } } }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: b }
spec: { ingress: [{ from: [{ podSelector: {} }] }] }
`;
  const [definition, policy] = parseManifests(yaml, "some.yaml");
  const schema = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };
  assert.deepEqual(definition?.["spec"], { versions: [{ name: "v1", schema }] });
  assert.deepEqual(policy?.["spec"], { ingress: [{ from: [{ podSelector: {} }] }] });
});
