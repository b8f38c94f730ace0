import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { IN_STEP, listenerName, MANAGED_ANNOTATION } from "../../common/names.ts";
import { apiDenied } from "../domain/api-denied.ts";
import { findPlace } from "../domain/intent/asked-places.ts";
import { type AutoConfig, planAutoConfig } from "../domain/intent/auto-config.ts";
import { isAutoConfigName } from "../domain/intent/auto-config-name.ts";
import type { StandingOf } from "../domain/intent/auto-config-sections.ts";
import type { OwnerIntent } from "../domain/intent/owner-intent.ts";
import { kindOfObject, objectName } from "../domain/intent/owner-object.ts";
import type { LoadBalancer } from "../domain/load-balancer.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import type { ConfigRecord } from "../state/config-objects.ts";
import type { Intents } from "../state/intents.ts";
import { PutBacks } from "../state/put-backs.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";

export type ConfigsDeps = {
  readonly client: Pick<KubeClient, "create" | "patch">;
  readonly clock: Clock;
  readonly clusterId: string;
  readonly intents: Pick<Intents, "get" | "isCheckOff">;
  readonly mirror: { read(loadBalancerId: string): LoadBalancer | undefined };
  readonly config: (namespace: string, name: string) => ConfigRecord | undefined;
  readonly tell: (problem: Problem) => void;
};

const API_VERSION = "cloud.tencent.com/v1alpha1";
const VERSIONS = { Service: "v1", Ingress: "networking.k8s.io/v1" } as const;
/** What was refused is tried again so often. Milliseconds. */
const REFUSED_MS = 30_000;
const AGAIN = "It is tried again every 30 s";
/** After a write that somebody else forestalled, should no change tell of that. Milliseconds. */
const FORESTALLED_MS = 1_000;
/** A creation that nobody has seen for so long has come to nothing. Milliseconds. */
const UNSEEN_MS = 30_000;
const DONE: Outcome = { kind: "done" };

type Served = Extract<OwnerIntent, { state: "served" }>;

/**
 * One pass over the TkeServiceConfig that is made for one owner: it has a section for each listener and rule, and none for former ones. What
 * a person wrote in it stays; one that is not ours is read and never written.
 */
export function makeConfigReconciler(deps: ConfigsDeps): Reconcile {
  const putBacks = new PutBacks(deps.clock);
  /** The last version of each owner's that was seen: what comes back after a deletion is another story than what is still to be seen. */
  const seen = new Map<string, string>();
  /** What was refused, and until when it is not tried again, milliseconds. */
  const refusals = new Map<string, { readonly what: string; readonly untilMs: number }>();
  return async (uid, signal) => {
    const owner = deps.intents.get(uid);
    const name = owner?.state === "served" ? owner.intent.configName : undefined;
    if (owner?.state !== "served" || name === undefined || !isAutoConfigName(name)) {
      putBacks.forget(uid);
      seen.delete(uid);
      refusals.delete(uid);
      return DONE;
    }
    const actual = deps.mirror.read(owner.loadBalancerId);
    if (actual === undefined) return DONE; // what it has is to be taken over: its reading wakes this pass
    const config = deps.config(owner.ref.namespace, name);
    if (config !== undefined) seen.set(uid, config.resourceVersion);
    if (config?.auto?.isDeleting === true) return DONE;
    if (config?.auto?.isOurs === false) {
      const message = `TkeServiceConfig ${config.namespace}/${name} exists and was not made for it, or its mark was taken off: it is read, and listeners and rules are not kept in step in it. Give it annotation ${MANAGED_ANNOTATION}: "true" to hand it over, or delete it to have a new one made`;
      tell(deps, owner, message);
      return DONE;
    }
    const { ports, unserved } = owner.intent;
    const plan = planAutoConfig({ ports, unserved, present: config?.auto, standingOf: standingAt(deps, owner, actual) });
    const owners = config?.auto && wantedOwners(owner.ref, config.auto.owners);
    if (plan === undefined && owners === undefined) return DONE;
    const inStep = plan?.inStep ?? config?.auto?.inStep ?? [];
    const version = config?.resourceVersion ?? `none after ${seen.get(uid) ?? "none"}, ${Math.floor(deps.clock.now() / UNSEEN_MS)}`;
    const value = inStep.join(", ");
    const refusal = refusals.get(uid);
    const heldMs = refusal?.what === value ? refusal.untilMs - deps.clock.now() : 0;
    if (heldMs > 0) return { kind: "again", afterMs: heldMs, because: "the API server has refused it" };
    const restMs = putBacks.restMs(uid, value, version);
    if (restMs === "unseen") return config === undefined ? { kind: "again", afterMs: UNSEEN_MS, because: "it is not shown yet" } : DONE;
    if (restMs > 0) return { kind: "again", afterMs: restMs, because: "somebody else changes it as well" };
    if (putBacks.isToBeTold(uid, value))
      tell(
        deps,
        owner,
        `somebody deletes TkeServiceConfig ${owner.ref.namespace}/${name}, or takes out of it what it is kept in step with, again and again. Stop who does that, or set the annotation to "false". It is put back once in 30 s`,
      );
    const refused = await write(deps, owner, { name, config, plan, inStep, owners: owners ?? [] }, signal);
    if (refused?.kind === "again") refusals.set(uid, { what: value, untilMs: deps.clock.now() + refused.afterMs });
    if (refused !== undefined) return refused;
    refusals.delete(uid);
    putBacks.wrote(uid, value, version);
    return DONE;
  };
}

/** What the load balancer has where the owner asks for it. */
const standingAt =
  ({ clusterId, intents }: Pick<ConfigsDeps, "clusterId" | "intents">, owner: Served, actual: LoadBalancer): StandingOf =>
  ({ protocol, port }, rule) => {
    const asked = { listenerName: listenerName(clusterId, owner.ref.uid, protocol, port), protocol, port, ...(rule && { rule }) };
    const place = findPlace({ ...asked, standing: () => undefined }, actual);
    return typeof place === "string" ? undefined : { ...place, isCheckOff: !place.healthCheck.enabled && intents.isCheckOff(owner, asked) };
  };

type OwnerReference = { readonly kind: string; readonly name: string; readonly uid: string };

const referenceTo = (ref: ObjectRef): OwnerReference & { readonly apiVersion: string } => {
  const kind = kindOfObject(ref);
  return { apiVersion: VERSIONS[kind], kind, name: ref.name, uid: ref.uid };
};

/** The owners that it is to have: it goes with the one that it was made for, or with whoever has taken over from that one. Undefined: as they are. */
function wantedOwners(ref: ObjectRef, owners: readonly OwnerReference[]): readonly OwnerReference[] | undefined {
  const present = owners.some(({ uid }) => uid === ref.uid);
  const others = owners.filter(({ kind, name, uid }) => uid !== ref.uid && (kind !== ref.kind || name !== ref.name));
  return present && others.length === owners.length - 1 ? undefined : [...others, referenceTo(ref)];
}

type Write = {
  readonly name: string;
  readonly config: ConfigRecord | undefined;
  readonly plan: AutoConfig | undefined;
  readonly inStep: readonly string[];
  /** Empty: they stay. */
  readonly owners: readonly OwnerReference[];
};

/** Undefined: it was written. Of one that is there only the version that was read is written over: a person's edit is never lost. */
async function write(
  deps: ConfigsDeps,
  owner: Served,
  { name, config, plan, inStep, owners }: Write,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const { client } = deps;
  const path = kubePath`/apis/cloud.tencent.com/v1alpha1/namespaces/${owner.ref.namespace}/tkeserviceconfigs`;
  const annotations = { [MANAGED_ANNOTATION]: "true", [IN_STEP]: JSON.stringify(inStep) };
  const spec = { loadBalancer: plan?.loadBalancer ?? {} };
  try {
    if (config === undefined) {
      const metadata = { name, namespace: owner.ref.namespace, annotations, ownerReferences: [referenceTo(owner.ref)] };
      await client.create(path, { apiVersion: API_VERSION, kind: "TkeServiceConfig", metadata, spec }, { signal });
    } else {
      const { uid, resourceVersion } = config;
      const metadata = { uid, resourceVersion, annotations, ...(owners.length > 0 && { ownerReferences: owners }) };
      const isChanged = plan !== undefined && Object.keys(plan.loadBalancer).length > 0;
      await client.patch(`${path}${kubePath`/${name}`}`, { metadata, ...(isChanged && { spec }) }, "merge", { signal });
    }
    return undefined;
  } catch (err) {
    if (!(err instanceof KubeApiError)) throw err;
    return refusedBy(deps, owner, { name, config, err });
  }
}

/** What becomes of a write that the API server refuses. Throws what passes by itself. */
function refusedBy(
  deps: ConfigsDeps,
  owner: Served,
  { name, config, err }: Pick<Write, "name" | "config"> & { readonly err: KubeApiError },
): Outcome {
  if (err.causes.some(({ reason }) => reason === "NamespaceTerminating")) return DONE;
  // Of one that was there: deleted meanwhile.
  if (err.failure === "conflict" || (err.failure === "notFound" && config !== undefined))
    return { kind: "again", afterMs: FORESTALLED_MS, because: "somebody else was first" };
  if (err.failure === "denied") {
    const denied = { verb: config === undefined ? "create" : "patch", resource: "tkeserviceconfigs", words: err.message };
    deps.tell({ object: owner.ref, type: "Warning", ...apiDenied(objectName(owner.ref), denied) });
  } else if (err.failure === "notFound") {
    const fix = "apply deploy/chart/crds/tkeserviceconfigs.yaml";
    tell(deps, owner, `TkeServiceConfig ${name} cannot be made, because this cluster does not have that kind: ${fix}. ${AGAIN}`);
  } else if (err.failure === "invalid" || err.failure === "badRequest") {
    tell(deps, owner, `the API server refuses TkeServiceConfig ${name}: ${err.message}. ${AGAIN}`);
  } else throw err;
  return { kind: "again", afterMs: REFUSED_MS, because: `TkeServiceConfig refused: ${err.failure}` };
}

const tell = ({ tell: pass }: ConfigsDeps, { ref }: Served, words: string): void => {
  pass({ object: ref, type: "Warning", reason: "ServiceConfigNotKept", message: `${objectName(ref)}: ${words}` });
};
