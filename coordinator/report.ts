import type { Logger } from "../common/log.ts";
import { isOwnListener, SERVICE_CONFIG } from "../common/names.ts";
import { standingProblems } from "./domain/backends.ts";
import type { DesiredLoadBalancer } from "./domain/desired.ts";
import type { Drift } from "./domain/drift.ts";
import type { Finding, Plan } from "./domain/plan-load-balancer.ts";
import { type ObjectRef, type Problem, tkeCode } from "./domain/problem.ts";
import { describeFinding } from "./explain.ts";
import type { Ledger } from "./ledger.ts";
import type { ConfigRecord } from "./objects.ts";

export type ReportDeps = {
  readonly ledger: Ledger;
  readonly clusterId: string;
  readonly config: (namespace: string, name: string) => ConfigRecord | undefined;
  /** Services that were ours and are not any more, also deleted ones; to address what is left of them. */
  readonly formerOwners: () => Iterable<ObjectRef>;
  readonly tell: (problem: Problem) => void;
  readonly log: Logger;
};

/** Turns what a pass found but does not touch into Events; the sink tells each once. */
export function makeReport(deps: ReportDeps): (desired: DesiredLoadBalancer, plan: Plan) => void {
  const logged = new Set<string>();
  return (desired, plan) => {
    for (const listener of desired.listeners)
      for (const problem of standingProblems(listener.owner, listener.standings)) deps.tell(problem);
    for (const { ref } of desired.owners) for (const problem of configProblems(deps, ref)) deps.tell(problem);
    for (const { owner, holder, protocol, port } of desired.conflicts) {
      const message = `Service ${owner.namespace}/${owner.name}: listener ${protocol}:${port} of ${desired.loadBalancerId} belongs to Service ${holder.namespace}/${holder.name}: use another port or another load balancer`;
      deps.tell({ object: owner, type: "Warning", reason: "ListenerConflict", message });
    }
    for (const finding of plan.findings) {
      const told = findingProblem(deps, desired, finding);
      if (told !== undefined) deps.tell(told);
      const text = `${desired.loadBalancerId}: ${describeFinding(finding)}`;
      if (finding.kind === "waiting" || logged.has(text)) continue;
      logged.add(text);
      deps.log.warn({ loadBalancerId: desired.loadBalancerId, finding: finding.kind }, text);
    }
  };
}

/** An Event and a line in the log for each listener of ours that somebody else changed; the next writes put it back. */
export function tellDrift(
  { ledger, tell, log, clusterId }: Pick<ReportDeps, "ledger" | "tell" | "log" | "clusterId">,
  loadBalancerId: string,
  drifts: readonly Drift[],
): void {
  for (const { listener, what } of drifts) {
    const { listenerId } = listener;
    log.warn({ loadBalancerId, listenerId, what }, "listener changed by somebody else");
    const owner = ledger.of(loadBalancerId).find(({ ref }) => isOwnListener(listener.name, clusterId, ref.uid))?.ref;
    if (owner === undefined) continue;
    const message = `Service ${owner.namespace}/${owner.name}, load balancer ${loadBalancerId}: somebody else changed listener ${listenerId}: ${what}. What the Service asks for is put back: change the Service, not the listener.`;
    tell({ object: owner, type: "Warning", reason: "ListenerDrift", message });
  }
}

function configProblems(deps: ReportDeps, service: ObjectRef): Problem[] {
  const name = deps.ledger.get(service.uid)?.intent?.configName;
  if (name === undefined) return [];
  const config = deps.config(service.namespace, name);
  const warn = (reason: string, message: string): Problem => ({ object: service, type: "Warning", reason, message });
  if (config !== undefined) return config.faults.map((fault) => warn("InvalidServiceConfig", fault));
  const at = `Service ${service.namespace}/${service.name}`;
  const message = tkeCode(
    "E4043",
    `${at}: annotation ${SERVICE_CONFIG} names TkeServiceConfig "${name}", which does not exist in namespace ${service.namespace}: create it or correct the name`,
  );
  return [warn("ServiceConfigMissing", message)];
}

function findingProblem(deps: ReportDeps, desired: DesiredLoadBalancer, finding: Finding): Problem | undefined {
  const warn = (object: ObjectRef, reason: string, fix: string): Problem => {
    const message = `Service ${object.namespace}/${object.name}, load balancer ${desired.loadBalancerId}: ${describeFinding(finding)}. ${fix}`;
    return { object, type: "Warning", reason, message };
  };
  const ownerOf = (name: string): ObjectRef | undefined =>
    [...desired.owners.map(({ ref }) => ref), ...deps.formerOwners()].find(({ uid }) => isOwnListener(name, deps.clusterId, uid));
  switch (finding.kind) {
    case "port-taken":
      return warn(finding.wanted.owner, "ListenerPortTaken", "Remove that listener or use another port.");
    case "orphaned": {
      const owner = ownerOf(finding.listener.name);
      return (
        owner &&
        warn(owner, "OrphanedListener", "The Service vanished without a deletion: create it again, or delete the listener by hand.")
      );
    }
    case "foreign-target": {
      const owner = ownerOf(finding.listener.name);
      return owner && warn(owner, "ForeignBackend", "Remove it by hand if nobody needs it.");
    }
    case "quota":
      return warn(finding.owner, "QuotaExceeded", "Ask for a higher quota, or spread over more load balancers.");
    case "waiting":
      return undefined;
    default:
      return finding satisfies never;
  }
}
