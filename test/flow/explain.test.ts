/** Who may read what the coordinator knows: the ops port says nothing of it, the explain port asks the API server. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { askExplain } from "../cluster/ask-explain.ts";
import { inherited } from "../cluster/process.ts";
import { KIND } from "./cluster.ts";
import { changedExample } from "./examples.ts";
import { converged } from "./look.ts";
import { stolenToken } from "./stranger.ts";
import { applyExample, startWorld, type World } from "./world.ts";

type TokenRequest = { readonly status: { readonly token: string } };

async function tokenOf(world: World, namespace: string, name: string, audience?: string): Promise<string> {
  const spec = { expirationSeconds: 600, ...(audience !== undefined && { audiences: [audience] }) };
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
  return (await world.client.create<TokenRequest>(path, body)).status.token;
}

test("explanations are for who may get them", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t);
  await applyExample(world, changedExample({ replicas: 1 }));
  const [pod] = await converged(world, { count: 1 });
  const ca = await readFile(join(world.directory, "clb-direct-agent-node-a", "bundle.crt"), "utf8");
  const ask = async (path: string, token?: string) => await askExplain(`${world.product.explainUrl}${path}`, { token, ca });
  const paths = ["/explain", "/explain?namespace=demo", "/write-log", "/audit", "/nothing"];

  await t.test("the ops port has metrics and health, and nothing else", async () => {
    for (const path of paths) assert.equal((await fetch(`${world.product.opsUrl}${path}`)).status, 404, path);
    for (const path of ["/metrics", "/healthz", "/readyz"]) assert.equal((await fetch(`${world.product.opsUrl}${path}`)).status, 200, path);
  });

  await t.test("nothing without a token, with one of the API server's own audience, or with an agent's", async () => {
    const agents = await stolenToken(world, "node-a");
    const ofApiServer = await tokenOf(world, "clb-direct", "clb-direct-reader");
    for (const path of paths) {
      assert.equal((await ask(path)).status, 401, path);
      assert.equal((await ask(path, "nonsense")).status, 401, path);
      assert.equal((await ask(path, ofApiServer)).status, 401, path);
      assert.equal((await ask(path, agents)).status, 403, path);
    }
  });

  await t.test("everything for clb-direct-reader", async () => {
    const reader = await tokenOf(world, "clb-direct", "clb-direct-reader", "clb-direct");
    const { status, text } = await ask(`/explain?pod=demo/${pod?.metadata.name}&format=text`, reader);
    assert.equal(status, 200);
    assert.match(text, /healthy/);
    assert.equal((await ask("/write-log", reader)).status, 200);
    assert.equal((await ask("/nothing", reader)).status, 404);
  });

  await t.test(
    "a tenant sees the Namespace where it has the right",
    { skip: KIND !== "real" && "the embedded API server has no RBAC" },
    async () => {
      await world.client.create("/api/v1/namespaces/demo/serviceaccounts", {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "tina" },
      });
      const apiGroup = "rbac.authorization.k8s.io";
      await world.client.create(`/apis/${apiGroup}/v1/namespaces/demo/rolebindings`, {
        apiVersion: `${apiGroup}/v1`,
        kind: "RoleBinding",
        metadata: { name: "explain", namespace: "demo" },
        roleRef: { apiGroup, kind: "ClusterRole", name: "clb-direct-reader" },
        subjects: [{ kind: "ServiceAccount", name: "tina", namespace: "demo" }],
      });
      const tina = await tokenOf(world, "demo", "tina", "clb-direct");
      assert.equal((await ask("/explain?namespace=demo", tina)).status, 200);
      assert.equal((await ask("/explain?namespace=kube-system", tina)).status, 403);
      assert.equal((await ask("/explain", tina)).status, 403);
      assert.equal((await ask("/write-log", tina)).status, 403);
    },
  );

  await t.test(
    "npm run explain gets its token and the CA by the kubeconfig",
    { skip: KIND !== "embedded" && "its kubeconfig is elsewhere" },
    async () => {
      const args = ["coordinator/explain/cli.ts", "--url", world.product.explainUrl, `demo/${pod?.metadata.name}`];
      const env = { ...inherited(), KUBECONFIG: join(world.directory, "kubeconfig") };
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });
      assert.match(stdout, /^Pod demo\/web-\S+ on node-[ab] \(facts from: agent\)/);
      const nobody = ["coordinator/explain/cli.ts", "--url", "https://127.0.0.1:1", "demo"]; // nothing is forwarded yet
      await assert.rejects(promisify(execFile)(process.execPath, nobody, { env }), (error: { code: number; stderr: string }) => {
        assert.match(error.stderr, /^no answer from https:\/\/127\.0\.0\.1:1: /);
        assert.match(error.stderr, /The leader is Pod (\S+)\. In another terminal: kubectl -n clb-direct port-forward pod\/\1 9092:9092;/);
        return error.code === 1;
      });
    },
  );
});
