import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { OWNER_TAG } from "../../common/names.ts";
import type { CloudTransport } from "../cloud/transport.ts";
import { type Controllers, type ControllersSettings, makeControllers } from "../controllers.ts";
import { objectName } from "../domain/intent/owner-object.ts";
import type { Problem } from "../domain/problem.ts";
import type { Planned, Progress } from "../explain/progress.ts";
import { makeMetrics, NO_GAUGES } from "../metrics.ts";
import { ServedSelectors } from "../nodes/asked-pods.ts";
import { makeNodeRegistry, nodeChanged } from "../nodes/node-registry.ts";
import { podReaderOf } from "../nodes/pod-reader.ts";
import { makePacedWatch } from "../nodes/pod-watch.ts";
import { readClusterId } from "../state/cluster-id.ts";
import { makeWatchedObjects } from "../state/watched-objects.ts";
import type { Failure } from "../workqueue/failed-passes.ts";
import { dryClient, dryTransport } from "./dry-clients.ts";

export type OnceDeps = {
  readonly client: KubeClient;
  readonly transport: CloudTransport;
  readonly clock: Clock;
  readonly log: Logger;
  /** Without a `clusterId` the cluster is asked for it. */
  readonly settings: Omit<ControllersSettings, "clusterId"> & { readonly clusterId: string | undefined };
};

/** How long reading everything may take, and how often to ask whether it is done. */
const LIMIT_MS = 60_000;
const ASK_MS = 50;
/** What fails for so long does not pass by itself: longer than a throttled call or a lost answer takes to be tried again, several times. */
const FAILED_MS = 5_000;
/** Failures named in the message. */
const MAX_NAMED = 3;

/** A dry run that did not read everything; the message names what could not be read and why. */
export class UnreadError extends Error {
  override readonly name = "UnreadError";
}

/**
 * Reads everything once and says what would be done, and what a person has to mend; writes nothing anywhere and needs no Lease. Pods are
 * listed from the API server, because agents speak to the coordinators that run. Throws an UnreadError that names what could not be read.
 */
export async function planOnce({ settings, ...deps }: OnceDeps): Promise<readonly Planned[]> {
  const { clock, client } = deps;
  const [stop, over] = [new AbortController(), new AbortController()];
  const away = `not read within ${LIMIT_MS / 1000} s: UID of Namespace kube-system of ${client.server}`;
  clock.sleep(LIMIT_MS, over.signal).then(
    () => stop.abort(new UnreadError(away)),
    () => undefined,
  );
  try {
    const clusterId = settings.clusterId ?? (await readClusterId(deps, stop.signal));
    return await readOnce({ ...deps, settings: { ...settings, clusterId } }, stop.signal);
  } finally {
    over.abort();
  }
}

type ReadOnceDeps = Omit<OnceDeps, "settings"> & { readonly settings: ControllersSettings };

/** Runs controllers that cannot write until it has read everything; `late` aborts when that takes too long. */
async function readOnce({ client, transport, clock, log, settings }: ReadOnceDeps, late: AbortSignal): Promise<readonly Planned[]> {
  const stop = new AbortController();
  const created = new Map<string, string>();
  const problems = new Map<string, Problem>();
  const refused = new Map<string, string>();
  const dry = dryClient(client);
  const metrics = makeMetrics(NO_GAUGES);
  const watchNode = makePacedWatch({ client: dry, clock, log }, { gateType: settings.gateType, crowded: () => false });
  const readPods = podReaderOf({ client: dry, clock, log, gateType: settings.gateType, onRead: () => undefined });
  const shared = { clock, log, watchNode, observer: metrics.observer };
  const registry = makeNodeRegistry({ ...shared, agentGraceMs: 0, asked: new ServedSelectors(), readPods }, stop.signal);
  const state: { controllers?: Controllers } = {};
  const objects = makeWatchedObjects({
    client: dry,
    clock,
    log,
    onService: (change) => state.controllers?.serviceChanged(change),
    onConfig: (change) => state.controllers?.configChanged(change),
    onSecret: (secret) => state.controllers?.secretChanged(secret),
    onAccess: () => state.controllers?.accessRulesChanged(),
    namespace: settings.namespace,
    onIngress: (change) => state.controllers?.ingressChanged(change),
    onIngressClass: () => state.controllers?.ingressClassChanged(),
    onNode: (change) => nodeChanged(registry, change),
    onNodesListed: () => registry.setNodes([...objects.nodes.records.values()]),
  });
  const onWrite = (action: string, request: object): void => {
    const tags: unknown = Reflect.get(request, "Tags");
    const owner = Array.isArray(tags) ? tags.find((tag: { TagKey?: string }) => tag.TagKey === OWNER_TAG) : undefined;
    created.set(String(owner?.TagValue), action);
  };
  const onCall = (action: string, code: string): void => void (code === "ok" ? refused.delete(action) : refused.set(action, code));
  const controllers = makeControllers({
    client: dry,
    transport: dryTransport(transport, onWrite),
    facts: registry,
    objects,
    clock,
    log,
    tell: (problem) => void problems.set(`${problem.object.uid} ${problem.reason} ${problem.message}`, problem),
    metrics: { ...metrics, onCall },
    settings: { ...settings, policy: "observe" },
  });
  state.controllers = controllers;
  const running = Promise.all([objects.run(stop.signal), controllers.run(stop.signal, stop.signal)]);
  try {
    await allRead({ progress: controllers.progress, clock, refused }, late);
    return [...orders(created, objects), ...controllers.progress.planned(), ...[...problems.values()].flatMap(warningRow)];
  } finally {
    stop.abort(new Error("the dry run is over"));
    await running;
  }
}

/** `refused`: the code that the last call of an action came to, e.g. "DescribeTargetHealth" -> "UnauthorizedOperation"; without those that worked. */
type Reading = { readonly progress: Progress; readonly clock: Clock; readonly refused: ReadonlyMap<string, string> };

/** Resolves when there is nothing left to read. Throws an UnreadError when something fails again and again, or when it is late. */
async function allRead({ progress, clock, refused }: Reading, late: AbortSignal): Promise<void> {
  for (;;) {
    const { failures, unread } = progress;
    if (unread === undefined && failures.length === 0) return;
    const lasting = failures.filter(({ sinceMs }) => sinceMs + FAILED_MS <= clock.now());
    if (lasting.length > 0) throw new UnreadError(`not read: ${failuresText(lasting)}`);
    if (late.aborted) {
      const because = [...refused].map(([action, code]) => `; ${action} failed: ${code}`).join("");
      throw new UnreadError(`not read within ${LIMIT_MS / 1000} s: ${unread ?? failuresText(failures)}${because}`);
    }
    await clock.sleep(ASK_MS);
  }
}

function failuresText(failures: readonly Failure[]): string {
  const named = failures.slice(0, MAX_NAMED).map(({ what, error }) => `${what}: ${error instanceof Error ? error.message : String(error)}`);
  return [...named, ...(failures.length > MAX_NAMED ? [`and ${failures.length - MAX_NAMED} more`] : [])].join("; ");
}

/** These have rows of their own: what was only not created because this is a dry run, and what the brake holds. */
const ROWS_OF_THEIR_OWN = new Set<Problem["reason"]>(["LoadBalancerNotCreated", "RemovalParked"]);

/** What an Event would warn of, at the object that a person has to mend. */
function warningRow({ object, type, reason, message }: Problem): Planned[] {
  if (type !== "Warning" || ROWS_OF_THEIR_OWN.has(reason)) return [];
  const what = `${object.kind} ${object.namespace}/${object.name}`;
  return [{ loadBalancerId: "-", lane: "warning", call: reason, what, why: message }];
}

/** Load balancers that would be created, one per Service that has none. */
function orders(created: ReadonlyMap<string, string>, objects: ReturnType<typeof makeWatchedObjects>): Planned[] {
  return [...created].map(([uid, call]) => {
    const object = objects.services.records.get(uid) ?? objects.ingresses.records.get(uid);
    const name = object === undefined ? uid : objectName(object);
    const what = "1 load balancer, then its listeners and targets";
    return { loadBalancerId: "(new)", lane: "create", call, what, why: `${name} has none` };
  });
}
