/** Pods that were created before their Service was known: told once, with the count and the cure. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import { desiredLoadBalancer } from "../../../coordinator/domain/intent/desire.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { makeNotInjectedTeller } from "../../../coordinator/events/not-injected.ts";
import { anOwner, aPod, aService, CLUSTER } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";

const owner = anOwner();

function aTeller(): {
  readonly told: Problem[];
  readonly clock: ReturnType<typeof aFakeClock>;
  readonly look: (pods: readonly PodFact[], owners?: readonly (typeof owner)[]) => void;
} {
  const told: Problem[] = [];
  const clock = aFakeClock();
  const tell = makeNotInjectedTeller({ clock, tell: (problem) => void told.push(problem), lookAgain: () => undefined });
  const look = (pods: readonly PodFact[], all: readonly (typeof owner)[] = [owner]): void => {
    const owners = all.map((one) => ({ owner: one, wishes: new Map() }));
    tell(desiredLoadBalancer({ loadBalancerId: "lb-1", clusterId: CLUSTER, owners, podsOf: () => pods }));
  };
  return { told, clock, look };
}

const bare = (at: number): PodFact => aPod({ uid: `bare-${at}`, name: `web-${at}`, ips: [`10.244.1.${at + 10}`], hasGate: false });

test("Pods without the gate are told when they have been there for a while, and again only when there are more of them", async () => {
  const { told, clock, look } = aTeller();
  const pods = [aPod(), ...[1, 2, 3, 4].map(bare)];
  look(pods);
  await clock.advance(9_000);
  look(pods);
  assert.equal(told.length, 0);
  await clock.advance(2_000);
  look(pods);
  look(pods);
  assert.deepEqual(
    told.map(({ reason, type, object }) => [reason, type, object.name]),
    [["PodsNotInjected", "Warning", "web"]],
  );
  const [first] = told;
  for (const part of ["4 of 5 Pods (web-1, web-2, web-3 and 1 more)", "kubectl rollout restart", "clb-direct.io/inject=enabled"])
    assert.ok(first?.message.includes(part), first?.message);
  look([aPod(), bare(1)]); // a rollout replaces them
  look([aPod(), bare(1), bare(2)]);
  assert.equal(told.length, 2, "two are more than one");
  look([aPod()]);
  assert.equal(told.length, 2);
});

test("an owner that is none any more is forgotten: whoever comes back with the same Pods has its time to settle", async () => {
  const { told, clock, look } = aTeller();
  look([bare(1)]);
  await clock.advance(11_000);
  look([bare(1)]);
  assert.equal(told.length, 1);
  look([bare(1)], []);
  look([bare(1)]);
  assert.equal(told.length, 1);
  await clock.advance(11_000);
  look([bare(1)]);
  assert.equal(told.length, 2);
});

test("nobody is told of Pods that have it, that end, or that are on the node's network", async () => {
  const { told, clock, look } = aTeller();
  const others = [aPod(), { ...bare(1), deletionAtMs: 1 }, { ...bare(2), hostNetwork: true }];
  look(others);
  await clock.advance(60_000);
  look(others);
  assert.deepEqual(told, []);
});

test("Pods that are to be left alone are none that lack it", async () => {
  const { told, clock, look } = aTeller();
  const alone = { ...bare(1), labels: { ...bare(1).labels, "clb-direct.io/inject": "disabled" } };
  look([aPod(), alone]);
  await clock.advance(11_000);
  look([aPod(), alone]);
  assert.equal(told.length, 0);
  look([aPod(), alone, bare(2)]);
  await clock.advance(11_000);
  look([aPod(), alone, bare(2)]);
  assert.match(told[0]?.message ?? "", /: 1 of 3 Pods \(web-2\) have no readiness gate.*or another webhook takes it off/);
});

test("Pods of kube-system, which the webhook never sees, are told what helps there", async () => {
  const system = anOwner(aService({ namespace: "kube-system" }));
  const { told, clock, look } = aTeller();
  const pod = { ...bare(1), namespace: "kube-system" };
  look([pod], [system]);
  await clock.advance(11_000);
  look([pod], [system]);
  assert.match(told[0]?.message ?? "", /never sees Pods of kube-system.*into their template$/);
});
