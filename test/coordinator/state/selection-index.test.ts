import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import type { PodFact } from "../../../common/vocabulary.ts";
import { type Selection, selection } from "../../../coordinator/domain/intent/backends.ts";
import {
  intentOf,
  loadBalancerOf,
  type OwnerIntent,
  type OwnerStanding,
  selectorsOf,
} from "../../../coordinator/domain/intent/owner-intent.ts";
import { selects } from "../../../coordinator/domain/intent/service.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import type { PodSelection } from "../../../coordinator/state/selection-index.ts";
import { anIntent, anOwner, aPod, aService, CLUSTER } from "../../builders.ts";
import { makeRandom } from "../../cloud/runtime/random.ts";
import { somePodFacts } from "../pod-facts.ts";

type Labels = Readonly<Record<string, string>>;
const WEB: Labels = { app: "web" };
const serviceOf = (uid: string, selector: Labels) => aService({ uid, name: uid, selector });
/** Served by "lb-<uid>" unless told otherwise. */
const owner = (uid: string, selector = WEB, standing?: OwnerStanding): OwnerIntent => {
  const service = serviceOf(uid, selector);
  return anOwner(service, standing ?? { state: "served", intent: anIntent(service), loadBalancerId: `lb-${uid}` }, uid);
};

/** What is told of each change of a Pod; `bound`: load balancers where an address is claimed, by the Pod's UID. */
function aWorld(...given: readonly PodFact[]) {
  const known = somePodFacts(...given);
  const bound = new Map<string, readonly string[]>();
  const intents = new Intents({
    clusterId: CLUSTER,
    pods: makePodIndex(known.facts),
    wishes: () => new Map(),
    boundAt: (names) => names.flatMap((name) => bound.get(name) ?? []),
  });
  const told: PodSelection[] = [];
  intents.selections.follow((selected) => void told.push(selected));
  const brief = ({ selecting, left, loadBalancerIds }: PodSelection): string =>
    [[...selecting], [...left], [...loadBalancerIds]].map((names) => names.sort().join(" ")).join(" | ");
  /** Of the last change: owners that select | owners that it left | load balancers. */
  const last = (): string => told.slice(-1).map(brief).join("");
  const podsOf = (uid: string): string[] => [...intents.selections.podsOf({ uid })].map((pod) => pod.uid).sort();
  return { ...known, intents, selections: intents.selections, bound, told, last, podsOf };
}

test("tells once of each change of a Pod who selects it, who did until it was relabelled, and which load balancers that concerns", () => {
  const { intents, set, end, told, last } = aWorld();
  intents.set(owner("a"));
  intents.set(owner("b", { app: "web", tier: "front" }));
  intents.set(owner("c", { app: "api" }));
  for (const [labels, expected] of [
    [WEB, "a |  | lb-a"],
    [{ app: "web", tier: "front" }, "a b |  | lb-a lb-b"],
    [{ app: "web", tier: "back" }, "a | b | lb-a lb-b"],
    [{ app: "web", tier: "back", zone: "a" }, "a |  | lb-a"], // what it left it left the last time
    [{ app: "api" }, "c | a | lb-a lb-c"],
    [{}, " | c | lb-c"],
    [{}, " |  | "],
  ] as const satisfies readonly (readonly [Labels, string])[]) {
    set(aPod({ labels }));
    assert.equal(last(), expected);
  }
  set(aPod({ labels: WEB }));
  end("pod-1");
  assert.equal(last(), "a |  | lb-a"); // as it was last
  assert.equal(told.length, 9);
});

test("a Pod in another namespace is nobody's", () => {
  const { intents, set, last } = aWorld();
  intents.set(owner("a"));
  set(aPod({ namespace: "shop" }));
  assert.equal(last(), " |  | ");
});

test("names the load balancers where a Pod is bound, also long after it lost its labels", () => {
  const { intents, set, end, bound, last } = aWorld();
  intents.set(owner("a"));
  bound.set("pod-1", ["lb-a", "lb-z"]);
  set(aPod());
  assert.equal(last(), "a |  | lb-a lb-z");
  set(aPod({ labels: {} }));
  set(aPod({ labels: {}, containersReady: false }));
  assert.equal(last(), " |  | lb-a lb-z");
  end("pod-1");
  assert.equal(last(), " |  | lb-a lb-z");
});

for (const [title, standing, expected] of [
  ["waits for its load balancer", { state: "waiting", intent: anIntent(), blocker: undefined }, " |  | "],
  // What it has stays as it is; where the Pod is bound, that says so.
  ["cannot be read", { state: "held", loadBalancerId: "lb-a", blocker: undefined }, " |  | "],
  ["is deleted", { state: "deleted", intent: anIntent(), loadBalancerId: "lb-a" }, "a |  | lb-a"],
  ["is deleted and was never read", { state: "deleted", intent: undefined, loadBalancerId: "lb-a" }, " |  | "],
  ["is deleted and had no load balancer", { state: "deleted", intent: anIntent(), loadBalancerId: undefined }, " |  | "],
] as const satisfies readonly (readonly [string, OwnerStanding, string])[])
  test(`an owner that ${title}: concerns "${expected}", and asks for its Pods all the same`, () => {
    const { intents, selections, set, end, podsOf, last } = aWorld();
    intents.set(owner("a", WEB, standing));
    set(aPod());
    assert.deepEqual([last(), podsOf("a"), selections.ownersSelecting(aPod()).map(({ ref }) => ref.uid)], [expected, ["pod-1"], ["a"]]);
    end("pod-1");
    assert.deepEqual([last(), podsOf("a")], [expected, []]);
  });

test("an owner that moves to another load balancer takes its Pods along", () => {
  const { intents, set, last } = aWorld(aPod());
  intents.set(owner("a"));
  intents.set(owner("a", WEB, { state: "served", intent: anIntent(serviceOf("a", WEB)), loadBalancerId: "lb-2" }));
  set(aPod({ containersReady: false }));
  assert.equal(last(), "a |  | lb-2");
});

test("a Pod of which only the version and the gate have changed concerns no load balancer; one whose gate was turned back does", () => {
  const { intents, selections, set, bound, last, podsOf } = aWorld(aPod({ hasGate: true }));
  intents.set(owner("a"));
  bound.set("pod-1", ["lb-z"]);
  const waiting = () => [...selections.waitingOf("a")];
  assert.deepEqual(waiting(), ["pod-1"]);
  set(aPod({ hasGate: true, gate: "True", resourceVersion: "2" }));
  assert.deepEqual([last(), waiting(), podsOf("a")], ["a |  | ", [], ["pod-1"]]);
  assert.equal([...selections.podsOf({ uid: "a" })][0]?.resourceVersion, "2");
  set(aPod({ hasGate: true, gate: "True", resourceVersion: "3" }));
  assert.equal(last(), "a |  | ");
  set(aPod({ hasGate: true, gate: "False", resourceVersion: "4" }));
  assert.deepEqual([last(), waiting()], ["a |  | lb-a lb-z", ["pod-1"]]);
});

test("the Pods of an owner follow their labels, its selector and their ends; those that came before it count", () => {
  const { intents, set, end, podsOf } = aWorld(aPod(), aPod({ uid: "elsewhere", namespace: "shop" }));
  intents.set(owner("a"));
  assert.deepEqual(podsOf("a"), ["pod-1"]);
  set(aPod({ uid: "pod-2" }));
  set(aPod({ uid: "pod-3", labels: { app: "api" } }));
  assert.deepEqual(podsOf("a"), ["pod-1", "pod-2"]);
  set(aPod({ labels: { app: "api" } }));
  assert.deepEqual(podsOf("a"), ["pod-2"]);
  intents.set(owner("a", { app: "api" }));
  assert.deepEqual(podsOf("a"), ["pod-1", "pod-3"]);
  set(aPod({ uid: "pod-2", labels: { app: "api", tier: "front" } }));
  end("pod-3");
  assert.deepEqual(podsOf("a"), ["pod-1", "pod-2"]);
  intents.remove("a");
  assert.deepEqual([podsOf("a"), podsOf("never there")], [[], []]);
});

test("the Pods of an owner are the facts as they are now", () => {
  const { intents, selections, set } = aWorld(aPod());
  intents.set(owner("a"));
  set(aPod({ containersReady: false }));
  assert.deepEqual(
    [...selections.podsOf({ uid: "a" })].map(({ containersReady }) => containersReady),
    [false],
  );
});

test("what a port selects is asked for again exactly when a Pod has changed that it selects or selected", () => {
  const { intents, selections, set, end } = aWorld(aPod());
  const kept = owner("a");
  intents.set(kept);
  intents.set(owner("b", { app: "api" }));
  const intent = anIntent(serviceOf("a", WEB));
  const [port] = intent.ports;
  assert.ok(port !== undefined);
  let asked = 0;
  const select = (): Selection => {
    asked += 1;
    return selection(intent, port, selections.podsOf({ uid: "a" }));
  };
  const ofPort = (): Selection => selections.ofPort(kept.ref, intent, port, select);
  /** How often it was asked for because of this. */
  const after = (change: () => void): number => {
    change();
    const before = asked;
    ofPort();
    ofPort();
    return asked - before;
  };
  assert.equal(
    after(() => undefined),
    1,
  );
  for (const [title, change, expected] of [
    ["nothing", () => undefined, 0],
    ["a Pod of another Service", () => set(aPod({ uid: "other", labels: { app: "api" } })), 0],
    ["a Pod of another namespace", () => set(aPod({ uid: "elsewhere", namespace: "shop" })), 0],
    ["one more Pod", () => set(aPod({ uid: "pod-2", ips: ["10.244.1.2"] })), 1],
    ["a Pod that is not ready any more", () => set(aPod({ uid: "pod-2", ips: ["10.244.1.2"], containersReady: false })), 1],
    ["a Pod that loses its label", () => set(aPod({ uid: "pod-2", labels: {} })), 1],
    ["the same Pod afterwards", () => set(aPod({ uid: "pod-2", labels: {}, resourceVersion: "3" })), 0],
    ["the end of a Pod", () => end("pod-1"), 1],
    ["the same intent once more", () => intents.set(owner("a")), 0],
    ["another owner", () => intents.set(owner("b", WEB)), 0],
  ] as const satisfies readonly (readonly [string, () => void, number])[])
    assert.equal(after(change), expected, title);
  assert.deepEqual(ofPort().backends, []);
});

test("what a port selects is asked for again when its owner asks for another port, of the same Pods", () => {
  const { intents, podsOf } = aWorld(aPod());
  const set = (targetPort: number): unknown =>
    intents.set(anOwner(aService({ uid: "a", ports: [{ name: "", protocol: "TCP", port: 80, targetPort }] })));
  const backendPorts = (): number[] => intents.desired("lb-1").listeners.flatMap(({ backends }) => backends.map(({ port }) => port));
  set(8080);
  assert.deepEqual(backendPorts(), [8080]);
  set(9090);
  assert.deepEqual([backendPorts(), podsOf("a")], [[9090], ["pod-1"]]);
});

test("backends that come out the same stay the same object, so that no place has to be planned anew", () => {
  const { intents, set } = aWorld(aPod());
  intents.set(owner("a"));
  const backends = () => intents.desired("lb-a").listeners[0]?.backends;
  const before = backends();
  set(aPod({ gate: "True" }));
  assert.equal(backends(), before);
  assert.equal(intents.desired("lb-a").listeners[0]?.standings[0]?.pod.gate, "True");
  set(aPod({ gate: "True", containersReady: false }));
  assert.notEqual(backends(), before);
});

test("tells which watched Services select a Pod, whosever they are, and who of the owners, oldest first", () => {
  const { intents, selections } = aWorld();
  for (const [uid, order] of [
    ["young", "2026-01-03T00:00:00Z a"],
    ["old", "2026-01-01T00:00:00Z c"],
    ["middle", "2026-01-02T00:00:00Z b"],
  ] as const)
    intents.set(anOwner(serviceOf(uid, WEB), undefined, order));
  const owners = (labels = WEB): string[] => selections.ownersSelecting(aPod({ labels })).map(({ ref }) => ref.uid);
  assert.deepEqual([owners(), owners({ app: "api" })], [["old", "middle", "young"], []]);
  intents.remove("middle");
  assert.deepEqual(owners(), ["old", "young"]);
  const services = (change: Partial<PodFact> = {}): readonly string[] => [...selections.servicesSelecting(aPod(change))].sort();
  assert.deepEqual(services(), []); // owners are another book
  selections.setService("old", serviceOf("old", WEB));
  selections.setService("a-cluster-ip", serviceOf("a-cluster-ip", WEB));
  assert.deepEqual([services(), services({ namespace: "shop" }), services({ labels: {} })], [["a-cluster-ip", "old"], [], []]);
  selections.setService("old", serviceOf("old", { app: "api" }));
  assert.deepEqual([services(), services({ labels: { app: "api" } })], [["a-cluster-ip"], ["old"]]);
  selections.deleteService("a-cluster-ip");
  assert.deepEqual(services(), []);
});

/** Owners, Pods and changes out of one number; few of each, so that much coincides. */
function aMess(seed: number) {
  const random = makeRandom(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const labels = (most: number): Labels =>
    Object.fromEntries(Array.from({ length: below(most) + 1 }, () => [`l${below(3)}`, `${below(2)}`]));
  const standing = (service: ReturnType<typeof serviceOf>): OwnerStanding => {
    const intent = anIntent(service);
    const loadBalancerId = `lb-${below(3)}`;
    const standings: readonly OwnerStanding[] = [
      { state: "served", intent, loadBalancerId },
      { state: "served", intent, loadBalancerId },
      { state: "waiting", intent, blocker: undefined },
      { state: "held", loadBalancerId, blocker: undefined },
      { state: "deleted", intent, loadBalancerId },
    ];
    return standings[below(standings.length)] ?? { state: "held", loadBalancerId: undefined, blocker: undefined };
  };
  const anyOwner = (): OwnerIntent => {
    const uid = `owner-${below(6)}`;
    const service = { ...serviceOf(uid, labels(2)), namespace: uid < "owner-4" ? "demo" : "shop" };
    return anOwner(service, standing(service), uid);
  };
  const anyPod = (): PodFact => {
    const n = below(10);
    const ips = [`10.244.1.${n}`];
    const gate = random() < 0.5 ? "True" : "absent";
    return aPod({ uid: `pod-${n}`, ips, namespace: n < 7 ? "demo" : "shop", labels: labels(3), containersReady: random() < 0.7, gate });
  };
  return { random, below, anyOwner, anyPod };
}

/** What somebody finds who looks at everything. */
function naive(
  owners: ReadonlyMap<string, OwnerIntent>,
  pods: ReadonlyMap<string, PodFact>,
  bound: ReadonlyMap<string, readonly string[]>,
) {
  const isAskedFor = (one: OwnerIntent, pod: PodFact): boolean =>
    one.ref.namespace === pod.namespace && selectorsOf(one).some((selector) => selects(selector, pod.labels));
  const served = [...owners.values()].filter((one) => intentOf(one) !== undefined && loadBalancerOf(one) !== undefined);
  const uids = (of: readonly OwnerIntent[]): string[] => of.map(({ ref }) => ref.uid).sort();
  return {
    told: (before: PodFact | undefined, after: PodFact | undefined): string => {
      const pod = after ?? before;
      const selecting = served.filter((one) => pod !== undefined && isAskedFor(one, pod));
      const left = served.filter((one) => before !== undefined && isAskedFor(one, before) && !selecting.includes(one));
      const turnedBack = before?.gate === "True" && after?.gate !== "True"; // these Pods have our gate and live
      const isSame =
        before !== undefined && after !== undefined && !turnedBack && isDeepStrictEqual({ ...before, gate: "" }, { ...after, gate: "" });
      const concerned = [...[...selecting, ...left].flatMap((one) => loadBalancerOf(one) ?? []), ...(bound.get(pod?.uid ?? "") ?? [])];
      const ids = isSame ? [] : concerned;
      return [uids(selecting), uids(left), [...new Set(ids)].sort()].map((names) => names.join(" ")).join(" | ");
    },
    podsOf: (one: OwnerIntent): string[] => [...pods.values()].filter((pod) => isAskedFor(one, pod)).map(({ uid }) => uid),
    ownersSelecting: (pod: PodFact): string[] => uids([...owners.values()].filter((one) => isAskedFor(one, pod))),
    /** Address and readiness of the backends of its only port. */
    backends: (one: OwnerIntent): string[] => {
      const intent = intentOf(one);
      const [port] = intent?.ports ?? [];
      if (intent === undefined || port === undefined) return [];
      return selection(intent, port, pods.values()).backends.map(({ ip, bindable }) => `${ip} ${bindable}`);
    },
  };
}

test("finds what a look at every owner and Pod finds, whatever changes", () => {
  let relabelled = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const { random, below, anyOwner, anyPod } = aMess(seed);
    const { facts, intents, selections, set, end, bound, told, last, podsOf } = aWorld(...Array.from({ length: 5 }, anyPod));
    const owners = new Map<string, OwnerIntent>();
    const look = () => naive(owners, facts.pods, bound);
    for (let step = 0; step < 120; step++) {
      const at = `seed ${seed}, step ${step}`;
      const dice = random();
      const before = told.length;
      if (dice < 0.3) {
        const one = anyOwner();
        owners.set(one.ref.uid, one);
        intents.set(one);
      } else if (dice < 0.35) {
        const uid = `owner-${below(6)}`;
        owners.delete(uid);
        intents.remove(uid);
      } else {
        const pod = anyPod();
        const former = facts.pods.get(pod.uid);
        if (random() < 0.3) bound.set(pod.uid, [`lb-${below(5)}`]);
        const after = random() < 0.8 ? pod : undefined;
        if (after !== undefined) set(after);
        else if (former !== undefined) end(pod.uid);
        if (after !== undefined || former !== undefined) {
          assert.equal(last(), look().told(former, after), at);
          assert.equal(told.length, before + 1, at);
          if (last().split(" | ")[1] !== "") relabelled += 1;
        }
      }
      for (const one of owners.values()) assert.deepEqual(podsOf(one.ref.uid), look().podsOf(one).sort(), at);
      for (const pod of facts.pods.values())
        assert.deepEqual(
          selections.ownersSelecting(pod).map(({ ref }) => ref.uid),
          look().ownersSelecting(pod), // the order of age is that of the names here
          at,
        );
      for (const id of ["lb-0", "lb-1", "lb-2"])
        for (const { owner: ref, backends } of intents.desired(id).listeners) {
          const one = owners.get(ref.uid);
          assert.ok(one !== undefined, at);
          assert.deepEqual(backends.map(({ ip, bindable }) => `${ip} ${bindable}`).sort(), look().backends(one).sort(), at);
        }
    }
  }
  assert.ok(relabelled > 300, `only ${relabelled} Pods left an owner: too little happens`);
});

test("the Pod that changed last comes last: of two that are told with one address it has it, whoever was known first", () => {
  const known = somePodFacts(aPod({ uid: "heir", ips: [] }), aPod({ uid: "former", ips: ["10.244.1.9"] }));
  const intents = new Intents({ clusterId: CLUSTER, pods: makePodIndex(known.facts), wishes: () => new Map() });
  intents.set(anOwner());
  const wanted = (): (string | undefined)[] => intents.desired("lb-1").listeners.map(({ backends }) => backends.at(-1)?.podUid);
  known.set(aPod({ uid: "heir", ips: ["10.244.1.9"] }));
  assert.deepEqual(wanted(), ["heir"]);
  known.set(aPod({ uid: "former", ips: ["10.244.1.9"], startedAtMs: 7 }));
  assert.deepEqual(wanted(), ["former"]);
});
