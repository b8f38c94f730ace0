/** What flows of held Pods begin with. */
import { DRAIN } from "../../common/names.ts";
import { type HoldLine, holdLines } from "../cluster/held-log.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { until, type World } from "./world.ts";

type Made = { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } };

export const annotationsOf = (pod: Pod): Readonly<Record<string, string>> => (pod as Made).metadata.annotations ?? {};

/** Agents have proven their rule by then, and the webhook knows. */
export async function heldByDefault(world: World): Promise<void> {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { generateName: "ask-", namespace: "default", labels: { "clb-direct.io/inject": "enabled" } },
    spec: { containers: [{ name: "web", image: "registry.example.com/web:1" }] },
  };
  await until("new Pods are held", async () => {
    const made: Made = await world.client.create("/api/v1/namespaces/default/pods", pod, { query: { dryRun: "All" } });
    return made.metadata.annotations?.[DRAIN] === "hold";
  });
}

/** What the hold servers of these Nodes wrote so far. */
export async function writtenOfHolds(
  { product }: World,
  nodes: readonly string[],
  what: Parameters<typeof holdLines>[1],
): Promise<readonly HoldLine[]> {
  return (await Promise.all(nodes.map((node) => holdLines(product.hold(node)?.logFile ?? "", what)))).flat();
}
