/** The rows of `npm run proof:rollout`: what a user's Pods have in each, and what befalls them. */
import { exampleFile, loadManifests, type Manifest } from "../cluster/manifests.ts";
import type { Told } from "./lost-requests.ts";
import type { Mode } from "./modes.ts";

/** How often what happens in a row. */
export type Plan = {
  readonly rollouts: number;
  readonly drains: number;
  readonly deletions: number;
  /** Whether the agents are updated and the leader is deleted in the middle of rollouts. */
  readonly faults: boolean;
};

export type Row = {
  readonly mode: Mode;
  readonly profile: string;
  readonly rollouts: number;
  readonly drains: number;
  readonly deletions: number;
  readonly faults: number;
  readonly requests: number;
  readonly failed: number;
  readonly causes: Readonly<Record<string, number>>;
  /** Of one rollout, in the middle. */
  readonly rolloutSeconds: number;
  /** When, and where to. */
  readonly lost: readonly Told[];
};

const OPT_OUT = { "clb-direct.io/inject": "disabled" };
const PROBE = { httpGet: { path: "/", port: "http" }, periodSeconds: 1 };
const PRE_STOPS: Partial<Record<Mode, object>> = { "no-hold": { sleep: { seconds: 0 } }, "sleep-5": { sleep: { seconds: 5 } } };

/** The example in a Namespace of its own, with what the row takes away or adds; in the order in which it is applied. */
export async function manifestsOf(mode: Mode, namespace: string, replicas: number): Promise<readonly Manifest[]> {
  const shipped = await loadManifests(exampleFile("web.yaml"));
  const own = shipped.map((manifest) => fitted(structuredClone(manifest), mode, namespace, replicas));
  const rank = ({ kind }: Manifest): number => (kind === "Namespace" ? 0 : kind === "Deployment" ? (mode === "late-service" ? 1 : 3) : 2);
  return own.toSorted((one, other) => rank(one) - rank(other));
}

type Deployment = {
  replicas: number;
  strategy: object;
  template: { metadata: { labels: Record<string, string> }; spec: { readinessGates?: unknown; containers: Record<string, unknown>[] } };
};

function fitted(manifest: Manifest, mode: Mode, namespace: string, replicas: number): Manifest {
  const metadata = manifest.kind === "Namespace" ? { ...manifest.metadata, name: namespace } : { ...manifest.metadata, namespace };
  const own: Manifest = { ...manifest, metadata };
  if (own.kind !== "Deployment") return own;
  const spec = own["spec"] as Deployment;
  spec.replicas = replicas;
  spec.strategy = { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: "25%" } };
  const { template } = spec;
  delete template.spec.readinessGates;
  if (mode === "no-gate") Object.assign(template.metadata.labels, OPT_OUT);
  const [container] = template.spec.containers;
  if (container === undefined) throw new Error("the example has no container");
  delete container["lifecycle"];
  const preStop = PRE_STOPS[mode];
  Object.assign(container, { readinessProbe: PROBE, imagePullPolicy: "Never" }, preStop && { lifecycle: { preStop } });
  return own;
}

/** For the README. */
export function tableOf(rows: readonly Row[]): string {
  const line = ({ mode, profile, rollouts, drains, deletions, faults, requests, failed, causes, rolloutSeconds }: Row): string => {
    const why = Object.entries(causes).map(([cause, count]) => `${count} ${cause}`);
    const cells = [
      `\`${mode}\``,
      `\`${profile}\``,
      rollouts,
      drains,
      deletions,
      faults,
      requests,
      failed,
      why.join(", "),
      rolloutSeconds.toFixed(1),
    ];
    return `| ${cells.join(" | ")} |`;
  };
  const head = "| row | profile | rollouts | drains | deletions | faults | requests | failed | causes | a rollout, s |";
  return [head, "|---|---|---|---|---|---|---|---|---|---|", ...rows.map(line)].join("\n");
}
