/** Manifests in an order that gives every Pod the gate: what selects Pods is known to the webhook before they are created. */
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { applyManifests, type Manifest } from "./manifests.ts";
import { until } from "./process.ts";

const LIMIT_MS = 20_000;

type Gated = { readonly spec: { readonly readinessGates?: readonly { readonly conditionType: string }[] } };
/** Whether a Pod, as the API server gives it, has our gate. */
export const isGated = (pod: unknown): boolean =>
  ((pod as Gated).spec.readinessGates ?? []).some(({ conditionType }) => conditionType === DEFAULT_GATE_TYPE);

/** A Pod with these labels, as a dry run: whether the webhook gives it the gate. Rejects where no Pod can be created. */
export async function isInjected(
  client: KubeClient,
  path: string,
  labels: object,
  options: { readonly timeoutMs?: number } = {},
): Promise<boolean> {
  const pod = { metadata: { generateName: "dry-", labels }, spec: { containers: [{ name: "web", image: "web" }] } };
  return isGated(await client.create(path, pod, { ...options, query: { dryRun: "All" } }));
}

type DeploymentSpec = { readonly template: { readonly metadata: { readonly labels: object } } };

/** Services and everything else first, Deployments when their Pods will get the gate. Rejects where they do not get it in 20 s. */
export async function applyInjected(client: KubeClient, manifests: readonly Manifest[]): Promise<void> {
  await applyManifests(
    client,
    manifests.filter(({ kind }) => kind !== "Deployment"),
  );
  for (const deployment of manifests.filter(({ kind }) => kind === "Deployment")) {
    const { namespace = "default", name } = deployment.metadata;
    const { template } = deployment["spec"] as DeploymentSpec;
    const path = `/api/v1/namespaces/${namespace}/pods`;
    let seen = "without it so far";
    const isReady = (): Promise<boolean> =>
      isInjected(client, path, template.metadata.labels).catch((error: unknown) => {
        seen = String(error); // the Namespace has no ServiceAccount yet
        return false;
      });
    await until(() => `Pods of Deployment ${namespace}/${name} get the gate (${seen})`, isReady, LIMIT_MS);
    await applyManifests(client, [deployment]);
  }
}
