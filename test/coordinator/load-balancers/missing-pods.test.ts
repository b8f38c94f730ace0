import assert from "node:assert/strict";
import { test } from "node:test";
import { askAboutMissing } from "../../../coordinator/load-balancers/missing-pods.ts";
import type { MissingPod } from "../../../coordinator/safety/end-inquiry.ts";
import { aListener, aTarget } from "../../builders.ts";

test("a missing Pod whose name was never stored is asked for in the Namespace of the listener's owner, not of another one of the load balancer", () => {
  const asked: MissingPod[] = [];
  const [listener, target] = [aListener({ name: "of-press" }), aTarget()];
  const of = (_: string, name: string) => {
    const namespace = name === "of-press" ? "press" : "demo";
    return { kind: "Service" as const, namespace, name: "web", uid: `uid-${namespace}` };
  };
  askAboutMissing(
    {
      facts: { pods: new Map(), endOf: () => undefined, complete: true },
      addressClaims: { podOf: () => "uid-1", claimedPod: () => undefined },
      listenerOwners: { of },
      inquiry: { ask: (_, pods) => void asked.push(...pods) },
    },
    "lb-1",
    { calls: [], findings: [{ kind: "waiting", listener, target }] },
    new AbortController().signal,
  );
  assert.deepEqual(asked, [{ uid: "uid-1", namespace: "press", name: undefined }]);
});
