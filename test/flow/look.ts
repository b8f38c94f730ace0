/** What flow tests look at, from the outside only: the cloud's journal, the API server's objects and requests, answers on the wire. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { CANARY_NAMESPACE, DEFAULT_GATE_TYPE } from "../../common/names.ts";
import type { JournalEntry } from "../cloud/journal/journal.ts";
import type { ListenerView, LoadBalancerView } from "../cloud/model/view.ts";
import { answered } from "../cluster/simulated/cluster.ts";
import type { Condition, Deployment, Pod } from "../cluster/simulated/objects.ts";
import { type Load, type LoadResult, startLoad } from "../demo/load.ts";
import type { SeenRequest } from "./cluster.ts";
import { until, type World } from "./world.ts";

/** The load balancer of that id, or the only one. Throws if there is none or, without an id, more than one. */
export function loadBalancer(world: World, id?: string): LoadBalancerView {
  const all = world.cloud.cloud.state().loadBalancers.filter((one) => id === undefined || one.id === id);
  const [only, ...others] = all;
  if (only === undefined || others.length > 0) throw new Error(`the cloud has ${all.length} load balancers, not one`);
  return only;
}

/** Targets that get traffic: "ip:port" of those with weight that the cloud found alive. */
export const servingTargets = ({ targets }: ListenerView): string[] =>
  targets.filter(({ weight, health }) => weight > 0 && (health === "Alive" || health === "Close")).map(({ ip, port }) => `${ip}:${port}`);

export const gateOf = (pod: Pod): Condition | undefined => pod.status?.conditions?.find(({ type }) => type === DEFAULT_GATE_TYPE);
export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;

export async function podsOf(world: World, labelSelector: string, namespace = "demo"): Promise<readonly Pod[]> {
  return (await world.client.list<Pod>(`/api/v1/namespaces/${namespace}/pods`, { labelSelector })).items;
}

/** Whether no such object is there any more, e.g. isGone(world, "/api/v1/namespaces/demo/services/web"). */
export const isGone = (world: World, path: string): Promise<boolean> =>
  world.client.get(path).then(
    () => false,
    (error: unknown) => {
      if (answered(error, 404)) return true;
      throw error;
    },
  );

/** Events of the product, e.g. eventsOf(world, "OrphanedListener"). */
export async function eventsOf(world: World, reason: string, namespace = "demo"): Promise<readonly Told[]> {
  const { items } = await world.client.list<Told>(`/api/v1/namespaces/${namespace}/events`);
  return items.filter((event) => event.reason === reason);
}
export type Told = {
  readonly reportingComponent?: string;
  readonly reason: string;
  readonly type: string;
  readonly message: string;
  readonly count: number;
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
};

/**
 * Waits until the Deployment's newest Pods and no others are there, all ready, and every listener of the load balancer serves exactly
 * them. Returns the Pods.
 */
export async function converged(
  world: World,
  options: { count: number; app?: string; id?: string; limitMs?: number },
): Promise<readonly Pod[]> {
  const { count, app = "web", id, limitMs = 40_000 } = options;
  let seen = "";
  return await until(
    () => `${count} Pods of ${app} ready and bound; last seen: ${seen}`,
    async () => {
      const pods = await podsOf(world, `app=${app}`);
      const { status, metadata, spec } = await world.client.get<Deployment>(`/apis/apps/v1/namespaces/demo/deployments/${app}`);
      const listeners = world.cloud.cloud
        .state()
        .loadBalancers.filter((one) => id === undefined || one.id === id)
        .flatMap((one) => one.listeners);
      const bound = listeners.map(({ targets }) =>
        targets
          .map(({ ip }) => ip)
          .sort()
          .join(),
      );
      const addresses = pods.map((pod) => pod.status?.podIP ?? "none").sort();
      const serving = listeners.map((listener) => servingTargets(listener).length);
      seen = `${pods.length} Pods, ${pods.filter(isReady).length} ready, bound [${bound.join("; ")}], serving ${serving.join()}`;
      const current = spec.replicas === count && status?.observedGeneration === metadata.generation && status?.updatedReplicas === count;
      const good = current && pods.length === count && pods.every(isReady) && listeners.length > 0;
      return good && bound.every((ips) => ips === addresses.join()) && serving.every((number) => number === count) && pods;
    },
    limitMs,
    100,
  );
}

/** A lost request stays lost; one that is late because several control planes start on two cores is not. */
const PATIENCE_MS = 10_000;

/** Sends requests to the load balancer's address until it ends. Default: 100 a second to the example's port. */
export function startClient(world: World, options: { rate?: number; port?: number; id?: string } = {}): Load {
  const { rate = 100, port = world.plan.servicePort, id } = options;
  return startLoad({ host: loadBalancer(world, id).vip, port, rate, localAddress: world.plan.client, timeoutMs: PATIENCE_MS });
}

/** Fails with the causes if a request failed, or if too few were sent for that to mean anything. */
export function assertNoFailure({ requests, failures }: LoadResult, atLeast = 300): void {
  assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${requests} requests failed`);
  assert.ok(requests >= atLeast, `only ${requests} requests were sent`);
}

/** One request on a connection of its own; the answering Pod's name, or the error's code. */
export async function askOnce(host: string, port: number): Promise<string> {
  const answer = await fetch(`http://${host}:${port}/`, { headers: { connection: "close" }, signal: AbortSignal.timeout(2_000) }).catch(
    (error: Error & { cause?: { code?: string } }) => error.cause?.code ?? error.name,
  );
  return typeof answer === "string" ? answer : (answer.headers.get("x-pod") ?? `status ${answer.status}`);
}

type TargetState = { weight: number; alive: boolean };
/**
 * The fewest targets of a listener that had weight and were alive at any moment after journal entry `sinceSeq`, replayed from the
 * cloud's journal since its beginning.
 */
export function fewestServing(world: World, listenerId: string, sinceSeq: number): number {
  const targets = new Map<string, TargetState>();
  const serving = (): number => [...targets.values()].filter(({ weight, alive }) => weight > 0 && alive).length;
  let fewest: number | undefined;
  for (const entry of world.cloud.cloud.journal.since(0)) {
    if (entry.seq > sinceSeq) fewest = Math.min(fewest ?? Infinity, serving()); // as it was before this entry
    if ((entry.kind === "target" || entry.kind === "health") && entry.listenerId === listenerId) replay(targets, entry);
  }
  return Math.min(fewest ?? Infinity, serving());
}

type TargetEntry = Extract<JournalEntry, { kind: "target" | "health" }>;

function replay(targets: Map<string, TargetState>, entry: TargetEntry): void {
  const key = `${entry.ip}:${entry.port}`;
  if (entry.kind === "target" && entry.change === "unbound") {
    targets.delete(key);
    return;
  }
  const state = targets.get(key) ?? { weight: 0, alive: false };
  targets.set(key, entry.kind === "target" ? { ...state, weight: entry.weight } : { ...state, alive: entry.to === "Alive" });
}

/** Every target that was unbound after `sinceSeq` had weight 0 for at least `drainMs` before; returns how many there were. */
export function assertDrainedFirst(world: World, sinceSeq: number, drainMs: number): number {
  const changes = world.cloud.cloud.journal.of("target");
  const unbound = changes.filter(({ seq, change }) => seq > sinceSeq && change === "unbound");
  for (const { seq, ip, port, listenerId, timeMs } of unbound) {
    const before = changes.filter((one) => one.seq < seq && one.ip === ip && one.port === port && one.listenerId === listenerId).at(-1);
    assert.ok(before?.change === "weight" && before.weight === 0, `${ip}:${port} was unbound without weight 0 before: ${before?.change}`);
    assert.ok(timeMs - before.timeMs >= drainMs, `${ip}:${port} had weight 0 for ${timeMs - before.timeMs} ms only`);
  }
  return unbound.length;
}

/** Calls that change something in the cloud. */
export const cloudWrites = (world: World, sinceSeq = 0): string[] =>
  world.cloud.cloud.journal
    .since(sinceSeq)
    .flatMap((entry) => (entry.kind === "call" && !entry.action.startsWith("Describe") ? entry.action : []));

const READS: ReadonlySet<string> = new Set(["get", "list", "watch"]);

/** The Lease is renewed every second; the check of admission creates a Pod as a dry run, which changes nothing. */
const isRegular = ({ resource, namespace }: SeenRequest): boolean => resource === "leases" || namespace === CANARY_NAMESPACE;

/** E.g. "patch pods/status demo/web-1": what the product changed at the API server after that moment. */
export const clusterWrites = (world: World, sinceMs = 0): string[] =>
  world
    .requests()
    .filter((request) => request.atMs >= sinceMs && request.byProduct && !READS.has(request.verb) && !isRegular(request))
    .map(({ verb, resource, namespace, name }) => `${verb} ${resource} ${namespace}/${name}`);

/** What is merely forgotten leaves the stored records within 5 s; nothing waits for that. */
const FORGOTTEN_MS = 6_000;

/** The product changes nothing for so long, neither in the cloud nor in the cluster. */
export async function assertIdle(world: World, forMs = 5_000): Promise<void> {
  const { journal } = world.cloud.cloud;
  await sleep(FORGOTTEN_MS);
  const [sinceSeq, sinceMs] = [journal.lastSeq, Date.now()];
  await sleep(forMs);
  assert.deepEqual(cloudWrites(world, sinceSeq), [], "an idle system makes no writes in the cloud");
  assert.deepEqual(clusterWrites(world, sinceMs), [], "an idle system makes no writes in the cluster");
}

/** What every flow ends with: nothing is written any more, and all writes came one at a time. */
export async function assertAtRest(world: World): Promise<void> {
  await assertIdle(world);
  assertNoOverlaps(world);
}

/** Fails with all writes, the refused ones included, if one came while another ran at the same load balancer. */
export function assertNoOverlaps(world: World): void {
  assert.equal(world.cloud.cloud.counts().overlaps, 0, `writes at one load balancer overlapped:\n${listOfWrites(world)}`);
}

/** The same where several write to one load balancer: nobody can know of the others, but none of them may overlap with itself. */
export function assertNoOwnOverlaps(world: World): void {
  const { journal } = world.cloud.cloud;
  const callerOf = new Map(journal.of("call").map(({ requestId, caller }) => [requestId, caller]));
  const running = new Set<string>();
  for (const entry of journal.since(0)) {
    if (entry.kind === "task" && entry.change === "accepted") running.add(entry.taskId);
    else if (entry.kind === "task") running.delete(entry.taskId);
    else if (entry.kind === "call" && entry.code === "FailedOperation.ResourceInOperating") {
      const own = [...running].filter((taskId) => callerOf.get(taskId) === entry.caller);
      assert.deepEqual(
        own,
        [],
        `${entry.action} at ${timeOf(entry.startMs)} overlapped with its caller's own task:\n${listOfWrites(world)}`,
      );
    }
  }
}

const timeOf = (ms: number): string => new Date(ms).toISOString().slice(11, 23);

function listOfWrites(world: World): string {
  const calls = world.cloud.cloud.journal.of("call").filter(({ action }) => !action.startsWith("Describe"));
  return calls
    .map(({ startMs, timeMs, caller, action, code }) => `${timeOf(startMs)} +${timeMs - startMs} ms ${caller} ${action} ${code}`)
    .join("\n");
}
