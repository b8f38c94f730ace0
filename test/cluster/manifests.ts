/** Manifests from YAML files to the API, as `kubectl apply` brings them there. */
import { readFile } from "node:fs/promises";
import { ObjectSerializer } from "@kubernetes/client-node/dist/serializer.js";
import { getSerializationType } from "@kubernetes/client-node/dist/util.js";
import { loadAllYaml } from "@kubernetes/client-node/dist/yaml.js";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";

const DEPLOY = new URL("../../deploy/", import.meta.url).pathname;

/** What a user applies: the file made of the chart; `before-1.36` is what older clusters need besides. */
export const loadInstallation = (which: "all" | "before-1.36" = "all"): Promise<readonly Manifest[]> =>
  loadManifests(`${DEPLOY}install${which === "all" ? "" : `-${which}`}.yaml`);

/** Kinds of an installation that are nothing without its Pods. */
const WORKLOADS: ReadonlySet<string> = new Set(["Deployment", "DaemonSet", "Job", "PodDisruptionBudget", "Service", "NetworkPolicy"]);

/** For clusters where processes of a test stand in the place of the Pods. */
export const withoutWorkloads = (manifests: readonly Manifest[]): readonly Manifest[] =>
  manifests.filter(({ kind }) => !WORKLOADS.has(kind));

/** Namespace and ServiceAccounts: what a cluster that authorizes nobody needs. */
export const accountsOf = (manifests: readonly Manifest[]): readonly Manifest[] =>
  manifests.filter(({ kind }) => kind === "Namespace" || kind === "ServiceAccount");

/** One object of a manifest file, as JSON. */
export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
};

/** E.g. exampleFile("web.yaml"): the path of a manifest under deploy/examples. */
export const exampleFile = (name: string): string => `${DEPLOY}examples/${name}`;

/** The documents of a YAML file, empty ones left out. Throws if one lacks apiVersion, kind or name. */
export async function loadManifests(file: string): Promise<readonly Manifest[]> {
  return parseManifests(await readFile(file, "utf8"), file);
}

/** `origin` is named in errors, e.g. "deploy/examples/web.yaml". */
export function parseManifests(yaml: string, origin: string): readonly Manifest[] {
  const documents: readonly unknown[] = JSON.parse(JSON.stringify(loadAllYaml(yaml).map(asWritten))) as unknown[];
  return documents.map((document, index) => {
    if (isManifest(document)) return document;
    throw new Error(`${origin}: document ${index + 1} needs apiVersion, kind and metadata.name`);
  });
}

/** The library reads into its models, whose names differ here and there (`x_kubernetes_…`, `_from`); this gives the API's own names back. */
function asWritten(document: { readonly apiVersion?: string; readonly kind?: string }): unknown {
  const { apiVersion, kind } = document;
  return ObjectSerializer.serialize(document, getSerializationType(apiVersion, kind));
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== "object" || value === null || !("apiVersion" in value) || !("kind" in value) || !("metadata" in value)) return false;
  const { metadata } = value;
  return typeof metadata === "object" && metadata !== null && "name" in metadata;
}

/** Creates the objects in order; one that is there already is merged over. Throws KubeApiError. */
export async function applyManifests(client: KubeClient, manifests: readonly Manifest[]): Promise<void> {
  for (const manifest of manifests) {
    const path = collectionPath(manifest);
    try {
      await client.create(path, manifest);
    } catch (error) {
      if (!(error instanceof KubeApiError) || error.code !== 409) throw error;
      await client.patch(`${path}/${manifest.metadata.name}`, manifest, "merge");
    }
  }
}

const CLUSTER_SCOPED: ReadonlySet<string> = new Set([
  "Namespace",
  "Node",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "IngressClass",
  "MutatingWebhookConfiguration",
  "MutatingAdmissionPolicy",
  "MutatingAdmissionPolicyBinding",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
  "FlowSchema",
]);

/** E.g. "/apis/apps/v1/namespaces/demo/deployments"; namespace "default" where a namespaced object names none. */
export function collectionPath({ apiVersion, kind, metadata }: Manifest): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = CLUSTER_SCOPED.has(kind) ? "" : `/namespaces/${metadata.namespace ?? "default"}`;
  const lower = kind.toLowerCase();
  const plural = /(s|x|ch)$/.test(lower) ? `${lower}es` : /[^aeiou]y$/.test(lower) ? `${lower.slice(0, -1)}ies` : `${lower}s`;
  return `${root}${scope}/${plural}`;
}
