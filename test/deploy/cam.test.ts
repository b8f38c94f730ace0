import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

type Policy = { readonly version: string; readonly statement: readonly { readonly effect: string; readonly action: readonly string[] }[] };
const policy = (name: string): Policy => JSON.parse(readFileSync(`deploy/cam/${name}.json`, "utf8")) as Policy;
const actionsOf = (name: string): readonly string[] => policy(name).statement.flatMap(({ action }) => action);

/** What the code calls of a service of the cloud, e.g. "clb:CreateListener". */
function called(service: "clb" | "vpc" | "ssl"): readonly string[] {
  const texts = globSync(`coordinator/cloud/${service}-*.ts`).map((file) => readFileSync(file, "utf8"));
  const found = texts.flatMap((text) =>
    [...text.matchAll(/"((?:Describe|Create|Modify|Delete|Batch|Set|Manual|Upload)[A-Z]\w+)"/g)].map(
      ([, action]) => `${service}:${action}`,
    ),
  );
  assert.ok(
    found.length > (service === "ssl" ? 0 : 4),
    `${found.length} actions of ${service} found: are they still written as this test expects?`,
  );
  return [...new Set(found)].toSorted();
}
const CALLED = [...called("clb"), ...called("vpc"), ...called("ssl")].toSorted();
const isRead = (action: string): boolean => /:Describe/.test(action);
const OWN = ["clb:CreateLoadBalancer", "clb:DeleteLoadBalancer"];

test("each policy allows just what its use calls", () => {
  assert.deepEqual(actionsOf("full").toSorted(), CALLED);
  assert.deepEqual(
    actionsOf("existing-load-balancers").toSorted(),
    CALLED.filter((action) => !OWN.includes(action)),
  );
  assert.deepEqual(actionsOf("observe").toSorted(), CALLED.filter(isRead));
  for (const name of ["full", "existing-load-balancers", "observe"])
    assert.deepEqual(
      policy(name).statement.map(({ effect }) => effect),
      ["allow"],
    );
});

test("people are denied every write to what carries our tag, and no read", () => {
  const writes = CALLED.filter((action) => !isRead(action) && action !== "clb:CreateLoadBalancer" && !action.startsWith("ssl:"));
  assert.deepEqual(actionsOf("deny-edits-by-people").toSorted(), writes);
  assert.equal(policy("deny-edits-by-people").statement[0]?.effect, "deny");
  assert.match(JSON.stringify(policy("deny-edits-by-people")), /clb-direct\.io\/cluster&\*/);
});
