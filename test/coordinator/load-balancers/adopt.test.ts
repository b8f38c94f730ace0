import assert from "node:assert/strict";
import { test } from "node:test";
import type { WantedBackend } from "../../../coordinator/domain/intent/backends.ts";
import type { Target } from "../../../coordinator/domain/load-balancer.ts";
import { adopt, ClaimedPlaces } from "../../../coordinator/load-balancers/adopt.ts";
import { DrainingTargets } from "../../../coordinator/load-balancers/draining.ts";
import { Lanes } from "../../../coordinator/load-balancers/lanes.ts";
import { RefusedItems } from "../../../coordinator/load-balancers/refused-items.ts";
import { aBackend, aDesired, aListener, aLoadBalancer, aTarget, aWantedHttpListener, LISTENER_NAME } from "../../builders.ts";
import { aFakeClock, silentLog } from "../pods.ts";
import { memoryClaims } from "../stage.ts";

const { signal } = new AbortController();

/** What passes over one listener adopt, by somebody who remembers the passes before, and who looks up so many claims. */
function aWorld() {
  const claims = memoryClaims();
  const claimed = new ClaimedPlaces();
  const former = new Map<string, string>();
  const takers = new Set<string>();
  let looked = 0;
  const addressClaims = {
    ...claims,
    podOf: (id: string, ip: string) => {
      looked += 1;
      return claims.podOf(id, ip);
    },
  };
  const [wanted, present] = [
    aWantedHttpListener({ name: LISTENER_NAME, protocol: "TCP", backends: [aBackend()] }),
    aListener({ targets: [aTarget()] }),
  ];
  const { rules: _, ...listener } = wanted;
  const world = { desired: aDesired({ listeners: [listener] }), actual: aLoadBalancer({ listeners: [present] }) };
  const pass = async (): Promise<{ readonly adopted: readonly string[]; readonly looked: number }> => {
    const adopted: string[] = [];
    const writer = {
      claim: (_id: string, some: ReadonlyMap<string, string>) =>
        Promise.resolve(void adopted.push(...[...some].map((one) => one.join(" ")))),
    };
    looked = 0;
    const memory = { claimed, refusedItems: new RefusedItems(() => undefined), lanes: new Lanes(), clock: aFakeClock(), log: silentLog };
    const ports = {
      writer,
      addressClaims,
      takesOver: ({ podUid }: WantedBackend) => takers.has(podUid),
      former: (ip: string) => former.get(ip),
    };
    await adopt({ ...ports, ...memory }, world.desired, world.actual, signal);
    return { adopted, looked };
  };
  return {
    pass,
    former,
    takers,
    claim: (ip: string, podUid: string) => claims.claim("lb-1", new Map([[ip, podUid]]), signal),
    forget: (ip: string) => claims.forget("lb-1", [ip]),
    want: (...backends: readonly WantedBackend[]) => void (world.desired = aDesired({ listeners: [{ ...listener, backends }] })),
    bind: (...targets: readonly Target[]) => void (world.actual = { ...world.actual, listeners: [{ ...present, targets }] }),
  };
}

test("a place whose targets are all claimed, each for who is wanted there, is not looked at again", async () => {
  const { pass, claim } = aWorld();
  assert.deepEqual((await pass()).adopted, ["10.244.1.1 pod-1"]);
  await claim("10.244.1.1", "pod-1");
  assert.deepEqual((await pass()).adopted, []);
  assert.deepEqual(await pass(), { adopted: [], looked: 0 });
});

test("it is when a claim at the load balancer is lost or passes to another Pod", async () => {
  const { pass, claim, forget, takers } = aWorld();
  await claim("10.244.1.1", "pod-1");
  await pass();
  forget("10.244.1.1");
  assert.deepEqual((await pass()).adopted, ["10.244.1.1 pod-1"]);
  await claim("10.244.1.1", "pod-0");
  assert.deepEqual((await pass()).adopted, []);
  takers.add("pod-1"); // of which nothing of the load balancer tells
  assert.deepEqual((await pass()).adopted, ["10.244.1.1 pod-1"]);
});

test("it is when something else is bound or wanted there", async () => {
  const { pass, claim, want, bind } = aWorld();
  await claim("10.244.1.1", "pod-1");
  await pass();
  bind(aTarget(), aTarget({ ip: "10.244.1.2" }));
  assert.deepEqual((await pass()).adopted, []);
  want(aBackend(), aBackend({ podUid: "pod-2", ip: "10.244.1.2" }));
  assert.deepEqual((await pass()).adopted, ["10.244.1.2 pod-2"]);
});

test("a target that nobody has claimed is looked at each time: its Pod may have ended meanwhile", async () => {
  const { pass, claim, former, want } = aWorld();
  want();
  assert.deepEqual((await pass()).adopted, []);
  former.set("10.244.1.1", "pod-0");
  assert.deepEqual((await pass()).adopted, ["10.244.1.1 pod-0"]);
  await claim("10.244.1.1", "pod-0");
  assert.deepEqual((await pass()).adopted, []);
});

test("targets at weight 0 are those of each place as it is", () => {
  const draining = new DrainingTargets();
  const slots = (...weights: readonly number[]): readonly string[] => {
    const targets = weights.map((weight, n) => aTarget({ ip: `10.244.1.${n}`, weight }));
    return draining
      .of({ listeners: [aListener({ targets }), aListener({ listenerId: "lbl-2" })] })
      .map(({ listenerId, ip }) => `${listenerId} ${ip}`);
  };
  assert.deepEqual([slots(10, 0), slots(10, 10), slots(0, 0)], [["lbl-1 10.244.1.1"], [], ["lbl-1 10.244.1.0", "lbl-1 10.244.1.1"]]);
  const same = { listeners: [aListener({ targets: [aTarget({ weight: 0 })] })] };
  assert.deepEqual(draining.of(same), draining.of(same));
});
