/** The live board: what the coordinator's explanation says, and nothing else. */
import { setTimeout as sleep } from "node:timers/promises";
import type { BindingExplanation, LoadBalancerExplanation, PodExplanation } from "../../coordinator/explain/explain.ts";
import type { Product } from "../cluster/product.ts";

export type BoardView = { readonly pods: readonly PodExplanation[]; readonly loadBalancers: readonly LoadBalancerExplanation[] };

async function readBoard(product: Product, namespace: string): Promise<BoardView> {
  const { loadBalancers: ids } = await product.explain<{ loadBalancers: string[] }>("");
  const pods = await product.explain<PodExplanation[]>(`?namespace=${namespace}`);
  const known = await Promise.all(ids.map((id) => product.explain<LoadBalancerExplanation>(`?loadBalancer=${id}`).catch(() => undefined)));
  return { pods, loadBalancers: known.filter((one) => one !== undefined) };
}

/** A table for a terminal. `load` e.g. "4200 requests, 0 failed". */
function boardText({ pods, loadBalancers }: BoardView, load: string): string {
  const lines = [
    `${"POD".padEnd(28)} ${"NODE".padEnd(8)} ${"FACTS".padEnd(6)} ${"ADDRESS".padEnd(14)} ${"ENI".padEnd(13)} ${"STAGE".padEnd(10)} ${"FOR".padStart(5)}  ${"HEALTH".padEnd(8)} ${"W".padStart(3)}  GATE`,
  ];
  for (const pod of pods) {
    const [binding] = pod.bindings;
    const name = pod.pod.slice(pod.pod.indexOf("/") + 1);
    const stage = binding?.step ?? "-";
    const since = binding === undefined ? "" : `${binding.sinceSeconds} s`;
    const head = `${name.padEnd(28)} ${pod.node.padEnd(8)} ${pod.factsFrom.padEnd(6)} ${(pod.ip ?? "-").padEnd(14)} ${(pod.eni?.split(" ")[0] ?? pod.hostInterface ?? "-").padEnd(13)}`;
    lines.push(
      `${head} ${stage.padEnd(10)} ${since.padStart(5)}  ${(binding?.health ?? "-").padEnd(8)} ${String(binding?.weight ?? "-").padStart(3)}  ${pod.gate}${pod.terminating ? " (terminating)" : ""}`,
    );
  }
  for (const one of loadBalancers) {
    const calls = one.runningCall ?? (one.plannedCalls[0] === undefined ? "none" : `next: ${one.plannedCalls[0]}`);
    lines.push(`${one.loadBalancerId} ${one.addresses.join(" ")}: call ${calls}`);
  }
  lines.push(load);
  return lines.join("\n");
}

/** In the order in which a Pod goes through them; docs/conditions.md says what each means. */
const STEPS = ["unselected", "pending", "bindable", "binding", "checking", "healthy", "draining"] as const satisfies readonly (
  | BindingExplanation["step"]
  | "unselected"
)[];

/** One line for a log, e.g. "4 checking, 2 healthy, 2 draining; call: bind 4". */
function boardLine({ pods, loadBalancers }: BoardView, load: string): string {
  const counts = new Map<string, number>();
  for (const pod of pods) {
    const stage = pod.bindings[0]?.step ?? "unselected";
    counts.set(stage, (counts.get(stage) ?? 0) + 1);
  }
  const stages = STEPS.flatMap((stage) => (counts.has(stage) ? `${counts.get(stage)} ${stage}` : [])).join(", ") || "no Pods yet";
  const calls = loadBalancers.map(({ runningCall }) => runningCall?.split(":")[0]).filter((call) => call !== undefined);
  return `${stages}; call: ${calls.join(", ") || "none"}; ${load}`;
}

export type Board = { readonly stop: () => Promise<void> };

const REDRAW_MS = 400;
const LINE_MS = 2_000;

/** Redraws in place on a terminal, prints a line now and then otherwise. */
export function startBoard(product: Product, namespace: string, load: () => string): Board {
  const live = process.stdout.isTTY;
  const over = new AbortController();
  let height = 0;
  const draw = async (): Promise<void> => {
    const view = await readBoard(product, namespace);
    if (over.signal.aborted) return;
    if (!live) return void process.stdout.write(`  ${boardLine(view, load())}\n`);
    const text = boardText(view, load());
    process.stdout.write(`${height > 0 ? `\u001b[${height}A\u001b[J` : ""}${text}\n`);
    height = text.split("\n").length;
  };
  const loop = (async () => {
    while (!over.signal.aborted) {
      await draw().catch(() => undefined); // the coordinator may be starting or stopping
      await sleep(live ? REDRAW_MS : LINE_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  return {
    stop: async () => {
      over.abort();
      await loop;
    },
  };
}
