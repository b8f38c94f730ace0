import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { LONGEST_TASK_MS } from "../../../coordinator/domain/call.ts";
import { type AddressClaims, makeAddressClaims, tellingClaims } from "../../../coordinator/state/address-claims.ts";
import { makeRandom } from "../../cloud/runtime/random.ts";
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

/** An API server that only stores; what it holds is by path. */
function aStore(stored: Record<string, Record<string, string>> = {}) {
  const books = new Map(
    Object.entries(stored).map(([id, data]) => [`/api/v1/namespaces/${NAMESPACE}/configmaps/clb-direct-journal-${id}`, data]),
  );
  const merge = (path: string, data: Readonly<Record<string, string | null>>): void => {
    const all = { ...books.get(path), ...data };
    books.set(path, Object.fromEntries(Object.entries(all).flatMap(([ip, podUid]) => (podUid === null ? [] : [[ip, podUid]]))));
  };
  const notFound = (): never => {
    throw new KubeApiError("configmaps", "notFound", "not found");
  };
  const client = {
    get: async (path: string) => await Promise.resolve(books.has(path) ? { data: books.get(path) } : notFound()),
    patch: async (path: string, body: { data: Record<string, string | null> }) =>
      await Promise.resolve(books.has(path) ? merge(path, body.data) : notFound()),
    create: async (collection: string, body: { metadata: { name: string }; data: Record<string, string> }) =>
      await Promise.resolve(merge(`${collection}/${body.metadata.name}`, body.data)),
    delete: async (path: string) => await Promise.resolve(books.delete(path) || notFound()),
  } as unknown as KubeClient;
  return { client, anew: () => makeAddressClaims(client, NAMESPACE) };
}
const where = (addressClaims: AddressClaims, podUid: string): string[] => [...addressClaims.loadBalancersOf([podUid])].sort();

test("tells the load balancers where a Pod has an address, until the last one is given up", async () => {
  const addressClaims = aStore().anew();
  const claim = (id: string, ip: string, podUid: string) => addressClaims.claim(id, new Map([[ip, podUid]]), signal);
  const both = (): readonly string[] => ["pod-1", "pod-2"].map((podUid) => where(addressClaims, podUid).join(" "));
  for (const [title, change, expected] of [
    ["nothing yet", () => undefined, ["", ""]],
    ["a claim", () => claim("lb-1", "10.244.0.1", "pod-1"), ["lb-1", ""]],
    ["the same claim", () => claim("lb-1", "10.244.0.1", "pod-1"), ["lb-1", ""]],
    ["a second address", () => claim("lb-1", "10.244.0.2", "pod-1"), ["lb-1", ""]],
    ["a second load balancer", () => claim("lb-2", "10.244.0.1", "pod-1"), ["lb-1 lb-2", ""]],
    ["one address passes to another Pod", () => claim("lb-1", "10.244.0.1", "pod-2"), ["lb-1 lb-2", "lb-1"]],
    ["and the other", () => claim("lb-1", "10.244.0.2", "pod-2"), ["lb-2", "lb-1"]],
    ["one of two is forgotten", () => addressClaims.forget("lb-1", ["10.244.0.1", "10.244.0.9"]), ["lb-2", "lb-1"]],
    ["it is forgotten again", () => addressClaims.forget("lb-1", ["10.244.0.1"]), ["lb-2", "lb-1"]],
    ["and the other", () => addressClaims.forget("lb-1", ["10.244.0.2"]), ["lb-2", ""]],
    ["a look that lacks it", () => addressClaims.keepOnly("lb-2", () => false, 1_000), ["lb-2", ""]],
    ["a look that lacks it long after", () => addressClaims.keepOnly("lb-2", () => false, 1_000 + LONGEST_TASK_MS), ["", ""]],
    ["it comes back", () => claim("lb-2", "10.244.0.1", "pod-1"), ["lb-2", ""]],
    ["the load balancer is dropped", () => addressClaims.drop("lb-2", signal), ["", ""]],
    ["it comes back once more", () => claim("lb-2", "10.244.0.1", "pod-2"), ["", "lb-2"]],
  ] as const satisfies readonly (readonly [string, () => Promise<void> | void, readonly string[]])[]) {
    await change();
    assert.deepEqual(both(), expected, title);
  }
});

test("a Pod whose claim could not be stored, or was dropped meanwhile, has no address there", async () => {
  const { client, anew } = aStore();
  const addressClaims = anew();
  const patch = client.patch.bind(client);
  client.patch = () => Promise.reject(new Error("connection reset"));
  await assert.rejects(addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal));
  assert.deepEqual(where(addressClaims, "pod-1"), []);
  client.patch = patch;
  const claim = addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  await addressClaims.drop("lb-1", signal);
  await claim;
  assert.deepEqual(where(addressClaims, "pod-1"), []);
});

test("what is stored counts once, also when it is loaded twice at a time", async () => {
  const addressClaims = aStore({ "lb-1": { "10.244.0.1": "pod-1" } }).anew();
  assert.deepEqual(where(addressClaims, "pod-1"), []);
  await Promise.all([addressClaims.load("lb-1", signal), addressClaims.load("lb-1", signal)]);
  await addressClaims.load("lb-1", signal);
  assert.deepEqual(where(addressClaims, "pod-1"), ["lb-1"]);
  addressClaims.forget("lb-1", ["10.244.0.1"]);
  assert.deepEqual(where(addressClaims, "pod-1"), []);
});

test("tells where a Pod has addresses as a look at every book would, whatever is claimed, forgotten, dropped and loaded anew", async () => {
  const ips = [1, 2, 3, 4].map((n) => `10.244.0.${n}`);
  for (let seed = 1; seed <= 20; seed++) {
    const random = makeRandom(seed);
    const below = (n: number): number => Math.floor(random() * n);
    const { anew } = aStore();
    let addressClaims = anew();
    let nowMs = 0;
    for (let step = 0; step < 150; step++) {
      const id = `lb-${below(3)}`;
      const some = ips.filter(() => random() < 0.4);
      const dice = random();
      nowMs += below(LONGEST_TASK_MS);
      if (dice < 0.5) await addressClaims.claim(id, new Map(some.map((ip) => [ip, `pod-${below(4)}`])), signal);
      else if (dice < 0.7) addressClaims.forget(id, some);
      else if (dice < 0.85) addressClaims.keepOnly(id, (ip) => some.includes(ip), nowMs);
      else if (dice < 0.93) await addressClaims.drop(id, signal);
      else {
        addressClaims = anew();
        for (const one of [0, 1, 2]) await addressClaims.load(`lb-${one}`, signal);
      }
      for (const podUid of [0, 1, 2, 3].map((n) => `pod-${n}`)) {
        const expected = [0, 1, 2].map((n) => `lb-${n}`).filter((one) => ips.some((ip) => addressClaims.podOf(one, ip) === podUid));
        assert.deepEqual(where(addressClaims, podUid), expected, `seed ${seed}, step ${step}`);
      }
    }
  }
});
