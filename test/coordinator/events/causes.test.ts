/** Why a bound backend's weight changes: as it stands in the write log. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Slot } from "../../../coordinator/domain/load-balancer.ts";
import { makeCauses, reasonsOf } from "../../../coordinator/events/causes.ts";
import { aPod } from "../../builders.ts";

const SLOT: Slot = { listenerId: "lbl-1", ip: "10.244.1.1", port: 8080 };

for (const [name, containersReady, weight, because] of [
  ["its Pod is not ready", false, 0, "Pod demo/web-1 is not ready"],
  ["its Pod is ready again", true, 10, "Pod demo/web-1 gets its weight back"],
  ["the Service gives it none", true, 0, "Pod demo/web-1 is to have no weight"],
] as const)
  test(name, () => {
    const causes = makeCauses({
      mirror: { listeners: () => [] },
      addressClaims: { podOf: () => "pod-1" },
      listenerOwners: { of: () => undefined, ofNewRule: () => undefined },
      intents: { get: () => undefined },
      facts: { pods: new Map([["pod-1", aPod({ containersReady })]]) },
      podName: () => "Pod demo/web-1",
      whyLeaves: () => undefined,
    })("lb-1");
    const lane = weight === 0 ? ("tune" as const) : ("bind" as const);
    assert.deepEqual(reasonsOf({ lane, weights: [{ ...SLOT, weight }] }, causes), [because]);
  });
