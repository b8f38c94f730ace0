import assert from "node:assert/strict";
import { test } from "node:test";
import type { Listener } from "../../../../coordinator/domain/load-balancer.ts";
import { driftOf } from "../../../../coordinator/domain/safety/drift.ts";
import { aListener, aRule, aTarget, CLUSTER } from "../../../builders.ts";

const targets = [1, 2, 3, 4].map((n) => aTarget({ ip: `10.244.1.${n}` }));
const known = aListener({ targets });
const http = aListener({ protocol: "HTTP", rules: [aRule({ targets }), aRule({ locationId: "loc-2", url: "/b" })] });
const told = (before: Listener, after: Listener | undefined): string[] =>
  driftOf(CLUSTER, [before], after === undefined ? [] : [after]).map(({ what }) => what);
const check = (change: object) => ({ ...known.healthCheck, ...change });

for (const [title, before, after, expected] of [
  ["nothing", known, { ...known }, []],
  ["a listener that is gone", known, undefined, ["it was deleted"]],
  ["another name", known, { ...known, name: "by hand" }, ['it was renamed to "by hand"']],
  [
    "targets that are gone, three by name",
    known,
    { ...known, targets: [] },
    ["targets removed: 4 (10.244.1.1:8080, 10.244.1.2:8080, 10.244.1.3:8080, …)"],
  ],
  [
    "another weight",
    known,
    { ...known, targets: [aTarget({ ip: "10.244.1.1", weight: 1 }), ...targets.slice(1)] },
    ["weights changed: 1 (10.244.1.1:8080)"],
  ],
  ["targets in another order, or more of them", known, { ...known, targets: [aTarget({ ip: "10.244.9.9" }), ...targets.toReversed()] }, []],
  ["another health check", known, { ...known, healthCheck: check({ intervalSeconds: 9 }) }, ["health check or scheduler changed"]],
  ["what the cloud fills in", known, { ...known, healthCheck: check({ httpPath: "/" }) }, []],
  [
    "rules",
    http,
    { ...http, rules: [aRule({ targets: targets.slice(1) }), aRule({ locationId: "loc-3", url: "/c" })] },
    ["rule example.com/: targets removed: 1 (10.244.1.1:8080)", "rule example.com/b: it was deleted", "1 rules were added"],
  ],
] as const satisfies readonly (readonly [string, Listener, Listener | undefined, readonly string[]])[])
  test(`tells what somebody else changed: ${title}`, () => assert.deepEqual(told(before, after), expected));

test("says nothing about listeners that are not ours", () => {
  assert.deepEqual(told(aListener({ name: "by hand", targets }), undefined), []);
});
