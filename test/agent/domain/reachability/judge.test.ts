import assert from "node:assert/strict";
import { test } from "node:test";
import { compileGroup } from "../../../../agent/domain/reachability/group.ts";
import { EVERYBODY, judge } from "../../../../agent/domain/reachability/judge.ts";
import { addressesOf, common, without } from "../../../../agent/domain/reachability/ranges.ts";
import { groupVerdicts } from "../../../../agent/domain/reachability/verdict.ts";
import type { GroupRule, SecurityGroup } from "../../../../common/reachability.ts";
import { edges, isLetIn } from "./naive.ts";

/** "ACCEPT tcp:80 from 10.0.0.0/8" as a rule; several services or sources with spaces between them. */
function aRule(text: string, index = 0, unresolved = ""): GroupRule {
  const [, action, services = "", sources = ""] = /^(ACCEPT|DROP) (.*) from ?(.*)$/.exec(text) ?? [];
  const list = (part: string): string[] => part.split(" ").filter((one) => one !== "" && one !== "?");
  return { index, accept: action === "ACCEPT", services: list(services), sources: list(sources), text, unresolved };
}
const aGroup = (id: string, ...rules: string[]): SecurityGroup => ({
  id,
  version: "1",
  rules: rules.map((text, index) => aRule(text, index)),
});
const senders = (...texts: string[]) => addressesOf(texts).addresses.v4;
const judged = (groups: readonly SecurityGroup[], from: readonly string[] = ["0.0.0.0/0"], packet = { protocol: "TCP", port: 8080 }) =>
  judge(groups.map(compileGroup), packet, senders(...from), "v4");

const ANY = "0.0.0.0/0";
const cases: readonly { name: string; groups: readonly SecurityGroup[]; from?: readonly string[]; verdict: string; because?: RegExp }[] = [
  { name: "a rule for everybody", groups: [aGroup("sg-a", `ACCEPT tcp:8080 from ${ANY}`)], verdict: "allowed" },
  { name: "a range of ports", groups: [aGroup("sg-a", `ACCEPT tcp:8000-9000 from ${ANY}`)], verdict: "allowed" },
  { name: "a list of ports", groups: [aGroup("sg-a", `ACCEPT tcp:80,443,8080 from ${ANY}`)], verdict: "allowed" },
  { name: "all protocols in any case", groups: [aGroup("sg-a", `ACCEPT ALL:ALL from ${ANY}`)], verdict: "allowed" },
  {
    name: "another protocol",
    groups: [aGroup("sg-a", `ACCEPT udp:8080 from ${ANY}`)],
    verdict: "denied",
    because: /no rule of sg-a lets in TCP 8080/,
  },
  { name: "another port", groups: [aGroup("sg-a", `ACCEPT tcp:8081 from ${ANY}`)], verdict: "denied" },
  { name: "ICMP, which has no port", groups: [aGroup("sg-a", `ACCEPT icmp from ${ANY}`)], verdict: "denied" },
  { name: "a group without rules", groups: [aGroup("sg-a")], verdict: "denied", because: /no rule of sg-a/ },
  {
    name: "a drop above an accept",
    groups: [aGroup("sg-web", `ACCEPT tcp:80 from ${ANY}`, `DROP tcp:8000-9000 from ${ANY}`, `ACCEPT all from ${ANY}`)],
    verdict: "denied",
    because: /^sg-web rule 1 \(DROP tcp:8000-9000 from 0\.0\.0\.0\/0\)$/,
  },
  { name: "a drop below an accept", groups: [aGroup("sg-a", `ACCEPT all from ${ANY}`, `DROP all from ${ANY}`)], verdict: "allowed" },
  {
    name: "the first of two groups",
    groups: [aGroup("sg-a", `DROP tcp:8080 from ${ANY}`), aGroup("sg-b", `ACCEPT all from ${ANY}`)],
    verdict: "denied",
    because: /^sg-a rule 0/,
  },
  {
    name: "a group that says nothing of it",
    groups: [aGroup("sg-a", "ACCEPT tcp:22 from 10.0.0.0/8"), aGroup("sg-b", `ACCEPT all from ${ANY}`)],
    verdict: "allowed",
  },
  { name: "the VIP let in", groups: [aGroup("sg-a", "ACCEPT tcp:8080 from 198.18.0.1")], from: ["198.18.0.1"], verdict: "allowed" },
  {
    name: "half of the senders",
    groups: [aGroup("sg-a", "ACCEPT tcp:8080 from 0.0.0.0/1")],
    verdict: "partly",
    because: /no rule of sg-a/,
  },
  {
    name: "one range dropped",
    groups: [aGroup("sg-a", "DROP tcp:8080 from 10.1.0.0/16", `ACCEPT tcp:8080 from ${ANY}`)],
    verdict: "partly",
    because: /^sg-a rule 0/,
  },
  {
    name: "two halves",
    groups: [aGroup("sg-a", "ACCEPT tcp:8080 from 0.0.0.0/1", "ACCEPT tcp:8080 from 128.0.0.0/1")],
    verdict: "allowed",
  },
  {
    name: "a range of addresses",
    groups: [aGroup("sg-a", "ACCEPT tcp:8080 from 198.18.0.1-198.18.0.9")],
    from: ["198.18.0.3"],
    verdict: "allowed",
  },
  { name: "IPv6 rules for IPv4 senders", groups: [aGroup("sg-a", "ACCEPT all from ::/0")], verdict: "denied" },
  {
    name: "nobody let in by the load balancer",
    groups: [aGroup("sg-a", `ACCEPT all from ${ANY}`)],
    from: [],
    verdict: "denied",
    because: /nobody is let in/,
  },
];
for (const { name, groups, from, verdict, because } of cases)
  test(`security groups: ${name}: ${verdict}`, () => {
    const judgement = judged(groups, from);
    assert.equal(judgement.verdict, verdict);
    assert.match(judgement.because, because ?? (verdict === "allowed" ? /^$/ : /./));
  });

const NOT_KNOWN = "sg-x has 600 members, more than 512";
const loose: readonly { name: string; rules: readonly GroupRule[]; verdict: string }[] = [
  { name: "an accept that may let in somebody", rules: [aRule("ACCEPT all from", 0, NOT_KNOWN)], verdict: "unknown" },
  {
    name: "an accept that does not matter any more",
    rules: [aRule(`ACCEPT all from ${ANY}`, 0), aRule("ACCEPT all from", 1, NOT_KNOWN)],
    verdict: "allowed",
  },
  {
    name: "a drop that may stop somebody",
    rules: [aRule("DROP all from", 0, NOT_KNOWN), aRule(`ACCEPT all from ${ANY}`, 1)],
    verdict: "unknown",
  },
  {
    name: "a drop that does not matter: all is dropped",
    rules: [aRule("DROP all from", 0, NOT_KNOWN), aRule(`DROP all from ${ANY}`, 1)],
    verdict: "denied",
  },
  { name: "an accept for another port", rules: [aRule("ACCEPT tcp:22 from", 0, NOT_KNOWN)], verdict: "denied" },
  { name: "services that are not known", rules: [aRule(`ACCEPT ? from ${ANY}`, 0, "ppm-x is not known")], verdict: "unknown" },
  { name: "a service that cannot be read", rules: [aRule(`ACCEPT tcp:8o80 from ${ANY}`, 0)], verdict: "unknown" },
  { name: "a source that cannot be read", rules: [aRule("ACCEPT tcp:8080 from 10.0.0.0/33", 0)], verdict: "unknown" },
];
for (const { name, rules, verdict } of loose)
  test(`a rule that is not all known: ${name}: ${verdict}`, () => {
    const judgement = judged([{ id: "sg-a", version: "1", rules }]);
    assert.equal(judgement.verdict, verdict);
    if (verdict === "unknown") assert.match(judgement.because, /600 members|is not known|cannot be read/);
  });

test("rules are asked by their index, not by the order in which they came", () => {
  const rules = [aRule(`ACCEPT all from ${ANY}`, 7), aRule(`DROP all from ${ANY}`, 2)];
  assert.match(judged([{ id: "sg-a", version: "1", rules }]).because, /^sg-a rule 2/);
});

test("a group of 1 000 rules is judged, and its default as well", () => {
  const rules = Array.from({ length: 1_000 }, (_, index) => aRule(`DROP tcp:8080 from 10.${index >> 8}.${index & 255}.0/25`, index));
  assert.equal(judged([{ id: "sg-a", version: "1", rules }, aGroup("sg-b", `ACCEPT all from ${ANY}`)]).verdict, "partly");
  assert.equal(judged([{ id: "sg-a", version: "1", rules }]).verdict, "denied");
});

/** A small generator with a seed, so that a failure can be repeated. */
function dice(seed: number) {
  let state = seed;
  const roll = (sides: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
  return { roll, pick: <T>(from: readonly T[]): T => from[roll(from.length)] as T };
}

test("1 500 random sets of groups: every sender meets what the naive evaluator says", () => {
  const services = ["tcp:8080", "tcp:8000-9000", "tcp:80,8080", "udp:all", "udp:53", "all", "icmp", "tcp:1-100"];
  const sources = [
    ANY,
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.255.0-10.1.0.9",
    "192.168.0.0/16",
    "fd00::/8",
  ];
  for (let seed = 1; seed <= 1_500; seed++) {
    const { roll, pick } = dice(seed);
    const groups = Array.from({ length: 1 + roll(3) }, (_, number): SecurityGroup => {
      const rules = Array.from({ length: roll(6) }, (__, index) =>
        aRule(`${pick(["ACCEPT", "DROP"])} ${pick(services)} from ${pick(sources)}`, index),
      );
      return { id: `sg-${number}`, version: "1", rules };
    });
    const packet = pick([
      { protocol: "TCP", port: 8080 },
      { protocol: "UDP", port: 53 },
      { protocol: "TCP", port: 22 },
    ]);
    const all = judge(groups.map(compileGroup), packet, EVERYBODY.v4, "v4");
    const asked = edges(groups);
    const said = (ip: string): boolean => common(all.admitted, senders(ip)).length > 0;
    const truth = asked.map((from) => isLetIn(groups, { ...packet, from }));
    assert.deepEqual(asked.map(said), truth, `seed ${seed}`);
    const verdict = truth.every(Boolean) ? "allowed" : truth.some(Boolean) ? "partly" : "denied";
    assert.equal(all.verdict, verdict, `seed ${seed}`);
    const [one = "10.1.2.3"] = asked;
    assert.equal(
      judge(groups.map(compileGroup), packet, senders(one), "v4").verdict,
      truth[0] === true ? "allowed" : "denied",
      `seed ${seed}`,
    );
  }
});

test("sets of addresses: what is common and what is left", () => {
  const set = senders("10.0.0.0/30", "10.0.0.8/30");
  assert.deepEqual(senders("10.0.0.0/31", "10.0.0.2/31"), senders("10.0.0.0/30"));
  assert.deepEqual(common(set, senders("10.0.0.2-10.0.0.9")), senders("10.0.0.2/31", "10.0.0.8/31"));
  assert.deepEqual(without(set, senders("10.0.0.1-10.0.0.9")), senders("10.0.0.0", "10.0.0.10/31"));
  assert.equal(without(set, senders("10.0.1.0/24")), set);
  assert.deepEqual(addressesOf(["10.0.0.9-10.0.0.1", "x", "10.0.0.0/8/9", "::/0"]).wrong, ["10.0.0.9-10.0.0.1", "x", "10.0.0.0/8/9"]);
});

test("senders of another family than the Pod's are not known, which is no denial", () => {
  const group = compileGroup(aGroup("sg-a", "ACCEPT all from 0.0.0.0/0"));
  const source = { kind: "health-check", addresses: ["fd00::1"], admittedBy: [], protocol: "TCP", port: 80 } as const;
  const task = { key: "lb-1 TCP:80", protocol: "TCP", port: 8080, groups: ["sg-a"], unjudged: "", sources: [source] };
  assert.deepEqual(
    groupVerdicts(task, "10.0.0.1", () => group),
    [{ kind: "health-check", verdict: "unknown", because: "no IPv4 address is known of who sends" }],
  );
});
