/** A label that asks for the gate in words that mean nothing is told on who selects the Pods: controllers read no warnings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { desiredLoadBalancer } from "../../../coordinator/domain/intent/desire.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { makeInjectLabelTeller } from "../../../coordinator/events/inject-label.ts";
import { makeMisfitNamespaces } from "../../../coordinator/state/misfit-namespaces.ts";
import { anOwner, aPod, CLUSTER } from "../../builders.ts";
import { aKube } from "../kube.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const labelled = (at: number, wish: string | undefined) => {
  const pod = aPod({ uid: `pod-${at}`, name: `web-${at}`, ips: [`10.244.1.${at + 10}`] });
  return wish === undefined ? pod : { ...pod, labels: { ...pod.labels, "clb-direct.io/inject": wish } };
};

function toldOf(wishes: readonly (string | undefined)[], ofNamespace?: string): readonly Problem[] {
  const told: Problem[] = [];
  const tell = makeInjectLabelTeller({ tell: (problem) => void told.push(problem), misfitWishOf: () => ofNamespace });
  const owners = [{ owner: anOwner(), wishes: new Map() }];
  const pods = wishes.map((wish, at) => labelled(at, wish));
  tell(desiredLoadBalancer({ loadBalancerId: "lb-1", clusterId: CLUSTER, owners, podsOf: () => pods }));
  return told;
}

test("Pods: once for each word, whatever their number; words that mean something are not told", () => {
  const told = toldOf(["true", undefined, "true", "false", "enabled", "disabled"]);
  assert.deepEqual(
    told.map(({ reason, type, object }) => [reason, type, object.kind, object.name]),
    [
      ["InvalidLabel", "Warning", "Service", "web"],
      ["InvalidLabel", "Warning", "Service", "web"],
    ],
  );
  assert.match(
    told[0]?.message ?? "",
    /label clb-direct\.io\/inject: "true", which means nothing: use "enabled" or "disabled": .*template/,
  );
  assert.match(told[1]?.message ?? "", /inject: "false"/);
});

test("its Namespace, also where nothing is selected yet", () => {
  const [problem, ...more] = toldOf([], "");
  assert.deepEqual([problem?.reason, more], ["InvalidLabel", []]);
  assert.match(problem?.message ?? "", /Namespace demo has label clb-direct\.io\/inject: "", which means nothing: use "enabled"/);
  assert.deepEqual(toldOf([undefined]), []);
});

test("only Namespaces whose label means nothing are read", async (t) => {
  const { client } = await aKube(t);
  const name = (wish: string) => ({ metadata: { name: `of-${wish}`, labels: { "clb-direct.io/inject": wish } } });
  for (const wish of ["enabled", "disabled", "true"]) await client.create("/api/v1/namespaces", name(wish));
  await client.create("/api/v1/namespaces", { metadata: { name: "plain" } });
  const misfits = makeMisfitNamespaces({ client, clock: aFakeClock(), log: silentLog });
  const stopped = new AbortController();
  const run = misfits.run(stopped.signal);
  t.after(async () => {
    stopped.abort();
    await run;
  });
  for (const deadline = Date.now() + 5_000; misfits.wishOf("of-true") === undefined && Date.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(
    ["of-true", "of-enabled", "of-disabled", "plain"].map((one) => misfits.wishOf(one)),
    ["true", undefined, undefined, undefined],
  );
});
