/** `npm run demo -- --deny 8080`: a gate that waits with the name of the rule that stops the load balancer. */
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import type { PodExplanation } from "../../coordinator/explain/explain.ts";
import { podText } from "../../coordinator/explain/text.ts";
import { applyInjected } from "../cluster/injected.ts";
import { applyManifests } from "../cluster/manifests.ts";
import { until } from "../cluster/process.ts";
import { exampleManifests, hasWebhook, NAMESPACE } from "./example.ts";
import type { DemoOptions } from "./options.ts";
import type { Stage } from "./stage.ts";

/** Pods start in seconds; the verdict follows them at once, and the condition a second later. */
const LIMIT_MS = 90_000;
const REASON = "SecurityGroupDenies";

type Condition = { readonly type: string; readonly status: string; readonly reason?: string; readonly message?: string };
type Pods = {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status?: { readonly conditions?: readonly Condition[] };
  }[];
};
type Events = { readonly items: readonly { readonly reason: string; readonly message: string }[] };

/** The exit code: 0 once a Pod's gate waits for that reason. */
export async function performDenied(options: DemoOptions, { cluster, product, plan }: Stage, say: (text: string) => void): Promise<number> {
  await (hasWebhook(options, plan) ? applyInjected : applyManifests)(cluster.client, await exampleManifests(options, plan));
  say(`applied deploy/examples/web.yaml: ${options.replicas} Pods, whose security group drops TCP ${options.deny}`);
  const found = await until(
    `a gate that waits with reason ${REASON} (does the example's container listen on ${options.deny}?)`,
    async () => {
      const { items } = await cluster.client.get<Pods>(`/api/v1/namespaces/${NAMESPACE}/pods`);
      for (const { metadata, status } of items) {
        const gate = status?.conditions?.find(({ type }) => type === DEFAULT_GATE_TYPE);
        if (gate?.reason === REASON) return { name: metadata.name, gate };
      }
      return undefined;
    },
    LIMIT_MS,
  );
  say(`\ncondition of Pod ${NAMESPACE}/${found.name}:\n${JSON.stringify(found.gate, null, 2)}`);
  const { items: events } = await cluster.client.get<Events>(`/api/v1/namespaces/${NAMESPACE}/events`);
  const told = events.find(({ reason }) => reason === REASON);
  say(`\nEvent ${REASON}: ${told?.message ?? "(not written yet)"}`);
  const explained = await product.explain<PodExplanation>(`?pod=${NAMESPACE}/${found.name}`);
  say(`\n${podText(explained)}`);
  say(
    "a verdict is no veto: the Pods are bound at the latest 30 s after their containers were ready, and the load balancer's own check decides",
  );
  return 0;
}
