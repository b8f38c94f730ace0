import assert from "node:assert/strict";
import { test } from "node:test";
import { listenerName, sharedListenerName } from "../../../../common/names.ts";
import type { OwnerStanding } from "../../../../coordinator/domain/intent/owner-intent.ts";
import {
  type GroupMember,
  grantedPorts,
  refusedRule,
  ruleConflictMessage,
  shareRules,
} from "../../../../coordinator/domain/intent/shared-rules.ts";
import { asTheCloudHas } from "../../../../coordinator/domain/load-balancer.ts";
import type { ObjectRef } from "../../../../coordinator/domain/problem.ts";
import { asOwnersSee } from "../../../../coordinator/domain/shared-listeners.ts";
import { aListener, aRule, CLUSTER } from "../../../builders.ts";

const KEY = "HTTP/80";
const RULE = "www.example.com /";
const refOf = (name: string, namespace = "demo"): ObjectRef => ({ kind: "Ingress", namespace, name, uid: `uid-${namespace}-${name}` });
const member = (
  ref: ObjectRef,
  state: OwnerStanding["state"],
  { asks = [RULE], holds = [] }: { readonly asks?: readonly string[]; readonly holds?: readonly string[] } = {},
): GroupMember => ({
  ref,
  state,
  asks: new Map([[KEY, new Set(asks)]]),
  holds: new Map([[KEY, new Set(holds)]]),
  listenerIds: new Map([[KEY, "lbl-1"]]),
});
const [OLD, YOUNG] = [refOf("old"), refOf("young")];
const holderOf = (members: readonly GroupMember[]): string | undefined => shareRules(members).holders.get(KEY)?.get(RULE)?.name;

/** Each: what the older one is, what the younger one is, whose the rule is, and who asks in vain. */
const TABLE: readonly [string, GroupMember, GroupMember, string, readonly string[]][] = [
  ["the older of two that ask for a new one", member(OLD, "served"), member(YOUNG, "served"), "old", ["young"]],
  ["its holder's, who is the younger one", member(OLD, "served"), member(YOUNG, "served", { holds: [RULE] }), "young", ["old"]],
  [
    "its holder's, of whom nobody knows what it asks for",
    member(OLD, "served"),
    member(YOUNG, "held", { holds: [RULE] }),
    "young",
    ["old"],
  ],
  ["its holder's that has vanished", member(OLD, "vanished", { holds: [RULE] }), member(YOUNG, "served"), "old", ["young"]],
  ["who asks for it when its holder is deleted", member(OLD, "deleted", { holds: [RULE] }), member(YOUNG, "served"), "young", []],
  [
    "who asks for it when its holder asks for it no more",
    member(OLD, "served", { asks: [], holds: [RULE] }),
    member(YOUNG, "served"),
    "young",
    [],
  ],
  [
    "its last holder's, with whom it goes, when nobody asks for it",
    member(OLD, "served", { asks: [] }),
    member(YOUNG, "served", { asks: [], holds: [RULE] }),
    "young",
    [],
  ],
  ["of one that is deleted before it was on record", member(OLD, "deleted"), member(YOUNG, "served", { asks: [] }), "old", []],
];

for (const [whose, old, young, holder, inVain] of TABLE)
  test(`a rule is ${whose}`, () => {
    assert.equal(holderOf([old, young]), holder);
    assert.deepEqual(
      shareRules([old, young]).conflicts.map(({ owner }) => owner.name),
      inVain,
    );
  });

test("members of several Namespaces with one name are told apart, and the holder is named with its Namespace", () => {
  const [first, second] = [refOf("shop", "one"), refOf("shop", "two")];
  const { conflicts, holders } = shareRules([member(first, "served"), member(second, "served", { asks: [RULE, "www.example.com /two"] })]);
  assert.deepEqual(
    [...(holders.get(KEY) ?? [])],
    [
      [RULE, first],
      ["www.example.com /two", second],
    ],
  );
  const message = ruleConflictMessage("lb-1", conflicts) ?? "";
  assert.match(
    message,
    /Ingress two\/shop, group of load balancer lb-1: host www\.example\.com path \/ at HTTP:80 belongs to Ingress one\/shop/,
  );
  const ports = [
    {
      protocol: "HTTP" as const,
      port: 80,
      targetPort: 80,
      nodePort: 0,
      rules: [
        { domain: "www.example.com", url: "/" },
        { domain: "www.example.com", url: "/two" },
      ],
    },
  ];
  const granted = grantedPorts({ ports }, new Set(conflicts.map(refusedRule)));
  assert.deepEqual(
    granted.map(({ rules = [] }) => rules.map(({ url }) => url)),
    [["/two"]],
  );
});

test("a shared listener as its owners see it, put together again, is what the cloud has", () => {
  const rules = ["/", "/two", "/nobody"].map((url, at) => aRule({ locationId: `loc-${at}`, domain: "www.example.com", url }));
  const name = sharedListenerName(CLUSTER, "HTTP", 80);
  const inCloud = aListener({ listenerId: "lbl-1", name, protocol: "HTTP", port: 80, rules });
  const alone = aListener({ listenerId: "lbl-2", name: "theirs", protocol: "TCP", port: 81 });
  const shared = shareRules([member(OLD, "served"), member(YOUNG, "served", { asks: ["www.example.com /two"] })]);
  const seen = asOwnersSee([inCloud, alone], CLUSTER, shared, undefined);
  assert.deepEqual(
    seen.map((one) => one.name),
    [listenerName(CLUSTER, OLD.uid, "HTTP", 80), listenerName(CLUSTER, YOUNG.uid, "HTTP", 80), name, "theirs"],
  );
  const [again, other] = asTheCloudHas(seen);
  assert.equal(again?.name, name);
  assert.deepEqual(
    again?.rules.map(({ url }) => url),
    ["/", "/two", "/nobody"],
  );
  assert.equal(other, alone);
});
