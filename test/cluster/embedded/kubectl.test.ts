import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { serverFor } from "./testing.ts";

const main = new URL("main.ts", import.meta.url).pathname;
const skip = spawnSync("kubectl", ["version", "--client"]).status === 0 ? false : "kubectl is not installed";
const MANIFEST = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "web:1", ports: [{ containerPort: 8080 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { type: LoadBalancer, selector: { app: web }, ports: [{ port: 80 }] }
---
apiVersion: cloud.tencent.com/v1alpha1
kind: TkeServiceConfig
metadata: { name: web }
spec: { loadBalancer: { l4Listeners: [{ protocol: TCP, port: 80 }] } }
`;

test("serves kubectl apply, get, scale and delete", { skip }, async (t) => {
  const { cluster } = await serverFor(t);
  const home = await mkdtemp(join(tmpdir(), "embedded-"));
  t.after(() => rm(home, { recursive: true }));
  const [kubeconfig, manifest] = [join(home, "kubeconfig"), join(home, "web.yaml")];
  await writeFile(kubeconfig, cluster.kubeconfig());
  await writeFile(manifest, MANIFEST);
  const env = { ...process.env, HOME: home };
  const kubectl = async (...words: string[]) =>
    (await promisify(execFile)("kubectl", ["--kubeconfig", kubeconfig, ...words], { env })).stdout;
  const apply = () => kubectl("apply", "--validate=false", "-f", manifest);
  assert.equal((await apply()).match(/created/g)?.length, 3);
  assert.equal((await apply()).match(/unchanged/g)?.length, 3);
  await writeFile(manifest, MANIFEST.replace("web:1", "web:2"));
  assert.match(await apply(), /deployment.apps\/web configured/);
  await kubectl("scale", "deploy/web", "--replicas=5");
  const image = await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}");
  assert.equal(image, "5 web:2");
  assert.match(await kubectl("get", "svc,tkeserviceconfigs"), /service\/web[^]*tkeserviceconfig.cloud.tencent.com\/web/);
  assert.match(await kubectl("delete", "-f", manifest), /deployment.apps "web" deleted/);
  assert.equal(cluster.store.list("services").length, 0);
});

for (const [how, ending] of [
  ["SIGTERM", "signal"],
  ["the end of its parent", "stdin"],
] as const) {
  test(`runs alone and ends cleanly with ${how}`, async (t) => {
    const home = await mkdtemp(join(tmpdir(), "embedded-"));
    t.after(() => rm(home, { recursive: true }));
    const kubeconfig = join(home, "kubeconfig");
    const child = spawn(process.execPath, [main, "--json", "--kubeconfig", kubeconfig, "--exit-with-parent"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const { url, httpUrl } = JSON.parse(line.toString()) as { url: string; httpUrl: string };
    assert.ok((await readFile(kubeconfig, "utf8")).includes(url));
    assert.equal(await (await fetch(`${httpUrl}/readyz`)).text(), "ok");
    const exited = once(child, "exit");
    if (ending === "signal") child.kill("SIGTERM");
    else child.stdin.end();
    assert.deepEqual(await exited, [0, null]);
  });
}
