import assert from "node:assert/strict";
import { test } from "node:test";
import { selects } from "../../../coordinator/domain/intent/service.ts";
import { SelectorTable } from "../../../coordinator/state/selector-table.ts";
import { makeRandom } from "../../cloud/runtime/random.ts";

type Labels = Readonly<Record<string, string>>;
const matching = (table: SelectorTable, labels: Labels, namespace = "demo"): string[] => table.matching(namespace, labels).sort();

for (const [title, selector, labels, matches] of [
  ["an empty selector selects nothing", {}, { app: "web" }, false],
  ["nor does it select a Pod without labels", {}, {}, false],
  ["one label that the Pod has", { app: "web" }, { app: "web", tier: "front" }, true],
  ["one label with another value", { app: "web" }, { app: "api" }, false],
  ["an empty value is a value", { canary: "" }, { canary: "" }, true],
  ["an empty value is not an absent label", { canary: "" }, { app: "web" }, false],
  ["all of several labels", { app: "web", tier: "front" }, { tier: "front", app: "web", zone: "a" }, true],
  ["the first of several labels only", { app: "web", tier: "front" }, { app: "web" }, false],
  ["the last of several labels only", { app: "web", tier: "front" }, { tier: "front" }, false],
  ["the value of one label at another", { app: "web" }, { tier: "web" }, false],
  ["a name that every object has", { constructor: "web" }, { app: "web" }, false],
  ["a Pod without labels", { app: "web" }, {}, false],
] as const satisfies readonly (readonly [string, Labels, Labels, boolean])[])
  test(`matching: ${title}: ${matches ? "yes" : "no"}`, () => {
    const table = new SelectorTable();
    table.set("a", "demo", selector);
    assert.deepEqual(matching(table, labels), matches ? ["a"] : []);
    assert.deepEqual(matching(table, labels, "shop"), []); // a selector reaches no other namespace
    assert.equal(selects(selector, labels), matches);
  });

test("a label that many Services share hides none of them, whatever else they ask for", () => {
  const table = new SelectorTable();
  for (let n = 0; n < 20; n++) table.set(`only-${n}`, "demo", { part: "shop" });
  for (let n = 0; n < 20; n++) table.set(`with-${n}`, "demo", { part: "shop", app: `app-${n}` });
  assert.equal(matching(table, { part: "shop" }).length, 20);
  assert.deepEqual(
    matching(table, { part: "shop", app: "app-7" }).filter((key) => key.startsWith("with")),
    ["with-7"],
  );
  assert.deepEqual(matching(table, { app: "app-7" }), []);
});

test("the same selector in two namespaces, and under two keys, is two selectors", () => {
  const table = new SelectorTable();
  for (const [key, namespace] of [
    ["a", "demo"],
    ["b", "demo"],
    ["c", "shop"],
  ] as const)
    table.set(key, namespace, { app: "web" });
  assert.deepEqual([matching(table, { app: "web" }), matching(table, { app: "web" }, "shop")], [["a", "b"], ["c"]]);
});

test("a selector that is replaced selects only anew, and tells whether it is another one", () => {
  const table = new SelectorTable();
  const set = (selector: Labels, namespace = "demo"): boolean => table.set("a", namespace, selector);
  assert.deepEqual([set({ app: "web", tier: "front" }), set({ tier: "front", app: "web" })], [true, false]); // in any order
  assert.equal(set({ app: "api" }), true);
  assert.deepEqual([matching(table, { app: "web", tier: "front" }), matching(table, { app: "api" })], [[], ["a"]]);
  assert.deepEqual([set({ app: "api", tier: "front" }), matching(table, { app: "api" })], [true, []]); // one label more
  assert.deepEqual(
    [set({ app: "api" }, "shop"), matching(table, { app: "api" }), matching(table, { app: "api" }, "shop")],
    [true, [], ["a"]],
  );
  assert.deepEqual([set({}, "shop"), set({}, "shop"), matching(table, { app: "api" }, "shop")], [true, false, []]);
});

test("a selector that is deleted selects nothing more, and is known no more", () => {
  const table = new SelectorTable();
  table.set("a", "demo", { app: "web" });
  table.set("b", "demo", { app: "web" });
  assert.deepEqual([table.delete("a"), table.delete("a"), table.delete("never there")], [true, false, false]);
  assert.deepEqual(matching(table, { app: "web" }), ["b"]);
  assert.deepEqual([table.set("a", "demo", { app: "web" }), matching(table, { app: "web" })], [true, ["a", "b"]]);
});

test("finds what a look at every selector finds, whatever is set, replaced and deleted", () => {
  let found = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const random = makeRandom(seed);
    const below = (n: number): number => Math.floor(random() * n);
    /** Few names and values, so that much coincides. */
    const labels = (most: number): Labels =>
      Object.fromEntries(Array.from({ length: below(most + 1) }, () => [`l${below(4)}`, `${below(3)}`]));
    const table = new SelectorTable();
    const naive = new Map<string, { readonly namespace: string; readonly selector: Labels }>();
    for (let step = 0; step < 200; step++) {
      const key = `service-${below(12)}`;
      const known = naive.get(key);
      if (random() < 0.2) {
        // An empty selector is not kept, so nothing is deleted with it.
        assert.equal(table.delete(key), known !== undefined && Object.keys(known.selector).length > 0, `seed ${seed}, step ${step}`);
        naive.delete(key);
      } else {
        const next = { namespace: `ns-${below(2)}`, selector: labels(3) };
        table.set(key, next.namespace, next.selector);
        naive.set(key, next);
      }
      const [namespace, pod] = [`ns-${below(2)}`, labels(4)];
      const expected = [...naive].filter(([, one]) => one.namespace === namespace && selects(one.selector, pod)).map(([one]) => one);
      assert.deepEqual(matching(table, pod, namespace), expected.sort(), `seed ${seed}, step ${step}`);
      found += expected.length;
    }
  }
  assert.ok(found > 1_000, `only ${found} matches: the labels coincide too rarely`);
});
