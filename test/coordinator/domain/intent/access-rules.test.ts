import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { refusedSource, rulesFor } from "../../../../coordinator/domain/intent/access-rules.ts";
import type { ServiceIntent } from "../../../../coordinator/domain/intent/service.ts";
import { readAccessRules } from "../../../../coordinator/state/access.ts";

const RULES = JSON.stringify([
  { namespaces: ["shop", "team-*"], existing: ["lb-1"], create: ["private"], most: 2 },
  { namespaceLabels: { tier: "edge" }, existingTags: { use: "edge" }, create: ["public"] },
  { namespaces: ["infra"], existing: ["*"], create: ["public", "private"] },
]);
const named = (loadBalancerId: string) => ({ kind: "existing", loadBalancerId }) as const;
const PUBLIC = { kind: "create", subnetId: undefined } as const;
const PRIVATE = { kind: "create", subnetId: "subnet-1" } as const;

suite("who may use which load balancer", () => {
  const cases: readonly (readonly [
    namespace: string,
    labels: Record<string, string>,
    source: ServiceIntent["source"],
    refused: RegExp | undefined,
  ])[] = [
    ["shop", {}, named("lb-1"), undefined],
    ["shop", {}, named("lb-2"), /may not use load balancer lb-2/],
    ["team-a", {}, PRIVATE, undefined],
    ["team-a", {}, PUBLIC, /may not create public load balancers/],
    ["teams", {}, named("lb-1"), /may not use/],
    ["edge", { tier: "edge" }, PUBLIC, undefined],
    ["edge", { tier: "edge" }, named("lb-tagged"), undefined],
    ["edge", { tier: "core" }, PUBLIC, /may not create/],
    ["shop", { tier: "edge" }, PUBLIC, undefined],
    ["infra", {}, named("lb-any"), undefined],
    ["other", {}, PUBLIC, /may not create/],
  ];
  for (const [namespace, labels, source, refused] of cases)
    test(`${namespace} ${JSON.stringify(labels)} ${JSON.stringify(source)}`, () => {
      const { rules = [] } = readAccessRules(RULES);
      const tags = source.kind === "existing" && source.loadBalancerId === "lb-tagged" ? { use: "edge" } : {};
      const because = refusedSource(rulesFor(rules, namespace, labels), source, { tags, created: 0 });
      if (refused === undefined) assert.equal(because, undefined);
      else assert.match(because ?? "allowed", refused);
    });
  test("how many may be created", () => {
    const { rules = [] } = readAccessRules(RULES);
    const told = (created: number) => refusedSource(rulesFor(rules, "shop", {}), PRIVATE, { tags: {}, created });
    assert.deepEqual([told(1), told(2)], [undefined, "may have 2 load balancers that we create, and has 2"]);
  });
  test("no rules allow everything; rules that cannot be read allow nothing new", () => {
    for (const text of [undefined, "", "[]"]) assert.equal(readAccessRules(text).rules, undefined);
    for (const text of ["{}", "no json", '[{"namespace":["a"]}]', '[{"create":["internal"]}]', '[{"most":-1}]']) {
      const { rules, fault } = readAccessRules(text);
      assert.deepEqual([rules, typeof fault], [[], "string"], text);
    }
  });
});
