import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { type AuditEntry, type EmbeddedCluster, startApiServer } from "../cluster/embedded/server.ts";

/** An API server for one test and our client for it. `written` is every write that was answered, e.g. "patch pods/status web-1 200". */
export async function aKube(t: TestContext): Promise<{ cluster: EmbeddedCluster; client: KubeClient; written: string[] }> {
  const written: string[] = [];
  const onRequest = ({ verb, resource, name, code }: AuditEntry): void => {
    if (!["get", "list", "watch"].includes(verb)) written.push(`${verb} ${resource} ${name} ${code}`);
  };
  const cluster = await startApiServer({ onRequest });
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-kube-"));
  const kubeconfig = join(directory, "kubeconfig");
  await writeFile(kubeconfig, cluster.kubeconfig(), { mode: 0o600 });
  const client = await makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: kubeconfig } });
  t.after(async () => {
    await client.close();
    await cluster.stop();
    await rm(directory, { recursive: true });
  });
  for (const name of ["demo", "clb-direct"])
    await client.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  written.length = 0;
  return { cluster, client, written };
}

/** Waits until it is so; fails with the sentence after 30 s. */
export async function eventually(sentence: string, isSo: () => boolean): Promise<void> {
  for (const startedMs = Date.now(); !isSo(); await new Promise((resolve) => setTimeout(resolve, 2)))
    if (Date.now() - startedMs > 30_000) throw new Error(`not within 30 s: ${sentence}`);
}
