/** Runs a history once as it is and once with its kills, and compares what is left after a quiet time. */
import { isDeepStrictEqual } from "node:util";
import { DIRECT_ACCESS, EXISTING_LOAD_BALANCER, ownListeners, RECORD_PREFIX } from "../../../../common/names.ts";
import type { ServiceRecord } from "../../../../coordinator/domain/intent/service.ts";
import { CLUSTER } from "../../../builders.ts";
import { CloudError } from "../../../cloud/model/errors.ts";
import type { Probe } from "../../../cloud/runtime/probe.ts";
import { aWorld, type ByHand, type World } from "../world.ts";
import { APPS, type History, historyOf, type Step } from "./histories.ts";

const RESYNC_MS = 60_000;
/** A listener that a person has made on each load balancer. */
const FOREIGN_PORT = 90;
const QUIET_MS = 3 * RESYNC_MS;
const LIMIT_MS = 3_600_000;
type Left = { readonly state: unknown; readonly wrong: readonly string[] };
export type Difference = { readonly seed: number; readonly history: History; readonly what: string };

/** Undefined: no difference. Else the shortest history that shows one, as far as leaving steps out one by one finds it. */
export async function differenceOf(seed: number): Promise<Difference | undefined> {
  let history = historyOf(seed);
  let what = await compare(history);
  if (what === undefined) return undefined;
  for (let isShorter = true; isShorter; ) {
    isShorter = false;
    for (const shorter of shortened(history)) {
      const found = await compare(shorter);
      if (found === undefined) continue;
      [history, what, isShorter] = [shorter, found, true];
      break;
    }
  }
  return { seed, history, what };
}

const shortened = ({ steps, kills }: History): History[] => [
  ...kills.map((_, at) => ({ steps, kills: kills.toSpliced(at, 1) })),
  ...steps.map((_, at) => ({ steps: steps.toSpliced(at, 1), kills })),
];

async function compare(history: History): Promise<string | undefined> {
  const plain = await run({ ...history, kills: [] });
  const killed = await run(history);
  const wrong = [...plain.wrong.map((text) => `undisturbed: ${text}`), ...killed.wrong.map((text) => `with kills: ${text}`)];
  if (wrong.length > 0) return wrong.join("; ");
  if (isDeepStrictEqual(plain.state, killed.state)) return undefined;
  return `undisturbed:\n${JSON.stringify(plain.state, null, 1)}\nwith kills:\n${JSON.stringify(killed.state, null, 1)}`;
}

async function run({ steps, kills }: History): Promise<Left> {
  const cleanUps: (() => unknown)[] = [];
  /** A Pod whose containers have stopped answers nobody. */
  const probe: Probe = ({ ip }) => Promise.resolve(world.cluster.isServing(ip));
  // A Pod with the hook stays bound for longer: what it was bound for is lost where records are swapped, while nobody leads and it ends.
  const hooks = steps.every(({ kind }) => kind !== "records-swapped");
  const world = aWorld({ after: (cleanUp) => void cleanUps.push(cleanUp) }, { apps: APPS, pods: 3, hooks, probe });
  const byHand: ByHand[] = [];
  try {
    await world.run(async () => {
      world.start();
      for (const app of world.apps) await world.converged(app);
      for (const app of APPS)
        byHand.push(await world.byHand(app, "CreateListener", { Ports: [FOREIGN_PORT], Protocol: "TCP", ListenerNames: ["by hand"] }));
      const edits: Edits = { madeMs: new Map(), leaderSinceMs: 0 };
      const live = async (): Promise<void> => {
        for (const step of steps) {
          await world.clock.sleep(step.afterMs);
          await keepOneMark(world, step);
          await untilSeen(world, step, edits);
          await take(world, step, byHand);
          if ("app" in step && EDITS.has(step.kind)) edits.madeMs.set(step.app, world.clock.now());
        }
      };
      const die = async (): Promise<void> => {
        const fromMs = world.clock.now();
        for (const { atMs, awayMs } of kills) {
          await world.clock.sleep(Math.max(0, fromMs + atMs - world.clock.now()));
          for (const app of APPS) if (isOnlyOnRecord(world, app)) await recordIsThere(world, app);
          await world.kill();
          await world.clock.sleep(awayMs);
          world.start();
          edits.leaderSinceMs = world.clock.now();
        }
      };
      await Promise.all([live(), die()]);
      world.cloud.faults.clear();
      for (let node = 0; node < world.nodeCount; node++) world.restoreNode(node);
      for (const agent of world.coordinator().agents) {
        agent.lie(0);
        agent.connect();
      }
      await world.clock.sleep(QUIET_MS);
    }, LIMIT_MS);
    const left = { state: stateOf(world), wrong: wrongIn(world, byHand) };
    await world.run(() => world.kill(), LIMIT_MS);
    return left;
  } finally {
    for (const cleanUp of cleanUps) await cleanUp();
  }
}

const listenersOf = ({ cloud }: World, app: string) => cloud.state().loadBalancers.find(({ id }) => id === `lb-${app}`)?.listeners ?? [];

/** A deleted record is written again within milliseconds, unless there is nothing to write. */
const MENDED_MS = 5_000;
const LOOK_MS = 100;

/**
 * What an owner asks for lies in its object, and whose a listener is in its name; where a person has spoilt these, the record alone tells. Who
 * deletes the record as well, while no leader is there that remembers it, has left nothing in the world that says it, and no leader could
 * decide as the one before it would have: such a step waits for a leader, and a kill for the record.
 */
async function keepOneMark(world: World, step: Step): Promise<void> {
  const apps = "app" in step ? [step.app] : step.kind === "records-swapped" ? APPS : [];
  if (step.kind !== "records-deleted" && step.kind !== "records-swapped") {
    for (const app of apps) await recordIsThere(world, app);
    return;
  }
  const isNeeded = (): boolean => apps.some((app) => isOnlyOnRecord(world, app));
  for (let waitedMs = 0; isNeeded() && !world.isRunning() && waitedMs < MENDED_MS; waitedMs += LOOK_MS) await world.clock.sleep(LOOK_MS);
  for (const app of apps) if (isOnlyOnRecord(world, app)) await recordIsThere(world, app);
}

/** When each Service was edited last, and since when the present leader is there; milliseconds. */
type Edits = { readonly madeMs: Map<string, number>; leaderSinceMs: number };
const EDITS: ReadonlySet<Step["kind"]> = new Set(["name-other", "name-none", "mistype", "mistype-access", "undo", "ports", "recreate"]);
const SEEN_MS = 3_000;
const SEEN_WITHIN_MS = 15_000;

/** A good state of a Service that is spoilt before any leader has seen it is nobody's last good state: the edit waits until one has. */
async function untilSeen({ clock, isRunning }: World, step: Step, edits: Edits): Promise<void> {
  if (!("app" in step) || !EDITS.has(step.kind) || step.kind === "undo") return;
  const madeMs = edits.madeMs.get(step.app) ?? Number.NEGATIVE_INFINITY;
  const isSeen = (): boolean => isRunning() && clock.now() - Math.max(madeMs, edits.leaderSinceMs) >= SEEN_MS;
  if (clock.now() - madeMs >= SEEN_WITHIN_MS) return;
  for (let waitedMs = 0; waitedMs < SEEN_WITHIN_MS && !isSeen(); waitedMs += LOOK_MS) await clock.sleep(LOOK_MS);
}

/** The app's own one, or none can come. */
async function recordIsThere({ clock, cluster }: World, app: string): Promise<void> {
  const isThere = (): boolean => cluster.records.entries(`lb-${app}`).some(([, value]) => value.includes(`"at":"lb-${app}"`));
  for (let waitedMs = 0; !isThere() && waitedMs < MENDED_MS; waitedMs += LOOK_MS) await clock.sleep(LOOK_MS);
}

function isOnlyOnRecord(world: World, app: string): boolean {
  const service = world.cluster.service(app);
  if (service === undefined || standingReason(app, service.annotations) !== "") return true;
  const isServed = ({ protocol, port }: ServiceRecord["ports"][number]): boolean => protocol !== "SCTP" && port !== FOREIGN_PORT;
  if (!service.ports.every(isServed)) return true;
  const isOwn = ownListeners(CLUSTER, service.uid);
  return listenersOf(world, app).some((listener) => listener.port !== FOREIGN_PORT && !isOwn(listener));
}

async function take(world: World, step: Step, byHand: ByHand[]): Promise<void> {
  const { cluster, cloud } = world;
  /** What the person names may be gone when the lock is free. */
  const hand = async (app: string, action: string, request: object): Promise<void> => {
    try {
      byHand.push(await world.byHand(app, action, request));
    } catch (err) {
      if (!(err instanceof CloudError)) throw err;
    }
  };
  /** What the controller wrote stays. */
  const annotate = (app: string, what: Readonly<Record<string, string>>): void => {
    const known = cluster.service(app)?.annotations;
    cluster.edit(app, { annotations: { ...known, [DIRECT_ACCESS]: "true", [EXISTING_LOAD_BALANCER]: `lb-${app}`, ...what } });
  };
  switch (step.kind) {
    case "start":
      return void cluster.start(step.app, step.count);
    case "end":
      return cluster.end(
        cluster
          .alive(step.app)
          .slice(0, step.count)
          .map(({ uid }) => uid),
      );
    case "name-other":
      return annotate(step.app, { [EXISTING_LOAD_BALANCER]: step.app === "one" ? "lb-two" : "lb-one" });
    case "name-none": {
      const { [EXISTING_LOAD_BALANCER]: _, ...annotations } = cluster.service(step.app)?.annotations ?? {};
      return cluster.edit(step.app, { annotations });
    }
    case "mistype":
      return annotate(step.app, { [EXISTING_LOAD_BALANCER]: `lb-${step.app},` });
    case "mistype-access":
      return annotate(step.app, { [DIRECT_ACCESS]: "True" });
    case "undo":
      return annotate(step.app, {});
    case "vanish":
      return cluster.vanish(step.app);
    case "recreate": // in a shortened history it may not have vanished
      return cluster.service(step.app) === undefined ? cluster.recreate(step.app) : undefined;
    case "rename":
    case "switch-off": {
      const [listener] = listenersOf(world, step.app);
      const change = step.kind === "rename" ? { ListenerName: "by hand" } : { Scheduler: "LEAST_CONN", HealthCheck: { HealthSwitch: 0 } };
      if (listener !== undefined) await hand(step.app, "ModifyListener", { ListenerId: listener.id, ...change });
      return;
    }
    case "unbind-by-hand":
    case "weigh-by-hand": {
      const [listener] = listenersOf(world, step.app);
      const target = listener?.targets.toSorted((a, b) => (a.ip < b.ip ? -1 : 1))[step.at];
      if (listener === undefined || target === undefined) return;
      const Targets = [{ EniIp: target.ip, Port: target.port }];
      if (step.kind === "unbind-by-hand") await hand(step.app, "DeregisterTargets", { ListenerId: listener.id, Targets });
      else await hand(step.app, "ModifyTargetWeight", { ListenerId: listener.id, Weight: 0, Targets });
      return;
    }
    case "records-deleted":
      return cluster.records.removeOf(`lb-${step.app}`);
    case "records-edited": {
      const name = `${RECORD_PREFIX}lb-${step.app}-0`;
      if (cluster.records.all.has(name))
        cluster.records.patch(`/${name}`, { data: { "ip.10.244.0.1": "somebody", "ip.10.244.0.2": null } });
      return;
    }
    case "records-swapped": {
      const names = APPS.map((app) => `${RECORD_PREFIX}lb-${app}-0`);
      const all = names.map((name) => cluster.records.all.get(name)?.data);
      for (const [at, name] of names.entries()) {
        const [own, other] = [all[at], all[1 - at]];
        if (own === undefined || other === undefined) continue;
        cluster.records.patch(`/${name}`, { data: { ...Object.fromEntries(Object.keys(own).map((key) => [key, null])), ...other } });
      }
      return;
    }
    case "ports":
      return cluster.edit(step.app, { ports: step.ports.split(" ").map(portOf) });
    case "node-deleted":
      return world.deleteNode(step.node);
    case "node-back":
      return world.restoreNode(step.node);
    case "agent-away":
      return agentOf(world, step.node)?.disconnect();
    case "agent-back":
      return agentOf(world, step.node)?.connect();
    case "agent-lies": {
      const agent = agentOf(world, step.node);
      agent?.lie(2);
      return agent?.connect();
    }
    case "throttled":
      cloud.faults.add({ kind: "throttled", for: step.forMs, probability: 0.5 });
      return;
    case "slow":
      cloud.faults.add({ kind: "latency", delay: 3_000, for: step.forMs, probability: 0.3 });
      return;
    default:
      return step satisfies never;
  }
}

/** E.g. "TCP80". */
function portOf(text: string): ServiceRecord["ports"][number] {
  const [, protocol = "", number = ""] = /^([A-Z]+)(\d+)$/.exec(text) ?? [];
  return { name: text.toLowerCase(), protocol, port: Number(number), targetPort: 8080 };
}

const agentOf = (world: World, node: number) => (world.isRunning() && world.hasNode(node) ? world.coordinator().agents[node] : undefined);

/** Cloud, gates, conditions and standing Events. */
function stateOf(world: World): unknown {
  const { cluster, cloud } = world;
  const loadBalancers = cloud.state().loadBalancers.map(({ id, listeners }) => ({
    id,
    listeners: listeners
      .map(({ name, port, targets }) => ({
        name,
        port,
        targets: targets.map(({ ip, weight, health }) => `${ip} ${weight} ${health}`).sort(),
      }))
      .sort((a, b) => (`${a.port} ${a.name}` < `${b.port} ${b.name}` ? -1 : 1)),
  }));
  // Where the port that is asked for cannot be had, gates stay as they were at the moment of that edit, open ones open.
  const isStuck = (app = ""): boolean => cluster.service(app)?.ports.some(({ port }) => port === FOREIGN_PORT) ?? false;
  const settled = [...cluster.pods.values()].filter(({ labels }) => !isStuck(labels["app"]));
  const gates = settled.map(({ uid, gate }) => `${uid} ${gate}`).sort();
  const conditions = [...cluster.services.values()].map(({ name, ready }) => `${name} ${ready?.status} ${ready?.reason}`).sort();
  const events = APPS.map((app) => {
    const reason = standingReason(app, cluster.service(app)?.annotations ?? {});
    return `${app} ${reason}${cluster.told.some((told) => told.object === app && told.reason === reason) ? " told" : ""}`;
  });
  return { loadBalancers, gates, conditions, events, parked: world.coordinator().controllers.gauges.parkedRemovals() };
}

/** Why the Service's annotations are refused as they stand at the end; "" if they are not. */
function standingReason(
  app: string,
  { [DIRECT_ACCESS]: access, [EXISTING_LOAD_BALANCER]: existing }: Readonly<Record<string, string>>,
): string {
  if (access === "True") return "InvalidDirectAccess";
  if (existing === `lb-${app}`) return "";
  return existing?.endsWith(",") === true ? "InvalidLoadBalancerId" : "LoadBalancerChangeRefused";
}

/** What must not be in either run: a live, ready Pod that lost its target, or its weight, without a person's hand; or one without its target at the end. */
function wrongIn({ cloud, cluster, crashes }: World, byHand: readonly ByHand[]): string[] {
  /** Weights of each address, by listener: whoever has another listener there, for another port, has lost nothing. */
  const weights = new Map<string, Map<string, number>>();
  const taken = cloud.journal.of("target").flatMap((entry) => {
    const { ip, timeMs, loadBalancerId, listenerId } = entry;
    const here = weights.get(`${loadBalancerId} ${ip}`) ?? new Map<string, number>();
    weights.set(`${loadBalancerId} ${ip}`, here.set(listenerId, entry.change === "unbound" ? 0 : entry.weight));
    if (entry.change === "bound" || (entry.change === "weight" && entry.weight > 0)) return [];
    if ([...here.values()].some((weight) => weight > 0)) return [];
    if (byHand.some((one) => one.loadBalancerId === loadBalancerId && one.fromMs <= timeMs && timeMs <= one.untilMs)) return [];
    const alive = cluster.lives.find((life) => life.ip === ip && life.bornMs <= timeMs && timeMs < life.endingMs);
    return alive === undefined ? [] : [`${entry.change} of ${ip} at ${loadBalancerId}, whose Pod ${alive.uid} lived`];
  });
  const targets = cloud
    .state()
    .loadBalancers.flatMap(({ id, listeners }) => listeners.flatMap((listener) => listener.targets.map((target) => ({ id, ...target }))));
  const missing = APPS.flatMap((app) =>
    cluster.alive(app).flatMap(({ uid, ips, containersReady }) => {
      const own = targets.filter(({ id, ip }) => id === `lb-${app}` && ips.includes(ip));
      if (!containersReady || own.some(({ weight }) => weight > 0)) return [];
      return [`${uid} has ${own.length === 0 ? "no target" : "weight 0"}`];
    }),
  );
  return [...new Set(crashes), ...taken, ...missing];
}
