import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { FINALIZER } from "../../../common/names.ts";
import type { LoadBalancerFacts } from "../../../coordinator/domain/load-balancer.ts";
import { takeBackAddress } from "../../../coordinator/owners/owner-status.ts";
import { StatusContest } from "../../../coordinator/owners/status-contest.ts";
import { aService, CLUSTER } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";

const facts = (vips: readonly string[], domain?: string): LoadBalancerFacts =>
  ({ loadBalancerId: "lb-1", vips, ...(domain !== undefined && { domain }), tags: {}, running: true }) as unknown as LoadBalancerFacts;

/** What is written of a status that has these addresses, and the answer. */
async function takenBack(
  ingress: readonly string[],
  of: LoadBalancerFacts | undefined,
  { refusal, finalizers = [FINALIZER] }: { readonly refusal?: KubeApiError; readonly finalizers?: readonly string[] } = {},
) {
  const written: unknown[] = [];
  const patch = async <T>(_path: string, body: unknown): Promise<T> => {
    written.push(body);
    if (refusal !== undefined) throw refusal;
    return await Promise.resolve({} as T);
  };
  const clock = aFakeClock();
  const tell = (): void => undefined;
  const contest = new StatusContest({ client: { list: () => Promise.reject(new Error("nobody is told")) }, clock, tell });
  const deps = { client: { patch }, clock, contest, mirror: { read: () => undefined }, clusterId: CLUSTER, tell };
  const object = aService({ uid: "u-1", resourceVersion: "7", ingress, finalizers });
  const done = await takeBackAddress(deps, object, of, new AbortController().signal);
  return { done, written };
}

const CLEARED = [{ metadata: { uid: "u-1", resourceVersion: "7" }, status: { loadBalancer: { ingress: null } } }];

test("an address of ours is taken back from what lives on without us, as long as nobody has written another one", async () => {
  assert.deepEqual(await takenBack(["198.18.0.1"], facts(["198.18.0.1"])), { done: true, written: CLEARED });
  assert.deepEqual(await takenBack(["lb-1.example.com"], facts([], "lb-1.example.com")), { done: true, written: CLEARED });
  for (const [others, of] of [
    [["203.0.113.9"], facts(["198.18.0.1"])],
    [["198.18.0.1", "203.0.113.9"], facts(["198.18.0.1"])],
    [["198.18.0.1"], undefined],
    [[], facts(["198.18.0.1"])],
  ] as const)
    assert.deepEqual(await takenBack(others, of), { done: true, written: [] }, others.join());
});

test("written by somebody else meanwhile: it is looked at again", async () => {
  const conflict = new KubeApiError("PATCH …/status", "conflict", "the object has been modified", { code: 409 });
  assert.deepEqual(await takenBack(["198.18.0.1"], facts(["198.18.0.1"]), { refusal: conflict }), { done: false, written: CLEARED });
});

test("not from one whose finalizer somebody took off: the chart's policy would deny it again and again", async () => {
  assert.deepEqual(await takenBack(["198.18.0.1"], facts(["198.18.0.1"]), { finalizers: [] }), { done: true, written: [] });
});
