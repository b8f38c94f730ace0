import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { EndpointSlice } from "../../../coordinator/domain/intent/endpoints.ts";
import { EndpointFacts } from "../../../coordinator/state/endpoint-facts.ts";
import type { EndpointSlices } from "../../../coordinator/state/endpoint-slices.ts";
import type { PodChange } from "../../../coordinator/state/pod-facts.ts";
import { aPod } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";

const aSlice = (change: Partial<EndpointSlice> = {}): EndpointSlice => ({
  uid: "slice-1",
  resourceVersion: "1",
  namespace: "demo",
  name: "db-1",
  service: "db",
  addressType: "IPv4",
  endpoints: [{ addresses: ["10.244.1.1"], terminating: false, podUid: undefined }],
  ports: { "TCP/sql": 5432 },
  ...change,
});

function world(pods: readonly PodFact[], slices: readonly EndpointSlice[] = []) {
  const known = somePodFacts(...pods);
  const confirmed: string[] = [];
  const facts = { ...known.facts, confirm: (names: readonly string[]) => (confirmed.push(...names), Promise.resolve()) };
  let follower: Parameters<EndpointSlices["follow"]>[0] = () => undefined;
  const told = new EndpointFacts(facts, { all: slices, follow: (one) => ((follower = one), () => undefined) });
  const changes: PodChange[] = [];
  told.subscribe((change) => void changes.push(change));
  return { ...known, told, changes, confirmed, change: (before?: EndpointSlice, after?: EndpointSlice) => follower(before, after) };
}
const marks = (pod: PodFact | undefined): unknown => pod && [pod.labels, pod.endpoints];
const MARKED = [{ app: "web", "endpoint of db": "" }, { db: { "TCP/sql": 5432 } }];
const BARE = [{ app: "web" }, undefined];

test("without slices the facts are passed on as they are", () => {
  const pod = aPod();
  const { told, set, changes, end } = world([pod]);
  assert.equal(told.pods.get("pod-1"), pod);
  assert.deepEqual([...told.pods.values()], [pod]);
  const next = aPod({ containersReady: false });
  set(next);
  assert.deepEqual([changes.at(-1)?.before === pod, changes.at(-1)?.after === next], [true, true]);
  end("pod-1");
  assert.deepEqual([changes.at(-1)?.end, told.pods.size], ["deleted", 0]);
});

test("a slice marks the Pod that has its address, whichever comes first, and the mark goes with it", () => {
  const slice = aSlice();
  const first = world([aPod(), aPod({ uid: "other", ips: ["10.244.1.2"] })], [slice]);
  assert.deepEqual(marks(first.told.pods.get("pod-1")), MARKED);
  assert.deepEqual([...first.told.pods.values()].map(marks), [MARKED, BARE]);
  assert.deepEqual(
    [...first.told.pods].map(([uid]) => uid),
    ["pod-1", "other"],
  );
  first.change(slice, undefined);
  assert.deepEqual(marks(first.told.pods.get("pod-1")), BARE);
  assert.deepEqual([marks(first.changes.at(-1)?.before), marks(first.changes.at(-1)?.after)], [MARKED, BARE]);

  const later = world([]);
  later.change(undefined, slice);
  later.set(aPod());
  assert.deepEqual(marks(later.changes.at(-1)?.after), MARKED);
  assert.deepEqual(later.confirmed, ["10.244.1.1"], "a Pod that only its agent has reported is read");
  later.end("pod-1");
  assert.deepEqual([marks(later.changes.at(-1)?.before), later.changes.at(-1)?.after], [MARKED, undefined]);
});

test("a Pod gets and loses the mark with its address", () => {
  const { set, changes } = world([aPod({ ips: [] })], [aSlice()]);
  set(aPod());
  assert.deepEqual([marks(changes.at(-1)?.before), marks(changes.at(-1)?.after)], [BARE, MARKED]);
  set(aPod({ ips: ["10.244.1.9"] }));
  assert.deepEqual([marks(changes.at(-1)?.before), marks(changes.at(-1)?.after)], [MARKED, BARE]);
});

test("what a slice says of somebody else is nobody's: another Namespace, a hostNetwork Pod, another Pod's UID, an endpoint that ends", () => {
  const endpoint = { addresses: ["10.244.1.1"], terminating: false, podUid: undefined };
  const nobody: readonly (readonly [Partial<PodFact>, Partial<EndpointSlice>])[] = [
    [{ namespace: "shop" }, {}],
    [{ hostNetwork: true }, {}],
    [{}, { endpoints: [{ ...endpoint, podUid: "former" }] }],
    [{}, { endpoints: [{ ...endpoint, terminating: true }] }],
  ];
  for (const [pod, slice] of nobody) assert.deepEqual(marks(world([aPod(pod)], [aSlice(slice)]).told.pods.get("pod-1")), BARE);
});

test("of several slices of one Service the ports of all count", () => {
  const second = aSlice({ uid: "slice-2", name: "db-2", ports: { "TCP/admin": 9000 } });
  const { told } = world([aPod()], [aSlice(), second]);
  assert.deepEqual(told.pods.get("pod-1")?.endpoints, { db: { "TCP/sql": 5432, "TCP/admin": 9000 } });
});
