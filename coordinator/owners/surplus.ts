import { CLUSTER_TAG, OWNER_TAG, ownListeners } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isGone, isLocked, isThrottled } from "../cloud/clb-error.ts";
import { keysOfObject, kindOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import type { Listener } from "../domain/load-balancer.ts";
import { type ObjectRef, type Problem, tkeCode } from "../domain/problem.ts";
import { keepsAll, type Policy } from "../domain/safety/policy.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";
import { UNSENT } from "../workqueue/unsent.ts";
import type { Outcome } from "../workqueue/worker.ts";
import type { SourceDeps } from "./load-balancer-source.ts";

type ClearedDeps = Pick<SourceDeps, "clusterId" | "tell"> & {
  readonly mirror: Pick<Mirror, "read" | "isGone" | "staleBecause">;
  readonly ownerRecords: Pick<OwnerRecords, "isMadeFor">;
};

export type SurplusDeps = Pick<SourceDeps, "clusterId" | "orders" | "tell" | "log"> & {
  readonly api: Pick<ClbApi, "loadBalancer" | "ownLoadBalancers" | "listeners" | "deleteLoadBalancer">;
  readonly intents: Pick<Intents, "of">;
  /** Default: what was made for an owner goes with it. */
  readonly policy?: Policy;
};

/**
 * Whatever else has our tags for an owner that goes: load balancers that were ordered and shown too late. Tags can be copied, so only what
 * we remember to have made, or what has listeners of ours, is deleted, and nothing with a listener of others or another owner; the rest is
 * told, as is what the cloud refuses to delete. `had`: the one that it had. Undefined: nothing is left to wait for.
 */
export async function deleteSurplus(
  deps: SurplusDeps,
  object: OwnerObject,
  had: string | undefined,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const { api, clusterId, orders } = deps;
  const awaited = orders.awaited(object.uid);
  const tagged = (await api.ownLoadBalancers(clusterId, signal)).filter(({ tags }) => tags[OWNER_TAG] === object.uid);
  const isMissing =
    awaited !== undefined && awaited.loadBalancerId !== had && !tagged.some((one) => one.loadBalancerId === awaited.loadBalancerId);
  const late = isMissing ? await api.loadBalancer(awaited.loadBalancerId, signal) : undefined;
  if (isMissing && late === undefined) return { kind: "again", afterMs: awaited.lookMs, because: "its load balancer is not shown yet" };
  for (const { loadBalancerId } of late === undefined ? tagged : [...tagged, late])
    if (loadBalancerId !== had) await deleteOne(deps, object, loadBalancerId, loadBalancerId === awaited?.loadBalancerId, signal);
  return undefined;
}

async function deleteOne(deps: SurplusDeps, object: OwnerObject, id: string, isOnRecord: boolean, signal: AbortSignal): Promise<void> {
  const at = objectName(object);
  const listeners = await deps.api.listeners(id, () => false, signal).catch(unlessGone);
  if (listeners === undefined) return;
  const kept = whyKept(deps, object, id, listeners, isOnRecord) ?? (await deps.api.deleteLoadBalancer(id, signal).catch(whyRefused));
  if (kept === undefined) return deps.log.info({ loadBalancerId: id, owner: at }, "surplus load balancer deleted");
  const message = `${at} goes, and load balancer ${id} with its tags is kept: ${kept}. Delete it by hand if nobody needs it, or take the tags off`;
  deps.tell({ object: objectRef(object), type: "Warning", reason: "LoadBalancerKept", message });
}

function whyKept(
  { clusterId, intents, policy }: SurplusDeps,
  { uid }: OwnerObject,
  loadBalancerId: string,
  listeners: readonly Listener[],
  isOnRecord: boolean,
): string | undefined {
  const other = intents.of(loadBalancerId).find(({ ref }) => ref.uid !== uid);
  if (other !== undefined) return `${other.ref.kind} ${other.ref.namespace}/${other.ref.name} uses it`;
  const isOwn = ownListeners(clusterId, uid);
  const foreign = listeners.filter((one) => !isOwn(one));
  if (foreign.length > 0) return `it has listeners that we did not create (${foreign.map(({ name }) => name).join(", ")})`;
  if (listeners.length === 0 && !isOnRecord) return "nothing but its tags, which can be copied, says that we created it";
  return policy !== undefined && keepsAll(policy) ? `POLICY of the coordinator is ${policy}` : undefined;
}

/** What the cloud refuses today it may refuse for ever, e.g. for a protection against deletion: its owner does not wait for that. */
function whyRefused(err: unknown): string | undefined {
  if (!(err instanceof ClbApiError) || err.call.code === UNSENT || isThrottled(err.call.code) || isLocked(err.call.code)) throw err;
  if (isGone(err.call.code)) return undefined;
  if (err.ambiguous) throw err;
  return `the cloud refuses to delete it: ${err.call.code}: ${err.words}`;
}

function unlessGone(err: unknown): undefined {
  if (err instanceof ClbApiError && isGone(err.call.code)) return undefined;
  throw err;
}

/** Nothing of ours is left there: the load balancer is gone, or a current mirror shows no listener of this owner. */
export function isCleared(deps: ClearedDeps, owner: ObjectRef, loadBalancerId: string, retain: boolean): boolean {
  const actual = deps.mirror.read(loadBalancerId);
  if (actual === undefined) return deps.mirror.isGone(loadBalancerId);
  if (deps.mirror.staleBecause(loadBalancerId) !== undefined) return false;
  if (actual.listeners.some(ownListeners(deps.clusterId, owner.uid))) return false;
  const created = actual.tags[CLUSTER_TAG] === deps.clusterId && deps.ownerRecords.isMadeFor(actual, owner.uid);
  const tell = (type: Problem["type"], because: string, code?: string): void => {
    const message = `Load balancer ${loadBalancerId} is kept although ${owner.kind} ${owner.namespace}/${owner.name} goes: ${because}`;
    const text = code === undefined ? message : tkeCode(code, message, kindOfObject(owner));
    deps.tell({ object: owner, type, reason: "LoadBalancerKept", message: text });
  };
  if (!created) tell("Normal", "it was not created for it. Only the listeners that were made for it are gone", "W1001");
  else if (retain)
    tell(
      "Normal",
      `annotation ${keysOfObject(owner).retain} says so. Another ${owner.kind} takes it up by ${keysOfObject(owner).existing}`,
    );
  else if (actual.settings?.deleteProtect === true)
    tell("Warning", "it is protected against deletion: take that off and delete it by hand if nobody needs it");
  else if (actual.listeners.length > 0) tell("Warning", "it has listeners that we did not create", "W1002");
  else return false; // it is about to be deleted
  return true;
}
