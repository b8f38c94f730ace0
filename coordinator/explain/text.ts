import type { GateStages } from "../domain/readiness/gate-condition.ts";
import type { BindingExplanation, LoadBalancerExplanation, PodExplanation } from "./explain.ts";

/** " for 4 s", or " for at least 4 s"; empty where nothing is known. */
function lastingText({ sinceSeconds, isBeginSeen }: BindingExplanation): string {
  if (isBeginSeen) return ` for ${sinceSeconds} s`;
  return sinceSeconds === 0 ? "" : ` for at least ${sinceSeconds} s`;
}

/** The load balancer's share is the bind and most of the check; the rest is ours, or the wait for other writes. */
function stagesText({ wait, bind, check, patch }: GateStages): string {
  const seconds = (of: number): string => `${of.toFixed(1)} s`;
  return `gate opened ${seconds(wait + bind + check + patch)} after its containers were ready: ${seconds(wait)} until the bind was called, ${seconds(bind)} the bind, ${seconds(check)} until it was known to serve, ${seconds(patch)} the patch`;
}

/** An exclusive ENI is inside of the Pod and has no name on its node. */
const interfaceText = ({ hostInterface }: PodExplanation): string =>
  hostInterface === "" ? "an interface of its own, which the node does not show" : `interface ${hostInterface ?? "unknown"}`;

/** Places of one owner that are told one by one; of more that stand alike the one that has stood so for longest. */
const MAX_PLACES = 3;

/** A Pod may be behind 50 rules and more: those of an owner that differ in nothing but name and time are told together. */
function alike(bindings: readonly BindingExplanation[]): { readonly one: BindingExplanation; readonly more: number }[] {
  const groups = Map.groupBy(bindings, (one) => JSON.stringify({ ...one, listener: "", sinceSeconds: 0, isBeginSeen: true }));
  return [...groups.values()].flatMap((all) => {
    if (all.length <= MAX_PLACES) return all.map((one) => ({ one, more: 0 }));
    const one = all.reduce((oldest, next) => (next.sinceSeconds > oldest.sinceSeconds ? next : oldest));
    return [{ one, more: all.length - 1 }];
  });
}

/** For people, e.g. on a terminal. */
export function podText(pod: PodExplanation): string {
  const lines = [
    `Pod ${pod.pod} on ${pod.node} (facts from: ${pod.factsFrom}), address ${pod.ip ?? "none"} on ${interfaceText(pod)}`,
    `  containers ready: ${pod.containersReady ? "yes" : "no"}, gate: ${pod.gate}${pod.terminating ? ", terminating" : ""}`,
  ];
  if (pod.stages !== undefined) lines.push(`  ${stagesText(pod.stages)}`);
  if (pod.drain !== undefined) lines.push(`  preStop hook: ${pod.drain}`);
  if (pod.held !== undefined) lines.push(`  held: ${pod.held}`);
  if (pod.instance !== undefined) lines.push(`  instance: ${pod.instance}`);
  if (pod.networkMode !== undefined) lines.push(`  network: ${pod.networkMode}`);
  if (pod.eni !== undefined) lines.push(`  ENI: ${pod.eni}`);
  if (pod.networkNote !== "") lines.push(`  not known: ${pod.networkNote}`);
  for (const verdict of pod.verdicts) lines.push(`  verdict: ${verdict}`);
  for (const { one, more } of alike(pod.bindings)) {
    const others = more === 0 ? "" : ` and ${more} more places alike`;
    lines.push(
      `  ${one.service} at ${one.loadBalancerId ?? "(no load balancer)"} ${one.listener}${others}: ${one.step}${lastingText(one)}`,
    );
    lines.push(`    awaited: ${one.awaited}${one.from === "nobody" ? "" : ` (from ${one.from})`}`);
    if (one.runningCall !== undefined) lines.push(`    running call: ${one.runningCall}`);
    if (one.nextCall !== undefined) lines.push(`    next call: ${one.nextCall}`);
  }
  if (pod.foreignGate !== undefined) lines.push(`  ${pod.foreignGate}`);
  else if (pod.bindings.length === 0) lines.push("  no Service with direct access selects it");
  return `${lines.join("\n")}\n`;
}

export function loadBalancerText(one: LoadBalancerExplanation): string {
  const lines = [
    `Load balancer ${one.loadBalancerId} (${one.addresses.join(", ") || "no address"}), read ${one.readSecondsAgo ?? "?"} s ago${one.staleBecause === undefined ? "" : `, in doubt: ${one.staleBecause}`}`,
    `  owners: ${one.owners.join(", ") || "none"}`,
  ];
  for (const listener of one.listeners) {
    lines.push(`  ${listener.port} ${listener.listenerId} ${listener.name}`);
    for (const redirect of listener.redirects) lines.push(`    ${redirect}`);
    for (const { rule, owner, target, weight, health, pod, unboundInSeconds: seconds } of listener.targets) {
      const drain = seconds === undefined ? "" : `, draining: unbound in ${seconds} s`;
      const at = rule === undefined ? "" : `${rule}${owner === undefined ? "" : ` of ${owner}`} `;
      lines.push(`    ${at}${target} weight ${weight} ${health} ${pod}${drain}`);
    }
  }
  lines.push(`  running call: ${one.runningCall ?? "none"}`);
  for (const call of one.plannedCalls) lines.push(`  planned: ${call}`);
  for (const finding of one.findings) lines.push(`  found: ${finding}`);
  for (const parked of one.parked) lines.push(`  parked: ${parked}`);
  return `${lines.join("\n")}\n`;
}
