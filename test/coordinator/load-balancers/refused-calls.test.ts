import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Made } from "../../../coordinator/load-balancers/reconcile.ts";
import { anIntent, aPod, aService } from "../../builders.ts";
import { aWorld } from "./one-load-balancer.ts";

type World = ReturnType<typeof aWorld>;
type Port = { readonly port: number; readonly targetPort: number };

/** Refuses every call of the action that says this, as a whole. */
const refusing =
  (action: string, text: RegExp, code: string) =>
  (called: string, request: object): void => {
    if (called === action && text.test(JSON.stringify(request)))
      throw Object.assign(new Error("not like this"), { code, requestId: "req-1" });
  };
const naming = (ip: string): RegExp => new RegExp(`"${RegExp.escape(ip)}"`);
const askFor = ({ intents, entry }: World, ports: readonly Port[]): void => {
  const service = aService({ ports: ports.map((one) => ({ name: `p${one.port}`, protocol: "TCP", ...one })) });
  intents.set({ ...entry, intent: anIntent(service), state: "served" });
};
const HTTP = { port: 80, targetPort: 8080 };
const OTHER = { port: 81, targetPort: 8081 };
/** Addresses at one port of the load balancer. */
const boundAt = ({ stage }: World, port: number): string[] =>
  stage.cloud.state().loadBalancers.flatMap(({ listeners }) => {
    return listeners.filter((one) => one.port === port).flatMap(({ targets }) => targets.map(({ ip }) => ip));
  });

suite("a conflict that the cloud refuses", () => {
  for (const code of ["InvalidParameterValue", "FailedOperation", "InternalError", "UnauthorizedOperation"])
    test(`with ${code}: the others go on, the address is bound nowhere else before it is cleared`, async (t) => {
      const world = aWorld(t);
      const { stage, id, ip, known, passes, bound } = world;
      await passes(5_000, () => bound().length === 3);
      known.end("pod-0");
      known.set(aPod({ uid: "heir", name: "heir", ips: [ip(0)] }));
      known.set(aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.9.9"] }));
      askFor(world, [HTTP, OTHER]);
      stage.intercept.by = refusing("BatchDeregisterTargets", naming(ip(0)), code);
      const tookMs = await passes(60_000, () => boundAt(world, 81).length >= 3);
      assert.ok(tookMs < 10_000, `took ${tookMs} ms`);
      await passes(20_000);
      assert.deepEqual(boundAt(world, 81).toSorted(), [ip(1), ip(2), "10.244.9.9"].toSorted());
      assert.deepEqual([boundAt(world, 80).length, stage.addressClaims.podOf(id, ip(0))], [4, "pod-0"]);
      stage.intercept.by = () => undefined;
      await passes(35_000, () => boundAt(world, 81).length === 4 && boundAt(world, 80).length === 4);
      assert.deepEqual([boundAt(world, 81).length, stage.addressClaims.podOf(id, ip(0))], [4, "heir"]);
    });
});

test("a listener that the cloud refuses to create: those beside it and the calls behind it are made", async (t) => {
  const world = aWorld(t);
  const { stage, ip, known, passes, bound, refused } = world;
  await passes(5_000, () => bound().length === 3);
  stage.intercept.by = refusing("CreateListener", /[[,]82[\],]/, "InvalidParameter.PortCheckFailed");
  askFor(world, [HTTP, OTHER, { port: 82, targetPort: 8082 }, { port: 83, targetPort: 8083 }]);
  known.end("pod-0");
  await passes(20_000, () => boundAt(world, 83).length === 2 && boundAt(world, 81).length === 2 && boundAt(world, 80).length === 2);
  assert.deepEqual([boundAt(world, 81).length, boundAt(world, 83).length, boundAt(world, 80).includes(ip(0))], [2, 2, false]);
  assert.ok(refused.length > 0 && refused.every((line) => line.startsWith("structure ")), refused.join("\n"));
});

test("a weight that the cloud refuses to drain: its neighbours are drained, and what is new is bound", async (t) => {
  const { stage, ip, known, passes, bound } = aWorld(t, { pods: 8 });
  await passes(5_000, () => bound().length === 8);
  stage.intercept.by = refusing("BatchModifyTargetWeight", naming(ip(2)), "InvalidParameterValue");
  for (let n = 0; n < 4; n++)
    known.set(aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [ip(n)], deletionAtMs: stage.clock.now() + 30_000 }));
  known.set(aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.9.9"] }));
  const idle = (): string[] =>
    stage.cloud.state().loadBalancers.flatMap((one) => {
      return one.listeners.flatMap(({ targets }) => targets.filter(({ weight }) => weight === 0).map((target) => target.ip));
    });
  const tookMs = await passes(30_000, () => idle().length === 3 && bound().includes("10.244.9.9"));
  assert.deepEqual([idle().toSorted(), bound().includes("10.244.9.9")], [[ip(0), ip(1), ip(3)], true]);
  assert.ok(tookMs < 8_000, `took ${tookMs} ms`);
});

test("a listener that the cloud does not delete: the one beside it goes", async (t) => {
  const world = aWorld(t);
  const { stage, id, passes, refused } = world;
  askFor(world, [HTTP, OTHER, { port: 82, targetPort: 8082 }]);
  await passes(20_000, () => [80, 81, 82].every((port) => boundAt(world, port).length === 3));
  const kept = stage.mirror.read(id)?.listeners.find(({ port }) => port === 81)?.listenerId ?? "";
  stage.intercept.by = refusing("DeleteLoadBalancerListeners", naming(kept), "FailedOperation");
  askFor(world, [HTTP]);
  const listeners = () => stage.cloud.state().loadBalancers.flatMap((one) => one.listeners.map(({ port }) => port));
  await passes(20_000, () => listeners().length === 2);
  await passes(5_000);
  assert.deepEqual(
    listeners().toSorted((a, b) => a - b),
    [80, 81],
  );
  assert.ok(refused.length > 0 && refused.every((line) => line.startsWith("delete ")), refused.join("\n"));
});

test("a listener that is refused for ever gives binds no right to overtake drains", async (t) => {
  const made: Made[] = [];
  const world = aWorld(t, { deps: { onMade: (one) => void made.push(one) } });
  const { stage, ip, known, passes, bound } = world;
  stage.intercept.by = refusing("CreateListener", /[[,]81[\],]/, "InvalidParameter.PortCheckFailed");
  askFor(world, [HTTP, OTHER]);
  await passes(20_000, () => bound().length === 3);
  await passes(60_000); // far more than ten writes take
  made.length = 0;
  known.set(aPod({ uid: "pod-0", name: "web-0", ips: [ip(0)], deletionAtMs: stage.clock.now() + 30_000 }));
  known.set(aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.9.9"] }));
  await passes(4_000, () => bound().includes("10.244.9.9"));
  const lanes = made.filter(({ result }) => result === "ok").map(({ call }) => call.lane);
  assert.deepEqual(lanes.slice(0, 2), ["drain", "bind"]);
});

test("what was learned of a load balancer is forgotten when it is nobody's any more", async (t) => {
  const made: Made[] = [];
  const world = aWorld(t, { pods: 2, deps: { onMade: (one) => void made.push(one) } });
  const { stage, id, ip, intents, entry, known, refusedItems, pass, passes, bound, listenerId } = world;
  stage.intercept.by = refusing("BatchRegisterTargets", naming(ip(0)), "InvalidParameterValue");
  await passes(20_000, () => bound().length === 1);
  await passes(5_000);
  stage.cloud.faults.add({ kind: "locked", hold: "20s", action: "BatchRegisterTargets", count: 1 });
  known.set(aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.9.9"] }));
  await passes(5_000); // it waits for the lock
  const slot = `${listenerId()} ${ip(0)}:8080`;
  assert.match(refusedItems.why(id, slot, "pod-0") ?? "", /not like this/);
  intents.forgetLoadBalancer(id);
  assert.deepEqual(await pass(), { kind: "done" });
  assert.equal(refusedItems.why(id, slot, "pod-0"), undefined);
  await stage.clock.advance(3_600_000);
  intents.set({ ...entry, state: "served" });
  made.length = 0;
  await passes(2_000, () => made.length > 0);
  assert.ok((made[0]?.waitedMs ?? Number.POSITIVE_INFINITY) < 1_000, `waited ${made[0]?.waitedMs} ms`);
});
