import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import type { Target } from "../../../../coordinator/domain/load-balancer.ts";
import { planLoadBalancer } from "../../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { Holder } from "../../../../coordinator/domain/plan/plan-targets.ts";
import type { Lowering } from "../../../../coordinator/domain/plan/plan-weights.ts";
import { aBackend, aDesired, aListener, aLoadBalancer, aService, aTarget, CLUSTER, LISTENER_NAME } from "../../../builders.ts";

const NOW_MS = 100_000;

/**
 * Backends of one place, one word each: "r10" ready at weight 10, "u0" not ready at weight 0, "e10" of a Pod that ends, "b" ready and not
 * bound. "u10@95" has not been ready since second 95; "u10-92" lost its weight last at second 92; "u10!" is found dead.
 */
function place(words: string, floor: number | "unknown" = 1) {
  const all = words.split(" ").map((word, n) => {
    const [, kind = "", weight = "", since, lowered, dead] = /^([rueb])(\d*)(?:@(\d+))?(?:-(\d+))?(!)?$/.exec(word) ?? [];
    const unreadyMs = since === undefined ? 50_000 : Number(since) * 1_000;
    return {
      kind,
      ip: `10.244.0.${n + 1}`,
      weight,
      sinceMs: unreadyMs,
      loweredMs: lowered && Number(lowered) * 1_000,
      dead: dead !== undefined,
    };
  });
  const at = (ip: string) => all.find((one) => one.ip === ip);
  const backends = all.flatMap(({ kind, ip }) =>
    kind === "e" ? [] : aBackend({ podUid: `pod ${ip}`, ip, bindable: kind === "r" || kind === "b" }),
  );
  const targets = all.flatMap(({ kind, ip, weight }) => (kind === "b" ? [] : aTarget({ ip, weight: Number(weight) })));
  const lowering: Lowering = {
    nowMs: NOW_MS,
    unreadySinceMs: (podUid) => at(podUid.slice(4))?.sinceMs,
    loweredAtMs: ({ ip }: Target) => Number(at(ip)?.loweredMs ?? Number.NaN) || undefined,
    floor: () => (floor === "unknown" ? undefined : floor),
  };
  const { name: owner, uid, namespace } = aService();
  return planLoadBalancer({
    clusterId: CLUSTER,
    desired: aDesired({
      listeners: [
        {
          name: LISTENER_NAME,
          owner: { kind: "Service", namespace, name: owner, uid },
          protocol: "TCP",
          port: 80,
          healthCheck: {},
          backends,
          standings: [],
        },
      ],
    }),
    actual: aLoadBalancer({ listeners: [aListener({ targets })] }),
    holderOf: (ip): Holder => ({ kind: at(ip)?.kind === "e" ? "terminating" : "live", podUid: `pod ${ip}` }),
    serving: (_place, { ip, weight }) => weight > 0 && at(ip)?.dead !== true,
    drained: () => false,
    lowering: () => lowering,
  });
}
const digits = (slots: readonly { ip: string; weight?: number }[]): string =>
  slots.map(({ ip, weight }) => `${ip.split(".")[3]}${weight === undefined ? "" : `=${weight}`}`).join();
/** E.g. ["tune 2=0"]: lane, and the last digit of each address with its new weight. */
const brief = (calls: readonly Call[]): string[] =>
  calls.map(
    (call) => `${call.lane} ${digits("weights" in call ? call.weights : "targets" in call ? call.targets.map(({ ip }) => ({ ip })) : [])}`,
  );
const whys = (words: string, floor?: number | "unknown"): string[] =>
  place(words, floor).findings.flatMap((one) => (one.kind === "unready" ? `${one.target.ip.split(".")[3]} ${one.why}` : []));

suite("weights in one place", () => {
  const CASES: readonly (readonly [title: string, words: string, expected: readonly string[], floor?: number | "unknown"])[] = [
    ["who is ready keeps its weight", "r10 r10", []],
    ["who has not been ready for a second loses it", "r10 u10@99", ["tune 2=0"]],
    ["not before", "r10 u10@100", []],
    ["nor twice in ten seconds", "r10 u10-91", []],
    ["but then", "r10 u10-90", ["tune 2=0"]],
    ["who has lost it stays so", "r10 u0", []],
    ["who is ready again gets it back at once, however lately it was lowered", "r10 r0-100", ["bind 2=10"]],
    ["where nobody is ready all keep theirs", "u10 u10 u0", []],
    ["never more than the floor allows: who has been unready for longest goes", "r10 u10@90 u10@80 u10@95", ["tune 2=0,3=0"], 2],
    ["who is about to go counts as gone, so nobody goes in its place", "r10 u10@50-95 u10@60 u10@70", ["tune 3=0"], 2],
    ["the last one that serves is never lowered", "r0 u10", ["bind 1=10"], 0],
    ["one that is found dead may go below the floor: nothing is sent there", "r10 u10!", ["tune 2=0"], 1],
    ["nothing is lowered while nobody knows who serves", "r10 u10", [], "unknown"],
    ["a drain takes the raise of its place along, first", "e10 r10 r0", ["drain 3=10,1=0"]],
    ["but waits for it where nothing else has a weight: first who is ready", "e10 r0 u0", ["bind 2=10", "drain 1=0"]],
    ["then the others", "e10 u0 u0", ["bind 2=10,3=10", "drain 1=0"]],
    ["where all have weight 0 and nobody is ready, all get theirs back", "u0 u0", ["bind 1=10,2=10"]],
    ["raising comes before binding", "r10 r0 b", ["bind 2=10", "bind 3"]],
    ["a weight that somebody else set is put back, unless it is to become 0", "r10 r5 u5", ["tune 3=0,2=10"]],
  ];
  for (const [title, words, expected, floor] of CASES)
    test(`${title}: ${words}`, () => assert.deepEqual(brief(place(words, floor).calls), expected));

  test("are explained", () => {
    assert.deepEqual(whys("r10 u10@100 u0"), ["3 lowered", "2 soon"]);
    assert.deepEqual(whys("r10 u10 u10@60", 2), ["3 floor"]);
    assert.deepEqual(whys("u10 u10"), ["1 none-ready", "2 none-ready"]);
    assert.deepEqual(whys("r10 u10", "unknown"), ["2 unknown"]);
  });

  test("tell when time alone changes them", () => {
    assert.deepEqual([place("r10 u10@100").dueMs, place("r10 u10-95").dueMs, place("r10 r10").dueMs], [101_000, 105_000, undefined]);
  });
});
