/** Where the hold server of a simulated node listens: all simulated nodes share one network, so each has an address of its own for it. */
import { spawnSync } from "node:child_process";
import { type AddressPlan, networkKind } from "../network.ts";

/** Addresses of no node, one for each: over them the hold servers prove their rules. */
const FIRST_PROOF_ADDRESS = 22;

/** Why no hold server of a simulated node can lead calls to itself; undefined: it can. */
export function redirectFault(kind = networkKind()): string | undefined {
  if (kind !== "namespace") return "no network namespace here";
  const { error, status, stderr } = spawnSync("nft", ["list", "tables"], { encoding: "utf8" });
  return error?.message ?? (status === 0 ? undefined : stderr.trim());
}

/** Environment of the hold server of node number `index`. Without a rule the node's simulated kubelet calls it by itself. */
export function simulatedHold(plan: AddressPlan, index: number): Readonly<Record<string, string>> {
  const host = plan.nodeAddress(index);
  return redirectFault(plan.kind) === undefined
    ? { HOLD_HOST: host, NODE_IP: plan.nodeAddress(FIRST_PROOF_ADDRESS + index) }
    : { HOLD_HOST: host, NODE_IP: host, HOLD_RULE: "off" };
}
