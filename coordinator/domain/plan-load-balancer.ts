import { isOwnListener, ownerMarkOf } from "../../common/names.ts";
import type { DesiredLoadBalancer, WantedListener } from "./desired.ts";
import {
  CALL_LIMITS,
  type Call,
  type HealthCheck,
  type Listener,
  type LoadBalancer,
  type NewListeners,
  samePort,
  type Target,
  type WeightedSlot,
} from "./load-balancer.ts";
import { type Holder, planTargets, type TargetChanges } from "./plan-targets.ts";

export type PlanInput = {
  readonly clusterId: string;
  readonly desired: DesiredLoadBalancer;
  readonly actual: LoadBalancer;
  readonly holderOf: (ip: string) => Holder;
  readonly serving: (listener: Listener, target: Target) => boolean;
  readonly drained: (listener: Listener, target: Target) => boolean;
};

/** What the plan does not touch but a person should know. */
export type Finding =
  | { readonly kind: "port-taken"; readonly wanted: WantedListener; readonly by: Listener }
  | { readonly kind: "orphaned"; readonly listener: Listener }
  | { readonly kind: "foreign-target"; readonly listener: Listener; readonly target: Target }
  | { readonly kind: "waiting"; readonly listener: Listener; readonly target: Target };

export type Plan = { readonly calls: readonly Call[]; readonly findings: readonly Finding[] };

/** Calls for one load balancer, most urgent lane first, each filled to its limit. The caller makes the first one and plans again. */
export function planLoadBalancer(input: PlanInput): Plan {
  const { desired, actual } = input;
  const findings: Finding[] = [];
  const doomed: string[] = [];
  const changes: TargetChanges[] = [];
  const wantedByName = new Map(desired.listeners.map((listener) => [listener.name, listener]));

  for (const listener of actual.listeners) {
    const verdict = judge(listener, wantedByName, input);
    if (verdict === "foreign") continue;
    if (verdict === "doomed") doomed.push(listener.listenerId);
    else if (verdict === "orphaned") findings.push({ kind: "orphaned", listener });
    else changes.push(targetChanges(listener, wantedByName.get(listener.name), input, findings));
  }

  const { create, modify } = structure(desired.listeners, actual.listeners, input.clusterId, findings);
  const all = <K extends keyof TargetChanges>(lane: K): TargetChanges[K][number][] => changes.flatMap((change) => [...change[lane]]);
  const calls: Call[] = [
    ...chunks(all("conflict"), CALL_LIMITS.targets).map((slots): Call => ({ lane: "conflict", slots })),
    ...weightChunks(all("drain")).map((weights): Call => ({ lane: "drain", weights })),
    ...create.map((listeners): Call => ({ lane: "structure", create: listeners })),
    ...chunks(all("bind"), CALL_LIMITS.targets).map((targets): Call => ({ lane: "bind", targets })),
    ...chunks(all("unbind"), CALL_LIMITS.targets).map((slots): Call => ({ lane: "unbind", slots })),
    ...weightChunks(all("tune")).map((weights): Call => ({ lane: "tune", weights })),
    ...modify.map(({ listenerId, healthCheck }): Call => ({ lane: "tune", listenerId, healthCheck })),
    ...chunks(doomed, CALL_LIMITS.deletedListeners).map((listenerIds): Call => ({ lane: "delete", listenerIds })),
  ];
  return { calls, findings };
}

/** A listener of ours goes only when its owner is known: deleted, or alive and no longer asking for this port. */
function judge(
  listener: Listener,
  wanted: ReadonlyMap<string, WantedListener>,
  input: PlanInput,
): "foreign" | "doomed" | "orphaned" | "kept" {
  if (ownerMarkOf(listener.name, input.clusterId) === undefined) return "foreign";
  const owner = input.desired.owners.find(({ ref }) => isOwnListener(listener.name, input.clusterId, ref.uid));
  if (owner === undefined) return "orphaned";
  if (owner.state === "released") return "doomed";
  return owner.state === "held" || wanted.has(listener.name) ? "kept" : "doomed";
}

function targetChanges(listener: Listener, wanted: WantedListener | undefined, input: PlanInput, findings: Finding[]): TargetChanges {
  const change = planTargets({
    listener,
    wanted: wanted?.backends,
    holderOf: input.holderOf,
    serving: (target) => input.serving(listener, target),
    drained: (target) => input.drained(listener, target),
  });
  for (const target of change.foreign) findings.push({ kind: "foreign-target", listener, target });
  for (const target of change.waiting) findings.push({ kind: "waiting", listener, target });
  return change;
}

function structure(wanted: readonly WantedListener[], actual: readonly Listener[], clusterId: string, findings: Finding[]) {
  const byName = new Map(actual.map((listener) => [listener.name, listener]));
  const groups = new Map<string, WantedListener[]>();
  const modify: { listenerId: string; healthCheck: HealthCheck }[] = [];
  for (const listener of wanted) {
    const present = byName.get(listener.name);
    if (present !== undefined) {
      const healthCheck = { ...present.healthCheck, ...listener.healthCheck };
      if (!sameCheck(healthCheck, present.healthCheck)) modify.push({ listenerId: present.listenerId, healthCheck });
      continue;
    }
    const blocker = actual.find(
      ({ port, protocol, name }) => port === listener.port && samePort(protocol, listener.protocol) && name !== listener.name,
    );
    if (blocker !== undefined) {
      // Our own listener in the way (an owner that is being released) goes first in the delete lane; another's never does.
      if (ownerMarkOf(blocker.name, clusterId) === undefined) findings.push({ kind: "port-taken", wanted: listener, by: blocker });
      continue;
    }
    const { enabled, intervalSeconds, timeoutSeconds, healthyCount, unhealthyCount } = listener.healthCheck;
    const key = JSON.stringify([listener.protocol, enabled, intervalSeconds, timeoutSeconds, healthyCount, unhealthyCount]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [listener]);
    else group.push(listener);
  }
  const create = [...groups.values()].flatMap((group) =>
    chunks(group, CALL_LIMITS.ports).map(
      (part): NewListeners => ({
        protocol: part[0]?.protocol ?? "TCP",
        healthCheck: part[0]?.healthCheck ?? {},
        listeners: part.map(({ name, port }) => ({ name, port })),
      }),
    ),
  );
  return { create, modify };
}

const sameCheck = (a: HealthCheck, b: HealthCheck): boolean =>
  a.enabled === b.enabled &&
  (!a.enabled ||
    (a.intervalSeconds === b.intervalSeconds &&
      a.timeoutSeconds === b.timeoutSeconds &&
      a.healthyCount === b.healthyCount &&
      a.unhealthyCount === b.unhealthyCount));

export function chunks<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = [];
  for (let start = 0; start < items.length; start += size) result.push(items.slice(start, start + size));
  return result;
}

/** A weight call takes at most 500 targets in at most 100 entries of at most 50 targets of one listener and weight. */
function weightChunks(items: readonly WeightedSlot[]): WeightedSlot[][] {
  const entries = weightEntries(items);
  const result: WeightedSlot[][] = [];
  let call: WeightedSlot[] = [];
  let count = 0;
  for (const entry of entries) {
    if (count === CALL_LIMITS.weightEntries || call.length + entry.length > CALL_LIMITS.targets) {
      result.push(call);
      call = [];
      count = 0;
    }
    call = [...call, ...entry];
    count += 1;
  }
  if (call.length > 0) result.push(call);
  return result;
}

/** Groups of at most 50 targets that share listener and weight. */
export function weightEntries(items: readonly WeightedSlot[]): WeightedSlot[][] {
  const groups = new Map<string, WeightedSlot[]>();
  for (const item of items) {
    const key = `${item.listenerId} ${item.weight}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()].flatMap((group) => chunks(group, CALL_LIMITS.weightsPerEntry));
}
