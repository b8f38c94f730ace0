import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { makeClock } from "../../../common/clock.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import { type EmbeddedCluster, startApiServer } from "../embedded/server.ts";
import { applyManifests } from "../manifests.ts";
import type { Cluster } from "./cluster.ts";
import type { Pod } from "./objects.ts";
import { projectConfigMapKey, projectToken } from "./projected.ts";

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

async function becomes(file: string, content: string): Promise<void> {
  for (let looks = 0; looks < 100; looks++) {
    if ((await readFile(file, "utf8")) === content) return;
    await sleep(20);
  }
  assert.equal(await readFile(file, "utf8"), content);
}

suite("files that a kubelet projects", () => {
  let folder: string;
  let api: EmbeddedCluster;
  let cluster: Cluster;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "projected-"));
    api = await startApiServer();
    await writeFile(join(folder, "kubeconfig"), api.kubeconfig());
    const clock = makeClock();
    const client = await makeKubeClient({ clock, env: { KUBECONFIG: join(folder, "kubeconfig") } });
    cluster = { client, clock, log: pino({ level: "silent" }) };
  });
  after(async () => {
    await cluster.client.close();
    await api.stop();
    await rm(folder, { recursive: true });
  });

  test("a token for the audience, bound to the Pod and so to its node, readable by its owner only", async () => {
    await applyManifests(cluster.client, [
      { apiVersion: "v1", kind: "Node", metadata: { name: "node-a" } },
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "agent", namespace: "default" } },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "agent-a", namespace: "default" },
        spec: { nodeName: "node-a", serviceAccountName: "agent", containers: [{ name: "agent", image: "agent:1" }] },
      },
    ]);
    const { uid } = (await cluster.client.get<Pod>("/api/v1/namespaces/default/pods/agent-a")).metadata;
    const file = join(folder, "token");
    const pod = { name: "agent-a", uid };
    const options = { namespace: "default", serviceAccount: "agent", audience: "clb-direct", expirationSeconds: 600, pod, file };
    const projection = projectToken(cluster, options);
    await projection.written;
    const claims = claimsOf(await readFile(file, "utf8"));
    assert.deepEqual(claims["aud"], ["clb-direct"]);
    const { node, pod: bound } = claims["kubernetes.io"] as { node: { name: string }; pod: object };
    assert.deepEqual([node.name, bound], ["node-a", pod]);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    await projection.stop();
    await assert.rejects(stat(file), { code: "ENOENT" });
  });

  test("a token is renewed at 80 % of its life, and the old one stays when that fails", async () => {
    const asked: number[] = [];
    const client = {
      ...cluster.client,
      create: <T>(): Promise<T> => {
        asked.push(Date.now());
        if (asked.length === 2) return Promise.reject(new Error("no answer"));
        const status = { token: `token-${asked.length}`, expirationTimestamp: new Date(Date.now() + 500).toISOString() };
        return Promise.resolve({ status } as T);
      },
    };
    const file = join(folder, "short-lived");
    const pod = { name: "p", uid: "u" };
    const projection = projectToken(
      { ...cluster, client },
      { namespace: "default", serviceAccount: "agent", audience: undefined, expirationSeconds: 600, pod, file },
    );
    await projection.written;
    while (asked.length < 2) await sleep(5);
    const [first = 0, second = 0] = asked;
    assert.ok(second - first >= 390, `renewed after ${second - first} ms of 500`);
    assert.equal(await readFile(file, "utf8"), "token-1");
    await becomes(file, "token-3");
    await projection.stop();
  });

  test("a ConfigMap's key appears when it is there, follows it, and stays when the ConfigMap goes", async () => {
    const file = join(folder, "ca.crt");
    const projection = projectConfigMapKey(cluster, { namespace: "default", name: "bundle", key: "ca.crt", file });
    await sleep(100);
    await assert.rejects(stat(file), { code: "ENOENT" });
    const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "bundle", namespace: "default" } };
    await applyManifests(cluster.client, [{ ...configMap, data: { "ca.crt": "one" } }]);
    await projection.written;
    await becomes(file, "one");
    await applyManifests(cluster.client, [{ ...configMap, data: { "ca.crt": "two" } }]);
    await becomes(file, "two");
    await cluster.client.delete("/api/v1/namespaces/default/configmaps/bundle");
    await sleep(100);
    assert.equal(await readFile(file, "utf8"), "two");
    await projection.stop();
  });
});
