/** What the pages show of Services and Ingresses is accepted as it stands there. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import * as z from "zod";
import type { Annotation } from "../coordinator/domain/intent/annotations.ts";
import { readIngress } from "../coordinator/domain/intent/ingress.ts";
import { ingressOwnership } from "../coordinator/domain/intent/ingress-ownership.ts";
import { judgeOwner } from "../coordinator/domain/intent/judge-service.ts";
import { ANNOTATIONS } from "../coordinator/domain/intent/service-annotations.ts";
import { decodeIngress } from "../coordinator/state/ingress-objects.ts";
import { decodeService } from "../coordinator/state/watched-objects.ts";

const Served = { uid: "uid", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" };
const Shown = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string() }),
});
type Shown = z.output<typeof Shown>;

/** The objects of all YAML blocks of a page, or of a file of YAML; what is not one is a fault of the page. */
const objectsIn = (text: string): Shown[] => parseAllDocuments(text).map((document) => Shown.parse(document.toJS()));
const PAGE = "docs/ingress.md";
const shown = [...readFileSync(PAGE, "utf8").matchAll(/^```yaml\n([^]*?)^```/gm)].flatMap(([, text = ""]) => objectsIn(text));
const asServed = (object: Shown) => ({ ...object, metadata: { ...object.metadata, ...Served } });
const servicesIn = (objects: readonly Shown[]) => objects.flatMap((one) => (one.kind === "Service" ? decodeService(asServed(one)) : []));
const VERSIONS: Readonly<Record<string, string>> = { Service: "v1", Secret: "v1", Ingress: "networking.k8s.io/v1" };
/** The API server takes no path without one. */
const PathTypes = z.looseObject({
  spec: z.looseObject({
    rules: z.array(
      z.looseObject({
        http: z.looseObject({ paths: z.array(z.looseObject({ pathType: z.enum(["Prefix", "Exact", "ImplementationSpecific"]) })) }),
      }),
    ),
  }),
});

/** What is said of an Ingress that stands among these objects; [] where all of it is served. */
function toldOf(object: Shown, among: readonly Shown[]): string[] {
  PathTypes.parse(object);
  const ingress = decodeIngress(asServed(object));
  const classes = { mode: "annotation", tke: ["qcloud"], classless: false, isOurs: () => false, isOthers: () => false } as const;
  assert.equal(ingressOwnership(ingress, classes).kind, "ours");
  const services = servicesIn(among).filter(({ namespace }) => namespace === ingress.namespace);
  const { intent, warnings } = readIngress(ingress, { service: (name) => services.find((one) => one.name === name) });
  const secrets = new Set(among.flatMap(({ kind, metadata }) => (kind === "Secret" ? metadata.name : [])));
  const missing = ingress.tls.flatMap(({ secretName }) => (secrets.has(secretName) ? [] : `there is no Secret ${secretName}`));
  return [...(intent === undefined ? ["it is not served"] : []), ...warnings.map(({ message }) => message), ...missing];
}

test(`${PAGE} shows several Ingresses, in the versions of today`, () => {
  assert.ok(shown.filter(({ kind }) => kind === "Ingress").length >= 6);
  for (const { kind, apiVersion } of shown) assert.equal(apiVersion, VERSIONS[kind], kind);
  const names = shown.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assert.equal(new Set(names).size, names.length, "one example would be applied over another");
});

for (const object of shown.filter(({ kind }) => kind === "Ingress"))
  test(`Ingress ${object.metadata.name} of ${PAGE} is served as it stands there, and nothing is told of it`, () =>
    assert.deepEqual(toldOf(object, shown), []));

test("so is the example that the demo uses", () => {
  const documents = parseAllDocuments(readFileSync("deploy/examples/ingress.yaml", "utf8")).map((document) => document.toJS());
  const objects = documents.flatMap((one) => Shown.safeParse(one).data ?? []);
  const ingresses = objects.filter(({ kind }) => kind === "Ingress");
  assert.equal(ingresses.length, 1);
  for (const one of ingresses) assert.deepEqual(toldOf(one, objects), []);
});

/** Values that the column of docs/annotations.md gives in backticks; "lb-…" stands for an id. */
const valuesOf = ({ syntax }: Annotation): string[] =>
  [...syntax.matchAll(/`([^`]+)`/g)].map(([, value = ""]) =>
    /^"[^"]*"$/.test(value) ? value.slice(1, -1) : value.replace("…", "1a2b3c4d"),
  );
const GIVEN = ANNOTATIONS.flatMap((one) =>
  one.on === "Pod" || one.verdict !== "honoured" ? [] : valuesOf(one).map((value) => ({ one, value })),
);

test("each value that docs/annotations.md gives for a key that is honoured is a good one", () => {
  assert.ok(GIVEN.length > 60, `${GIVEN.length} values found: are they still written as this test expects?`);
  for (const { one, value } of GIVEN)
    for (const kind of one.onIngress === true && one.on === "Service" ? (["Service", "Ingress"] as const) : ([one.on] as const)) {
      if (kind === "Pod") continue;
      const object = { kind, namespace: "demo", name: "shop", uid: "uid" };
      const { faults, notes } = judgeOwner({ object, annotations: { [one.key]: value }, ipFamilies: [], ipFamilyPolicy: undefined });
      assert.deepEqual([...faults, ...notes], [], `${one.key}: ${value}`);
    }
});

test("docs/errors.md says that a reason is told on the objects on which the cases under test/manifests/ expect it", () => {
  const rows = new Map<string, string>();
  for (const [, names = "", on = ""] of readFileSync("docs/errors.md", "utf8").matchAll(/^\| (`[^|]*) \| ([^|]*) \|/gm))
    for (const [, name = ""] of names.matchAll(/`(\w+)`/g)) rows.set(name, on);
  const cases = globSync("test/manifests/*.yaml").map((file) => readFileSync(file, "utf8"));
  const told = cases.flatMap((text) => [...text.matchAll(/\b(Service|Ingress|Pod)\/[\w-]+ (?:Normal|Warning) (\w+)/g)]);
  assert.ok(told.length > 300, `${told.length} Events found: are they still written as this test expects?`);
  const missing = told.flatMap(([, kind = "", reason = ""]) => (rows.get(reason)?.includes(kind) === true ? [] : `${reason} on ${kind}`));
  assert.deepEqual([...new Set(missing)], []);
});
