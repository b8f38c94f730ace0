import type { Clock } from "../../../common/clock.ts";
import type { DataPlane } from "../data-plane/data-plane.ts";
import type { Journal } from "../journal/journal.ts";
import {
  type Account,
  type ListenerRecord,
  type LoadBalancerRecord,
  type Place,
  placesOf,
  type RuleRecord,
  ruleCount,
  type TargetRecord,
  targetKey,
} from "../model/account.ts";
import { CloudError } from "../model/errors.ts";
import type { Network } from "../model/network.ts";
import type { Vips } from "../model/vips.ts";
import type { Keyring } from "../services/sts/keyring.ts";
import type { Health } from "./health.ts";
import type { Settings } from "./options.ts";
import type { Random } from "./random.ts";
import type { Tasks } from "./tasks.ts";

/** The parts of a cloud, as actions use them. */
export type Core = {
  readonly account: Account;
  readonly network: Network;
  readonly keyring: Keyring;
  readonly tasks: Tasks;
  readonly health: Health;
  readonly dataPlane: DataPlane;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: Settings;
  readonly vips: Vips;
  /** What CreateLoadBalancer answered to a ClientToken. */
  readonly clientTokens: Map<string, { readonly taskId: string; readonly loadBalancerIds: readonly string[] }>;
};

/** Who calls: `name` is the account in journal and rate limit. */
export type Caller = { readonly name: string; readonly region: string };

/** One call on its way through an action. */
export type CallContext = {
  readonly core: Core;
  readonly action: string;
  readonly requestId: string;
  readonly caller: Caller;
  readonly faults: WriteFaults;
};

/** What injected faults do to a write. */
export type WriteFaults = {
  /** Its task fails with this message. */
  readonly failure: string | undefined;
  /** Called when its task would end; it does not before this resolves. */
  readonly stuck: (() => Promise<void>) | undefined;
  /** For a target of a (de)registration: the reason why it is refused, or what is done in place of what was asked for. */
  readonly onTarget: (ip: string) => string | (() => void) | undefined;
};

/** A write on some load balancers that were found free; `targets` is how many the call names. */
export type Write = {
  readonly loadBalancers: readonly LoadBalancerRecord[];
  readonly targets?: number;
  readonly apply: () => void | Promise<void>;
};

/** Starts the task of an asynchronous write and returns at once. */
export function startTask(call: CallContext, write: Write): void {
  void call.core.tasks.start(workOf(call, write));
}

/** The batch calls for targets: wait for their task and stay busy a little longer (or not, by the profile). Throws FailedOperation. */
export async function runBatch(call: CallContext, write: Write): Promise<void> {
  const { mode, busyAfterReturnMs } = call.core.settings.profile.batchTargets;
  const running = call.core.tasks.start({ ...workOf(call, write), busyAfterMs: busyAfterReturnMs });
  if (mode === "async") return;
  const task = await running;
  if (task.status === 1) throw new CloudError("FailedOperation", task.message);
}

/** A write that is over when its call returns and takes no time of its own. Throws FailedOperation. */
export async function runAtOnce(call: CallContext, write: Write): Promise<void> {
  const task = await call.core.tasks.start({ ...workOf(call, write), durationMs: 0 });
  if (task.status === 1) throw new CloudError("FailedOperation", task.message);
}

function workOf(call: CallContext, write: Write) {
  const { base, perRuleOnLb, perTarget } = call.core.settings.profile.taskMs;
  const rules = write.loadBalancers.reduce((sum, loadBalancer) => sum + ruleCount(loadBalancer), 0);
  return {
    requestId: call.requestId,
    action: call.action,
    locks: write.loadBalancers,
    loadBalancerIds: write.loadBalancers.map(({ id }) => id),
    durationMs: base + perRuleOnLb * rules + perTarget * (write.targets ?? 0),
    failure: call.faults.failure,
    stuck: call.faults.stuck,
    apply: write.apply,
  };
}

/** A load balancer appears. */
export function addLoadBalancer(core: Core, loadBalancer: LoadBalancerRecord): void {
  core.account.loadBalancers.set(loadBalancer.id, loadBalancer);
  noteLoadBalancer(core, loadBalancer, "created");
}

/** A load balancer goes, with its listeners and its address. */
export async function removeLoadBalancer(core: Core, loadBalancer: LoadBalancerRecord): Promise<void> {
  await Promise.all([...loadBalancer.listeners.values()].map((listener) => removeListener(core, loadBalancer, listener)));
  core.account.loadBalancers.delete(loadBalancer.id);
  core.vips.release(loadBalancer.vip);
  noteLoadBalancer(core, loadBalancer, "deleted");
}

export function noteLoadBalancer(core: Core, { id, vip }: LoadBalancerRecord, change: "created" | "modified" | "deleted"): void {
  core.journal.add({ kind: "load-balancer", change, loadBalancerId: id, vip });
}

/** Listeners appear and their ports open, all or none. Rejects if a port cannot be listened on: the task fails and says why. */
export async function addListeners(core: Core, loadBalancer: LoadBalancerRecord, listeners: readonly ListenerRecord[]): Promise<void> {
  try {
    if (core.settings.dataPlane) for (const listener of listeners) await core.dataPlane.open(listener, loadBalancer.vip);
  } catch (error) {
    await Promise.all(listeners.map((listener) => core.dataPlane.close(listener)));
    throw error;
  }
  for (const listener of listeners) {
    loadBalancer.listeners.set(listener.listenerId, listener);
    noteListener(core, listener, "created");
  }
}

export async function removeListener(core: Core, loadBalancer: LoadBalancerRecord, listener: ListenerRecord): Promise<void> {
  for (const place of placesOf(listener)) unbindAll(core, place);
  loadBalancer.listeners.delete(listener.listenerId);
  await core.dataPlane.close(listener);
  noteListener(core, listener, "deleted");
}

export function noteListener(core: Core, listener: ListenerRecord, change: "created" | "modified" | "deleted"): void {
  const { loadBalancerId, listenerId, name, protocol, port } = listener;
  core.journal.add({ kind: "listener", change, loadBalancerId, listenerId, name, protocol, port });
}

/** Rules appear. The first domain of a listener becomes its default. */
export function addRules(core: Core, listener: ListenerRecord, rules: readonly RuleRecord[]): void {
  for (const rule of rules) {
    listener.rules.set(rule.locationId, rule);
    listener.defaultDomain ??= rule.domains[0];
    noteRule(core, rule, "created");
  }
}

/** A rule goes, with its targets. Who is the default domain after it is for the caller to say. */
export function removeRule(core: Core, listener: ListenerRecord, rule: RuleRecord): void {
  unbindAll(core, rule);
  listener.rules.delete(rule.locationId);
  noteRule(core, rule, "deleted");
}

export function noteRule(core: Core, rule: RuleRecord, change: "created" | "modified" | "deleted"): void {
  const { loadBalancerId, listenerId, locationId, domains, url } = rule;
  core.journal.add({ kind: "rule", change, loadBalancerId, listenerId, locationId, domains, url });
}

/** What a target is bound with. */
export type NewTarget = Pick<TargetRecord, "ip" | "port" | "weight" | "tag" | "owner">;

/** Binds, or leaves alone what is bound already (its weight by `reregisterUpdatesWeight`). */
export function bind(core: Core, place: Place, { ip, port, weight, tag, owner }: NewTarget): void {
  const bound = place.targets.get(targetKey(ip, port));
  if (bound !== undefined) {
    if (core.settings.reregisterUpdatesWeight) setWeight(core, place, bound, weight);
    return;
  }
  const target: TargetRecord = {
    ip,
    port,
    weight,
    tag,
    owner,
    registeredMs: core.clock.now(),
    health: "Unknown",
    streak: { ok: false, count: 0 },
    probing: undefined,
    pinned: undefined,
    credit: 0,
  };
  place.targets.set(targetKey(ip, port), target);
  noteTarget(core, place, target, "bound");
  core.health.watch(place, target);
}

/** Unbinds; the target's connections end. */
export function unbind(core: Core, place: Place, target: TargetRecord): void {
  if (!place.targets.delete(targetKey(target.ip, target.port))) return;
  core.health.forget(place, target);
  core.dataPlane.cut(place, target);
  noteTarget(core, place, target, "unbound");
}

function unbindAll(core: Core, place: Place): void {
  for (const target of place.targets.values()) unbind(core, place, target);
}

export function setWeight(core: Core, place: Place, target: TargetRecord, weight: number): void {
  if (target.weight === weight) return;
  target.weight = weight;
  noteTarget(core, place, target, "weight");
}

function noteTarget(core: Core, place: Place, target: TargetRecord, change: "bound" | "unbound" | "weight"): void {
  const { loadBalancerId, listenerId, locationId } = place;
  const { ip, port, weight } = target;
  core.journal.add({ kind: "target", change, loadBalancerId, listenerId, locationId, ip, port, weight });
}
