/**
 * On two real nodes that are TKE's: how long after a Pod has its address its ENI, subnet and verdict are in explain. Run in the harness's network
 * namespace by main.ts; prints one line of JSON.
 */
import { PORT, RULE_SETS, SENDERS } from "../../test/agent/kernel/rule-sets.ts";
import { endAll, startTestProduct } from "../../test/cluster/real/nodes/test-product.ts";
import { makeNamespace, NODE_NAMES, realNodesSkip } from "../../test/cluster/real/nodes/testing.ts";
import { clientGroup, firstVerdict, openService, tkeAccount, tkePod } from "../../test/cluster/real/nodes/tke-account.ts";

/** `skipped`: why no real node can run here. Milliseconds, each list ascending. */
export type FirstVerdicts =
  | { readonly skipped: string }
  | {
      readonly pods: number;
      /** From the Pod's creation to its address: scheduler, kubelet and network plugin. */
      readonly addressMs: readonly number[];
      /** From the address to ENI, subnet and verdict: agent, coordinator and the VPC API of the emulated cloud. */
      readonly verdictMs: readonly number[];
    };

const PODS = 10;

async function measured(): Promise<FirstVerdicts> {
  const skipped = await realNodesSkip();
  if (skipped !== false) return { skipped };
  const steps: (() => Promise<unknown>)[] = [];
  try {
    const rules = RULE_SETS["everything accepted"] ?? [];
    const accountOf: Parameters<typeof startTestProduct>[1] = {
      accountOf: (nodes) => tkeAccount(nodes, () => ({ own: rules, pools: [rules] }), SENDERS),
    };
    const world = await startTestProduct((step) => steps.push(step), accountOf);
    await Promise.all(NODE_NAMES.map((node) => world.product.startAgent(node)));
    await makeNamespace(world.started.admin, "demo");
    await openService(world, "from-0", clientGroup(0), PORT);
    const times: { readonly addressMs: number; readonly verdictMs: number }[] = [];
    for (let at = 0; at < PODS; at++) {
      const seen = await firstVerdict(world, tkePod(`route-${at}`, NODE_NAMES[at % NODE_NAMES.length] ?? "", "tke-route-eni"));
      times.push({ addressMs: seen.addressMs - seen.createdMs, verdictMs: seen.verdictMs - seen.addressMs });
    }
    const ascending = (values: readonly number[]): number[] => values.map(Math.round).toSorted((one, other) => one - other);
    return {
      pods: PODS,
      addressMs: ascending(times.map((one) => one.addressMs)),
      verdictMs: ascending(times.map((one) => one.verdictMs)),
    };
  } finally {
    await endAll(steps);
  }
}

console.log(JSON.stringify(await measured()));
process.exit(0);
