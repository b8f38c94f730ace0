import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { byHandText } from "./by-hand.ts";

const GROUND = {
  kubeconfig: "/run/admin.kubeconfig",
  version: "v1.36.3",
  key: { secretId: "id", secretKey: "key" },
  cloud: { endpoint: "10.244.1.200:8080", adminUrl: "http://10.244.1.200:8081" },
  range: "10.245.1.0/24",
};

test("what a person is told to type on the proof's nodes is the way of docs/install.md, with what these nodes need", () => {
  const text = byHandText(GROUND, "/usr/bin/helm", 17);
  const docs = readFileSync("docs/install.md", "utf8");
  for (const command of [
    "kubectl create namespace clb-direct",
    "kubectl -n clb-direct create secret generic clb-direct-cloud --from-literal=secretId=",
    "helm install clb-direct deploy/chart --namespace clb-direct --wait ",
    "helm test clb-direct --namespace clb-direct",
    "helm upgrade clb-direct deploy/chart --namespace clb-direct --wait --reset-then-reuse-values",
  ]) {
    assert.ok(text.includes(command), `text: ${command}`);
    assert.ok(docs.includes(command), `docs: ${command}`);
  }
  assert.match(text, /--target 17 .*KUBECONFIG=\/run\/admin\.kubeconfig/);
  assert.match(text, /--set coordinator\.settings\.CLB_ENDPOINT=10\.244\.1\.200:8080 /);
  assert.match(text, /--set 'networkPolicy\.nodeCidrs=\{10\.245\.1\.0\/24\}'/);
});
