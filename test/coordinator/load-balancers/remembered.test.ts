/** What a pass remembers of the passes before it changes the time it takes, never what it finds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { WantedBackend } from "../../../coordinator/domain/intent/backends.ts";
import type { DesiredLoadBalancer, WantedPlace } from "../../../coordinator/domain/intent/desired-load-balancer.ts";
import type { ServiceIntent } from "../../../coordinator/domain/intent/service.ts";
import type { Listener, LoadBalancer, Target } from "../../../coordinator/domain/load-balancer.ts";
import { placesOf, slotKey, slotOf, targetKey } from "../../../coordinator/domain/load-balancer.ts";
import type { Plan } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import { makeReport } from "../../../coordinator/events/findings.ts";
import { adopt, ClaimedPlaces } from "../../../coordinator/load-balancers/adopt.ts";
import { DrainingTargets } from "../../../coordinator/load-balancers/draining.ts";
import { Lanes } from "../../../coordinator/load-balancers/lanes.ts";
import { ListenerRecorder } from "../../../coordinator/load-balancers/listener-recorder.ts";
import { Planner } from "../../../coordinator/load-balancers/planner.ts";
import { RefusedItems } from "../../../coordinator/load-balancers/refused-items.ts";
import type { ConfigRecord } from "../../../coordinator/state/config-objects.ts";
import { Intents, type IntentsDeps } from "../../../coordinator/state/intents.ts";
import { ListenerIdentity } from "../../../coordinator/state/listener-identity.ts";
import { ListenerOwners } from "../../../coordinator/state/listener-owners.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { OwnerRecords } from "../../../coordinator/state/owner-records.ts";
import { makePodIndex, UnreadyPods } from "../../../coordinator/state/pod-index.ts";
import { aListener, aLoadBalancer, anIntent, anOwner, aPod, aService, CLUSTER } from "../../builders.ts";
import { makeRandom } from "../../cloud/runtime/random.ts";
import { idle } from "../../virtual-clock.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock, silentLog } from "../pods.ts";
import { memoryClaims, memoryRecords } from "../stage.ts";

const SEEDS = 24;
const STEPS = 100;
const ID = "lb-1";
const { signal } = new AbortController();
const uidOf = (n: number): string => `${n}e21c0ff-ee12-0000-0000-000000000000`;

/** Services 1 to 4 of lb-1: 1 and 2 at layer 4, 3 at layer 7 as well, 4 wants a port that 1 has. */
const serviceOf = (n: number) =>
  aService({
    uid: uidOf(n),
    name: `web-${n}`,
    selector: { app: `web-${n % 3}` },
    annotations: { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config": "checks" },
    ports: [{ name: "http", protocol: "TCP", port: n === 4 ? 81 : 80 + n, targetPort: 8080 }],
  });

function intentOf(n: number, change: { readonly more?: boolean; readonly selector?: number } = {}): ServiceIntent {
  const service = serviceOf(n);
  const intent = anIntent({ ...service, selector: { app: `web-${change.selector ?? n % 3}` } });
  const rules = ["/", "/cart"].slice(0, change.more === true ? 2 : 1).map((url) => ({ domain: "shop.example.com", url }));
  const ports = [
    ...intent.ports,
    ...(n === 3 ? [{ protocol: "HTTP", port: 8_080, targetPort: 8080, rules } as const] : []),
    ...(n === 2 && change.more === true ? [{ protocol: "UDP", port: 53, targetPort: 53 } as const] : []),
  ];
  return { ...intent, ports };
}

/** A load balancer as a pass sees it, and anything that may change of it, out of one number. */
function aWorld(seed: number) {
  const random = makeRandom(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const oneOf = <T>(items: readonly T[]): T | undefined => items[below(items.length)];
  const clock = aFakeClock();
  const known = somePodFacts();
  const pods = makePodIndex(known.facts);
  const unreadyPods = new UnreadyPods(clock);
  pods.follow((change) => unreadyPods.podChanged(change));
  const mirror = new Mirror(() => undefined);
  const claims = memoryClaims();
  const ownerRecords = new OwnerRecords(memoryRecords(), silentLog);
  const [heldBack, stopping, listening] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const world = {
    quotas: { listenersPerLoadBalancer: 50, rulesPerListener: 50, targetsPerPlace: 200 },
    refused: false,
    configs: 0,
    made: 0,
  };
  let config: ConfigRecord | undefined;
  const deps: Omit<IntentsDeps, "pods"> = {
    clusterId: CLUSTER,
    listenersAt: (id) => mirror.listeners(id) ?? [],
    addressAt: (id) => mirror.facts(id),
    isHeldBack: (uid) => heldBack.has(uid) || stopping.has(uid),
    earlyOf: (pod) => (pod.containersReady ? undefined : listening.has(pod.uid) ? "listens" : "silent"),
    wishes: (_namespace, _name) => config?.wishes ?? NO_WISHES,
    moreWishes: () => config,
    configsVersion: () => world.configs,
    recorded: (id, uid) => ownerRecords.get(id, uid),
    recordsVersion: (id) => ownerRecords.version(id),
    boundAt: (names) => claims.loadBalancersOf(names),
  };
  const intents = new Intents({ ...deps, pods });
  const identity = new ListenerIdentity({ ownerRecords, clusterId: CLUSTER, clock });
  const plannerDeps = {
    facts: known.facts,
    pods,
    addressClaims: claims,
    mirror,
    clock,
    unreadyPods,
    isStopping: (uid: string) => stopping.has(uid),
    writer: { running: () => undefined, overQuota: () => 0, weightsLast: () => false },
    refusedItems: { keepsRefusing: () => world.refused },
    guard: { hold: (_actual: LoadBalancer, calls: readonly Call[]) => calls, floorOf: () => 1, isHealthRead: () => true },
    quotas: () => world.quotas,
    settings: { clusterId: CLUSTER, drainMs: 5_000, rulesPerCall: 20, policy: "enforce" },
  } as const;
  const planner = new Planner(plannerDeps);
  intents.selections.follow(({ change: { before, after }, loadBalancerIds }) => {
    for (const id of loadBalancerIds)
      planner.podsChanged([before?.uid ?? "", after?.uid ?? "", ...(before?.ips ?? []), ...(after?.ips ?? [])], id);
  });
  const judged = (uid: string): void => {
    const pod = known.facts.pods.get(uid);
    if (pod === undefined) return;
    intents.selections.podJudged(pod);
    planner.podsChanged([uid, ...pod.ips], ID);
  };
  const fill = (change: (listeners: readonly Listener[]) => readonly Listener[] = (same) => same): void => {
    const listeners = structuredClone(mirror.read(ID)?.listeners ?? []); // a read gives objects of its own
    mirror.fill({ ...aLoadBalancer(), running: true }, change(listeners), clock.now());
  };
  let born = 0;
  const somePod = (): PodFact | undefined => oneOf([...known.facts.pods.values()]);
  const birth = (ip = `10.244.1.${(born % 200) + 1}`): void => {
    const n = born++;
    known.set(aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [ip], labels: { app: `web-${n % 3}` }, containersReady: below(4) > 0 }));
  };
  const edit = (change: (pod: PodFact) => Partial<PodFact>): void => {
    const pod = somePod();
    if (pod !== undefined) known.set({ ...pod, ...change(pod) });
  };
  const toggle = (uids: Set<string>): void => {
    const uid = somePod()?.uid ?? "";
    if (!uids.delete(uid)) uids.add(uid);
    judged(uid);
  };
  const own = (n: number, change: Parameters<typeof intentOf>[1] = {}): void => {
    const owner = anOwner(serviceOf(n), { state: "served", intent: intentOf(n, change), loadBalancerId: ID }, String(n));
    intents.set(owner);
  };
  const record = async (n: number): Promise<void> => {
    const { ref, order } = anOwner(serviceOf(n), undefined, String(n));
    await ownerRecords.update(ID, ref.uid, (was) => was ?? { ref, order, intent: intentOf(n), formerSelectors: [], listeners: {} }, signal);
  };
  const atPlaces = (listeners: readonly Listener[], change: (targets: readonly Target[]) => readonly Target[]): readonly Listener[] => {
    const chosen = below(listeners.length);
    return listeners.map((one, at) =>
      at !== chosen
        ? one
        : {
            ...one,
            targets: one.rules.length > 0 ? [] : change(one.targets),
            rules: one.rules.map((rule) => ({ ...rule, targets: change(rule.targets) })),
          },
    );
  };
  const carryOut = async (call: Call | undefined): Promise<void> => {
    if (call === undefined) return;
    if ("targets" in call) await claim(new Map(call.targets.map(({ ip, podUid }) => [ip, podUid])));
    const news = "create" in call ? call.create.listeners : "createRules" in call ? call.createRules.rules : [];
    mirror.fold(
      ID,
      call,
      news.map((_, at) => `id-${world.made}-${at}`),
      clock.now(),
    );
    world.made += 1;
  };
  const claim = async (some: ReadonlyMap<string, string>): Promise<void> => {
    await claims.claim(ID, some, signal);
    planner.podsChanged([...some.keys()], ID);
  };
  const changes: Readonly<Record<string, () => unknown>> = {
    birth: () => birth(),
    rebirth: () => {
      const former = somePod();
      if (former === undefined) return;
      for (const one of [...known.facts.pods.values()].filter(({ ips }) => ips[0] === former.ips[0]))
        known.set({ ...one, deletionAtMs: clock.now() + 30_000 });
      birth(former.ips[0]);
    },
    ready: () => edit(({ containersReady }) => ({ containersReady: !containersReady })),
    gate: () => edit(() => ({ gate: "True", resourceVersion: String(clock.now()) })),
    ending: () => edit(() => ({ deletionAtMs: clock.now() + 30_000 })),
    relabel: () => edit(() => ({ labels: { app: `web-${below(3)}` } })),
    hook: () => edit(() => ({ drain: oneOf(["none OwnPreStop", "hold"] as const) ?? "hold" })),
    weight: () => edit(() => ({ weights: { service: oneOf(["5", "much"]) ?? "", ingress: "" } })),
    end: () => known.end(somePod()?.uid ?? ""),
    hold: () => toggle(heldBack),
    stop: () => toggle(stopping),
    listen: () => toggle(listening),
    time: async () => await clock.advance(oneOf([300, 1_000, 6_000, 15_000]) ?? 0),
    health: () => {
      const slots = placesOf({ listeners: mirror.listeners(ID) ?? [] }).flatMap((place) =>
        place.targets.map((target) => slotKey(slotOf(place, target))),
      );
      const states = new Map(slots.map((slot) => [slot, below(5) > 0 ? "Alive" : "Dead"] as const));
      mirror.noteHealth(ID, states, { askedMs: clock.now() + 60_000, nowMs: clock.now() });
    },
    reread: () => fill(),
    unboundByHand: () => fill((listeners) => atPlaces(listeners, (targets) => targets.slice(1))),
    weighedByHand: () =>
      fill((listeners) => atPlaces(listeners, (targets) => targets.map((target) => ({ ...target, weight: below(2) * 10 })))),
    boundByHand: () =>
      fill((listeners) => atPlaces(listeners, (targets) => [...targets, { ip: `10.9.9.${below(200)}`, port: 8080, weight: 10 }])),
    setByHand: () =>
      fill((listeners) =>
        listeners.map((one) =>
          below(3) > 0 ? one : { ...one, scheduler: "LEAST_CONN" as const, healthCheck: { ...one.healthCheck, enabled: below(2) > 0 } },
        ),
      ),
    deletedByHand: () =>
      fill((listeners) =>
        listeners.length > 1 && below(2) > 0 ? listeners.slice(1) : listeners.map((one) => ({ ...one, rules: one.rules.slice(1) })),
      ),
    madeByHand: () =>
      fill((listeners) => [...listeners, aListener({ listenerId: `lbl-hand-${world.made++}`, name: "by hand", port: 9_000 + below(100) })]),
    config: () => {
      world.configs += 1;
      const intervalSeconds = 5 + below(3);
      const wishes = new Map([["TCP/81", { intervalSeconds }]]);
      config =
        below(4) === 0
          ? undefined
          : {
              uid: "c",
              resourceVersion: String(world.configs),
              namespace: "demo",
              name: "checks",
              wishes,
              faults: below(2) === 0 ? ["a fault"] : [],
            };
    },
    ask: () => own(1 + below(4), { more: below(2) > 0, ...(below(4) === 0 && { selector: below(3) }) }),
    leave: () => intents.remove(uidOf(1 + below(4))),
    deletion: () => {
      const n = 1 + below(4);
      const owner = anOwner(
        serviceOf(n),
        { state: oneOf(["deleted", "held"]) ?? "held", intent: undefined, blocker: undefined, loadBalancerId: ID },
        String(n),
      );
      if (below(3) === 0) intents.set(owner);
    },
    record: async () => await record(1 + below(4)),
    incomplete: () => {
      known.state.complete = !known.state.complete;
      planner.podsComplete();
    },
    quotas: () => (world.quotas = { ...world.quotas, targetsPerPlace: 1 + below(10), listenersPerLoadBalancer: 1 + below(10) }),
    refusal: () => (world.refused = !world.refused),
    claimLost: () => {
      const bound = new Set(placesOf({ listeners: mirror.listeners(ID) ?? [] }).flatMap(({ targets }) => targets.map(({ ip }) => ip)));
      claims.forget(
        ID,
        [somePod()?.ips[0] ?? ""].filter((ip) => !bound.has(ip)),
      );
    },
  };
  /** As a process would find it that remembers nothing. */
  const anew = (): DesiredLoadBalancer => {
    const index = makePodIndex(known.facts);
    const fresh = new Intents({ ...deps, pods: index });
    for (const owner of intents.all) fresh.set(owner);
    const desired = fresh.desired(ID);
    index.close();
    return desired;
  };
  for (let n = 0; n < 12; n++) birth();
  for (let n = 1; n <= 3; n++) own(n);
  fill();
  const parts = { clock, intents, mirror, claims, ownerRecords, identity, known, planner, carryOut, claim, record, anew, fill };
  return {
    ...parts,
    plannerDeps,
    random,
    change: () => oneOf(Object.entries(changes).filter(([name]) => seed % 2 > 0 || !UPHEAVALS.has(name))),
    configOf: () => config,
    configsVersion: () => `${world.configs} ${intents.usesVersion}`,
  };
}
const NO_WISHES: ConfigRecord["wishes"] = new Map();
/** After these more is due than targets, so that half of the worlds are spared them. */
const UPHEAVALS: ReadonlySet<string> = new Set([
  "setByHand",
  "deletedByHand",
  "config",
  "ask",
  "leave",
  "deletion",
  "quotas",
  "incomplete",
]);

/** In one order: who changed last comes last, which nobody promises. */
function inOrder({ listeners, ...rest }: DesiredLoadBalancer): unknown {
  const byUid = (a: WantedBackend, b: WantedBackend): number => (a.podUid < b.podUid ? -1 : 1);
  const ordered = <P extends WantedPlace>(place: P): P => ({
    ...place,
    backends: place.backends.toSorted(byUid),
    standings: place.standings.toSorted((a, b) => (a.pod.uid < b.pod.uid ? -1 : 1)),
  });
  return {
    ...rest,
    listeners: listeners.map((one) => ({
      ...ordered(one),
      ...(one.rules && { rules: one.rules.map(ordered) }),
      ...(one.formerRules && { formerRules: one.formerRules.map(ordered) }),
    })),
  };
}

const found = ({ findings }: Plan): string[] =>
  findings
    .map((one) =>
      "target" in one
        ? `${one.kind} ${one.rule?.locationId ?? one.listener.listenerId} ${targetKey(one.target)}`
        : JSON.stringify([one.kind, "needed" in one && one.needed]),
    )
    .sort();

test("a pass that remembers finds what one finds that does not, whatever has happened", async () => {
  let [reused, plans] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = aWorld(seed);
    const { intents, mirror, planner, ownerRecords, identity, clock } = world;
    const recorderDeps = {
      ownerRecords,
      identity,
      intents,
      mirror,
      clusterId: CLUSTER,
      clock,
      log: silentLog,
      onRenamed: () => undefined,
      due: () => undefined,
    };
    const recorder = new ListenerRecorder(recorderDeps);
    const told: string[] = [];
    const reportDeps = {
      intents,
      mirror,
      config: () => world.configOf(),
      listenerOwners: new ListenerOwners({ intents, mirror, clusterId: CLUSTER }),
      facts: world.known.facts,
      tell: (problem: object) => void told.push(JSON.stringify(problem)),
      clock,
      log: silentLog,
      admission: "webhook" as const,
    };
    const report = makeReport({ ...reportDeps, configsVersion: world.configsVersion });
    const tellsOf = (one: typeof report, desired: DesiredLoadBalancer, plan: Plan): string[] => {
      told.length = 0;
      one(desired, plan);
      return [...new Set(told)].sort();
    };
    const claimed = new ClaimedPlaces();
    const draining = new DrainingTargets();
    let last: DesiredLoadBalancer | undefined;
    for (let n = 1; n <= 4; n++) await world.record(n);
    for (let step = 0; step < STEPS; step++) {
      const [name = "", change] = (step % 3 > 0 && world.change()) || [];
      await change?.();
      const at = `seed ${seed}, step ${step}: ${name}`;
      const actual = mirror.read(ID);
      assert.ok(actual !== undefined);
      const [desired, afresh] = [intents.desired(ID), world.anew()];
      assert.deepEqual(inOrder(desired), inOrder(afresh), at);
      if (desired === last) reused += 1;
      last = desired;

      const adopted = async (remembered: ClaimedPlaces): Promise<ReadonlyMap<string, string>> => {
        let claims: ReadonlyMap<string, string> = new Map();
        const writer = { claim: (_id: string, some: ReadonlyMap<string, string>) => Promise.resolve(void (claims = some)) };
        const refusedItems = new RefusedItems(() => undefined);
        const takesOver = ({ podUid }: WantedBackend): boolean => world.known.facts.pods.get(podUid)?.gate === "True";
        await adopt(
          { writer, addressClaims: world.claims, takesOver, claimed: remembered, refusedItems, lanes: new Lanes(), clock, log: silentLog },
          desired,
          actual,
          signal,
        );
        return claims;
      };
      const [ours, all] = [await adopted(claimed), await adopted(new ClaimedPlaces())];
      assert.deepEqual(ours, all, at);
      if (ours.size > 0 && world.random() < 0.5) await world.claim(ours);

      recorder.keep(desired, actual, signal);
      await idle();
      const version = ownerRecords.version(ID);
      new ListenerRecorder(recorderDeps).keep(afresh, actual, signal);
      await idle();
      assert.equal(ownerRecords.version(ID), version, `${at}: something was not recorded`);

      const plan = planner.plan(desired, actual);
      const fresh = new Planner(world.plannerDeps).plan(afresh, actual);
      assert.deepEqual(plan.calls, fresh.calls, at);
      assert.deepEqual([plan.dueMs, plan.lastsMs, found(plan)], [fresh.dueMs, fresh.lastsMs, found(fresh)], at);
      assert.deepEqual(draining.of(actual), new DrainingTargets().of(actual), at);
      assert.deepEqual(
        tellsOf(report, desired, plan).filter((one) => !LASTING.test(one)),
        tellsOf(makeReport(reportDeps), afresh, fresh).filter((one) => !LASTING.test(one)),
        at,
      );
      plans += plan.calls.length;
      if (step % 3 > 0 || world.random() < 0.5) await world.carryOut(plan.calls[0]);
    }
  }
  assert.ok(reused > 200 && plans > 500, `${reused} passes wanted what the pass before did, ${plans} calls were planned`);
});
/** These have lasted, which takes more than one pass of one process. */
const LASTING = /"(?:NoBackends|PodsNotInjected)"/;
