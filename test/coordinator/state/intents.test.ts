import assert from "node:assert/strict";
import { test } from "node:test";
import type { OwnerIntent } from "../../../coordinator/domain/intent/owner-intent.ts";
import type { ServiceIntent } from "../../../coordinator/domain/intent/service.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { anIntent, anOwner, aPod, aService, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";

type Change = { readonly loadBalancerId?: string; readonly intent?: ServiceIntent };
const anEntry = (uid: string, order: string, { loadBalancerId = "lb-1", intent }: Change = {}): OwnerIntent => {
  const service = aService({ uid, name: uid });
  return anOwner(service, { state: "served", intent: intent ?? anIntent(service), loadBalancerId }, order);
};
const someIntents = () =>
  new Intents({
    clusterId: CLUSTER,
    pods: makePodIndex(somePodFacts(aPod(), aPod({ uid: "pod-2", namespace: "shop" })).facts),
    wishes: (namespace, name) => new Map(namespace === "demo" && name === "checks" ? [["TCP/80", { intervalSeconds: 7 }]] : []),
  });

test("orders the Services of a load balancer by age, whatever came first here", () => {
  const intents = someIntents();
  intents.set(anEntry("young", "2026-01-02T00:00:00Z b"));
  intents.set(anEntry("old", "2026-01-01T00:00:00Z c"));
  intents.set(anEntry("elsewhere", "2025-01-01T00:00:00Z a", { loadBalancerId: "lb-2" }));
  assert.deepEqual(
    intents.of("lb-1").map(({ ref }) => ref.name),
    ["old", "young"],
  );
  const { listeners, conflicts } = intents.desired("lb-1");
  assert.deepEqual([listeners.map(({ owner }) => owner.name), conflicts.map(({ owner }) => owner.name)], [["old"], ["young"]]);
});

test("wants the Pods of the Service's namespace, and the health check of its TkeServiceConfig", () => {
  const intents = someIntents();
  intents.set(anEntry("a", "1", { intent: { ...anIntent(), configName: "checks" } }));
  const [listener] = intents.desired("lb-1").listeners;
  assert.deepEqual([listener?.backends.map(({ podUid }) => podUid), listener?.healthCheck], [["pod-1"], { intervalSeconds: 7 }]);
});

test("says whether what an owner asks for, or where it stands, is news; where its load balancer was forgotten meanwhile it is", () => {
  const intents = someIntents();
  const said = [anEntry("a", "1"), anEntry("a", "1"), anEntry("a", "2"), anEntry("a", "2", { loadBalancerId: "lb-2" })].map((one) =>
    intents.set(one),
  );
  assert.deepEqual(said, [true, false, true, true]);
  intents.forgetLoadBalancer("lb-2");
  const again = intents.set(anEntry("a", "2", { loadBalancerId: "lb-2" }));
  assert.deepEqual([again, intents.loadBalancerIds.has("lb-2")], [true, true]);
});

test("keeps a load balancer whose Service vanished, until nothing of ours is left there", () => {
  const intents = someIntents();
  intents.set(anEntry("a", "1"));
  intents.remove("a");
  assert.deepEqual([[...intents.loadBalancerIds], intents.desired("lb-1").owners, intents.get("a")], [["lb-1"], [], undefined]);
  intents.forgetLoadBalancer("lb-1");
  assert.deepEqual([...intents.loadBalancerIds], []);
});

test("has asked for the Pods that a Service selects or selected before it was changed, not for others", () => {
  const intents = someIntents();
  const intent = anIntent();
  const pod = aPod();
  const elsewhere = aPod({ namespace: "shop" });
  const asked = (one = pod): boolean => intents.hasAskedFor("a", one, { listenerId: "lbl-1" });
  intents.set(anEntry("a", "1", { intent: { ...intent, selector: { app: "other" } } }));
  assert.equal(asked(), false);
  intents.set(anEntry("a", "1", { intent }));
  assert.equal(asked(), true);
  intents.set(anEntry("a", "1", { intent: { ...intent, selector: { app: "other" } } }));
  assert.deepEqual([asked(), asked(elsewhere), intents.hasAskedFor("b", pod, { listenerId: "lbl-1" })], [true, false, false]);
  intents.remove("a");
  assert.equal(asked(), false);
});
