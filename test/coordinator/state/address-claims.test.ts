import assert from "node:assert/strict";
import { test } from "node:test";
import { LONGEST_TASK_MS } from "../../../coordinator/domain/call.ts";
import { type AddressClaims, makeAddressClaims, tellingClaims } from "../../../coordinator/state/address-claims.ts";
import type { Records } from "../../../coordinator/state/records.ts";
import { makeRandom } from "../../cloud/runtime/random.ts";
import { memoryClaims, memoryRecords } from "../stage.ts";

const { signal } = new AbortController();

const anew = (records: Records): AddressClaims => {
  const addressClaims = makeAddressClaims(records, (uid) => ({ node: "node-a", namespace: "demo", name: `name-of-${uid}` }));
  for (const _ of addressClaims.restore());
  return addressClaims;
};

test("a claim is stored before it is believed, and survives a restart", async () => {
  const records = memoryRecords();
  const addressClaims = anew(records);
  const claim = addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), undefined);
  await claim;
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), "pod-1");
  await addressClaims.claim("lb-1", new Map([["10.244.0.2", "pod-2"]]), signal);

  const restarted = anew(records);
  assert.deepEqual(
    ["10.244.0.1", "10.244.0.2", "10.244.0.3"].map((ip) => restarted.podOf("lb-1", ip)),
    ["pod-1", "pod-2", undefined],
  );
  assert.equal(restarted.podOf("lb-2", "10.244.0.1"), undefined);
  assert.deepEqual(restarted.claimedPod("lb-1", "10.244.0.2"), { node: "node-a", namespace: "demo", name: "name-of-pod-2" });
  const before = records.writes;
  await restarted.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal); // known already
  assert.equal(records.writes, before);
});

test("an address that passed to another Pod is the other's", async () => {
  const records = memoryRecords();
  const addressClaims = anew(records);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-2"]]), signal);
  assert.equal(anew(records).podOf("lb-1", "10.244.0.1"), "pod-2");
});

test("a claim that could not be stored is not believed", async () => {
  const records = memoryRecords();
  const addressClaims = anew(records);
  records.failing = new Error("500");
  await assert.rejects(addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal));
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), undefined);
  records.failing = undefined;
  await addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  assert.equal(addressClaims.podOf("lb-1", "10.244.0.1"), "pod-1");
});

test("what the version before stored is read where there is no record, and stored anew with the first claim", async () => {
  const records = memoryRecords({ "lb-1": { "10.244.0.1": "pod-1" }, "lb-2": { "10.244.0.1": "long ago" } });
  await records.put("lb-2", new Map([["ip.10.244.0.9", "pod-9 node-a demo/nine"]]), signal);
  const addressClaims = anew(records);
  assert.deepEqual([addressClaims.podOf("lb-1", "10.244.0.1"), addressClaims.podOf("lb-2", "10.244.0.1")], ["pod-1", undefined]);
  await addressClaims.claim("lb-1", new Map([["10.244.0.2", "pod-2"]]), signal);
  assert.deepEqual([...records.entries("lb-1")].map(([key]) => key).sort(), ["ip.10.244.0.1", "ip.10.244.0.2"]);
});

test("forgets what no read has needed for as long as a bind may be under way, and not before", async () => {
  const records = memoryRecords();
  const ips = [1, 2, 3, 4].map((n) => `10.244.0.${n}`);
  await anew(records).claim("lb-1", new Map(ips.map((ip) => [ip, `pod-of-${ip}`])), signal);
  const addressClaims = anew(records);
  const known = () => ips.filter((ip) => addressClaims.podOf("lb-1", ip) !== undefined).map((ip) => ip.at(-1));
  const read = (readAtMs: number, ...needed: readonly string[]) => {
    addressClaims.keepOnly("lb-1", (ip, podUid) => podUid === `pod-of-${ip}` && needed.includes(ip.at(-1) ?? ""), readAtMs);
    return known();
  };
  assert.deepEqual(read(1_000, "1"), ["1", "2", "3", "4"]);
  assert.deepEqual(read(60_000, "1", "2"), ["1", "2", "3", "4"]); // the second was bound late
  await addressClaims.claim("lb-1", new Map([["10.244.0.3", "pod-of-10.244.0.3"]]), signal); // is about to be bound once more
  assert.deepEqual(read(720_999, "1"), ["1", "2", "3", "4"]);
  assert.deepEqual(read(721_000, "1"), ["1", "2", "3"]);
  assert.deepEqual(read(1_440_998, "1"), ["1", "2", "3"]);
  assert.deepEqual(read(1_440_999, "1"), ["1"]);
  assert.deepEqual(
    [...records.entries("lb-1")].map(([key]) => key),
    ["ip.10.244.0.1"],
  );
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

const where = (addressClaims: AddressClaims, podUid: string): string[] => [...addressClaims.loadBalancersOf([podUid])].sort();

test("tells the load balancers where a Pod has an address, until the last one is given up", async () => {
  const addressClaims = anew(memoryRecords());
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
  const records = memoryRecords();
  const addressClaims = anew(records);
  records.failing = new Error("connection reset");
  await assert.rejects(addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal));
  assert.deepEqual(where(addressClaims, "pod-1"), []);
  records.failing = undefined;
  const claim = addressClaims.claim("lb-1", new Map([["10.244.0.1", "pod-1"]]), signal);
  await addressClaims.drop("lb-1", signal);
  await claim;
  assert.deepEqual(where(addressClaims, "pod-1"), []);
});

test("tells where a Pod has addresses as a look at every book would, whatever is claimed, forgotten, dropped and loaded anew", async () => {
  const ips = [1, 2, 3, 4].map((n) => `10.244.0.${n}`);
  for (let seed = 1; seed <= 20; seed++) {
    const random = makeRandom(seed);
    const below = (n: number): number => Math.floor(random() * n);
    const records = memoryRecords();
    let addressClaims = anew(records);
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
      else addressClaims = anew(records);
      for (const podUid of [0, 1, 2, 3].map((n) => `pod-${n}`)) {
        const expected = [0, 1, 2].map((n) => `lb-${n}`).filter((one) => ips.some((ip) => addressClaims.podOf(one, ip) === podUid));
        assert.deepEqual(where(addressClaims, podUid), expected, `seed ${seed}, step ${step}`);
      }
    }
  }
});
