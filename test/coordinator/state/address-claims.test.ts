import assert from "node:assert/strict";
import { test } from "node:test";
import { makeAddressClaims, tellingClaims } from "../../../coordinator/state/address-claims.ts";
import { aKube } from "../kube.ts";
import { memoryClaims } from "../stage.ts";

const NAMESPACE = "clb-direct";
const { signal } = new AbortController();

test("a claim is stored before it is believed, and survives a restart", async (t) => {
  const { client, cluster, written } = await aKube(t);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  await addressClaims.load("lb-1", signal);
  const claim = addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), undefined);
  await claim;
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), "pod-1");
  await addressClaims.claim("lb-1", new Map([["10.244.0.2", "pod-2"]]), signal);

  const restarted = makeAddressClaims(client, NAMESPACE);
  assert.equal(restarted.podOf("lb-1", "10.244.0.1"), undefined);
  await restarted.load("lb-1", signal);
  assert.deepEqual(
    ["10.244.0.1", "10.244.0.2", "10.244.0.3"].map((ip) => restarted.podOf("lb-1", ip)),
    ["pod-1", "pod-2", undefined],
  );
  assert.equal(restarted.podOf("lb-2", "10.244.0.1"), undefined);
  assert.equal(cluster.store.list("configmaps").length, 1);
  const before = written.length;
  await restarted.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal); // known already
  assert.equal(written.length, before);
});

test("an address that passed to another Pod is the other's", async (t) => {
  const { client } = await aKube(t);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-2"]]), signal);
  const restarted = makeAddressClaims(client, NAMESPACE);
  await restarted.load("lb-1", signal);
  assert.equal(restarted.podOf("lb-1", "10.244.0.1"), "pod-2");
});

test("a claim that could not be stored is not believed", async (t) => {
  const { client, cluster } = await aKube(t);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  cluster.faults.inject({ kind: "fail", code: 500, times: 1, resource: "configmaps" });
  await assert.rejects(addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal));
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), undefined);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), "pod-1");
});

test("a failed load is tried again, because an empty record would make every backend foreign", async (t) => {
  const { client, cluster } = await aKube(t);
  await makeAddressClaims(client, NAMESPACE).claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  cluster.faults.inject({ kind: "fail", code: 503, times: 1, resource: "configmaps" });
  await assert.rejects(addressClaims.load("lb-1", signal));
  await addressClaims.load("lb-1", signal);
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), "pod-1");
});

test("forgets addresses at once, and stores that with the next claim", async (t) => {
  const { client } = await aKube(t);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  const pods = new Map([1, 2, 3].map((n) => [`10.244.0.${n}`, `pod-${n}`]));
  await addressClaims.claim("lb-1", pods, signal);
  addressClaims.forget("lb-1", ["10.244.0.1", "10.244.0.2", "10.244.0.9"]);
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), undefined);
  await addressClaims.claim("lb-1", new Map([["10.244.0.2", "pod-7"]]), signal); // released and given again in one
  const stored = await client.get<{ data: object }>(`/api/v1/namespaces/${NAMESPACE}/configmaps/clb-direct-journal-lb-1`);
  assert.deepEqual(stored.data, { "10.244.0.2": "pod-7", "10.244.0.3": "pod-3" });
});

test("forgets what no read has needed for as long as a bind may be under way, and not before", async (t) => {
  const { client } = await aKube(t);
  const ips = [1, 2, 3, 4].map((n) => `10.244.0.${n}`);
  await makeAddressClaims(client, NAMESPACE).claim("lb-1", new Map(ips.map((ip) => [ip, `pod of ${ip}`])), signal);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  await addressClaims.load("lb-1", signal);
  const known = () => ips.filter((ip) => addressClaims.podOf("lb-1", ip) !== undefined).map((ip) => ip.at(-1));
  const read = (readAtMs: number, ...needed: readonly string[]) => {
    addressClaims.keepOnly("lb-1", (ip, podUid) => podUid === `pod of ${ip}` && needed.includes(ip.at(-1) ?? ""), readAtMs);
    return known();
  };
  assert.deepEqual(read(1_000, "1"), ["1", "2", "3", "4"]);
  assert.deepEqual(read(60_000, "1", "2"), ["1", "2", "3", "4"]); // the second was bound late
  await addressClaims.claim("lb-1", new Map([["10.244.0.3", "pod of 10.244.0.3"]]), signal); // is about to be bound once more
  assert.deepEqual(read(720_999, "1"), ["1", "2", "3", "4"]);
  assert.deepEqual(read(721_000, "1"), ["1", "2", "3"]);
  assert.deepEqual(read(1_440_998, "1"), ["1", "2", "3"]);
  assert.deepEqual(read(1_440_999, "1"), ["1"]);
  await addressClaims.claim("lb-1", new Map([["10.244.0.2", "another"]]), signal);
  const stored = await client.get<{ data: object }>(`/api/v1/namespaces/${NAMESPACE}/configmaps/clb-direct-journal-lb-1`);
  assert.deepEqual(stored.data, { "10.244.0.1": "pod of 10.244.0.1", "10.244.0.2": "another" });
});

test("drops a load balancer's claims, also one that is gone already", async (t) => {
  const { client, cluster } = await aKube(t);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  await addressClaims.drop("lb-1", signal);
  assert.deepEqual([addressClaims.podOf("lb-1", "10.244.0.1"), cluster.store.list("configmaps").length], [undefined, 0]);
  await addressClaims.drop("lb-1", signal);
});

test("a ConfigMap that somebody deleted comes back whole with the next claim", async (t) => {
  const { client } = await aKube(t);
  const addressClaims = makeAddressClaims(client, NAMESPACE);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  await client.delete(`/api/v1/namespaces/${NAMESPACE}/configmaps/clb-direct-journal-lb-1`);
  await addressClaims.claim("lb-1", new Map([["10.244.0.2", "pod-2"]]), signal);
  const restarted = makeAddressClaims(client, NAMESPACE);
  await restarted.load("lb-1", signal);
  assert.deepEqual([restarted.podOf("lb-1", "10.244.0.1"), restarted.podOf("lb-1", "10.244.0.2")], ["pod-1", "pod-2"]);
});

test("tells which addresses a claim gave to another Pod, and which of them had one before", async () => {
  const told: unknown[] = [];
  const addressClaims = tellingClaims(memoryClaims(), (id, { ips, passedOn }) => void told.push([id, ips, [...passedOn]]));
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  const claims = new Map([1, 2].map((n) => [`10.244.0.${n}`, "pod-2"]));
  await addressClaims.claim("lb-1", claims, signal);
  await addressClaims.claim("lb-1", claims, signal); // known already
  assert.deepEqual(told, [
    ["lb-1", ["10.244.0.1"], []],
    ["lb-1", ["10.244.0.1", "10.244.0.2"], ["10.244.0.1"]],
    ["lb-1", [], []],
  ]);
});
