import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterIdOf, listenerName, ownerMarkOf, ownListeners } from "../../common/names.ts";

const CLUSTER = "1f0c9a2b";
const OWNER = "5E21C0FF-ee12-4b1c-9d7e-0123456789ab";
const NAME = "cd-1f0c9a2b-5e21c0ffee12-tcp80";

test("takes the cluster's identity from the UID of kube-system", () => {
  assert.equal(clusterIdOf("1F0C9A2B-7d3e-4b1c-9d7e-0123456789ab"), CLUSTER);
});

test("names a listener after cluster, owner, protocol and port, within the 80 characters of the cloud", () => {
  assert.equal(listenerName(CLUSTER, OWNER, "TCP", 80), NAME);
  assert.ok(listenerName("0123456789abcdef", OWNER, "UDP", 65_535).length <= 80);
});

const MARKS: readonly (readonly [title: string, name: string, mark: string | undefined])[] = [
  ["a name that we gave", NAME, "5e21c0ffee12"],
  ["a UDP listener's", "cd-1f0c9a2b-5e21c0ffee12-udp53", "5e21c0ffee12"],
  ["another cluster's", "cd-0123abcd-5e21c0ffee12-tcp80", undefined],
  ["that of a cluster whose identity begins with ours", "cd-1f0c9a2bff-5e21c0ffee12-tcp80", undefined],
  ["a name by hand", "TKE-DEDICATED-LISTENER", undefined],
  ["none", "", undefined],
  ["one without a port", "cd-1f0c9a2b-5e21c0ffee12-tcp", undefined],
  ["one without an owner", "cd-1f0c9a2b--tcp80", undefined],
  ["one with a protocol that we never use", "cd-1f0c9a2b-5e21c0ffee12-icmp80", undefined],
  ["one with more behind it", "cd-1f0c9a2b-5e21c0ffee12-tcp80-copy", undefined],
  ["one with something before it", "x-cd-1f0c9a2b-5e21c0ffee12-tcp80", undefined],
  ["one with an owner that is not hexadecimal", "cd-1f0c9a2b-5e21c0ffeexy-tcp80", undefined],
];

for (const [title, name, mark] of MARKS)
  test(`reads the owner from a listener's name: ${title}`, () => assert.equal(ownerMarkOf(name, CLUSTER), mark));

test("a listener is an owner's only if cluster and owner match", () => {
  assert.equal(ownListeners(CLUSTER, OWNER)({ name: NAME }), true);
  assert.equal(ownListeners("0123abcd", OWNER)({ name: NAME }), false);
  assert.equal(ownListeners(CLUSTER, "00000000-0000-4b1c-9d7e-0123456789ab")({ name: NAME }), false);
  assert.equal(ownListeners(CLUSTER, OWNER)({ name: "by hand" }), false);
});
