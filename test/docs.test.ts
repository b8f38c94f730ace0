import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { Registry } from "prom-client";
import { ENVIRONMENT_KEYS as AGENT_KEYS } from "../agent/config.ts";
import { ENVIRONMENT_KEYS as HOLD_KEYS } from "../agent/hold/config.ts";
import { makeMetrics as makeAgentMetrics } from "../agent/metrics.ts";
import { findKubeAccess } from "../common/kubernetes/access.ts";
import { METRIC_PREFIX } from "../common/names.ts";
import { ENVIRONMENT_KEYS as COORDINATOR_KEYS } from "../coordinator/config.ts";
import { ANNOTATIONS } from "../coordinator/domain/intent/service-annotations.ts";
import { EVENT_REASONS, GATE_REASONS } from "../coordinator/domain/reasons.ts";
import { routesOf } from "../coordinator/explain/routes.ts";
import { makeMetrics, NO_GAUGES } from "../coordinator/metrics.ts";
import { SCENARIO } from "./cloud/scenario/schema.ts";
import { withTables } from "./pages.ts";

const FOLDERS = "{agent,bench,common,coordinator,deploy,docs,proto,test}";
const PAGE = /\b(clb-api|kubernetes|published-differences|real-cluster|tke-contract|toolchain)\.md/;

/** What stands in backticks in one column of the table whose first heading is given. */
function quoted(page: string, heading: string, column = 0): string[] {
  const lines = readFileSync(page, "utf8").split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${heading} |`));
  assert.ok(start >= 0, `${page} has no table that begins with "${heading}"`);
  const rest = lines.slice(start + 2);
  const end = rest.findIndex((line) => !line.startsWith("|"));
  const cells = rest.slice(0, end === -1 ? rest.length : end).map((line) => line.split("|")[column + 1] ?? "");
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name));
}

/** Every difference between a page and the code, each with its fix. */
function assertSame(page: string, documented: readonly string[], known: readonly string[]): void {
  const missing = known.filter((name) => !documented.includes(name)).map((name) => `${page} lacks ${name}: add it to the table`);
  const dead = documented.filter((name) => !known.includes(name)).map((name) => `${page} has ${name}, which the code does not have`);
  const twice = documented.filter((name, index) => documented.indexOf(name) !== index).map((name) => `${page} has ${name} twice`);
  assert.deepEqual([...missing, ...dead, ...twice], []);
}

/** What the pattern's group finds in all texts for readers, e.g. { file: "docs/metrics.md", name: "RemovalParked" }. */
function mentions(pattern: RegExp): { readonly file: string; readonly name: string }[] {
  const files = globSync(["docs/*.md", "README.md", "deploy/**/*.{md,yaml}"]);
  return files.flatMap((file) => [...readFileSync(file, "utf8").matchAll(pattern)].map(([, name = ""]) => ({ file, name })));
}

/** The headings that a text leans on: "clb-api §3.3" and "clb-api §7.5" for a line that names the page once and both sections. */
function citations(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, ...parts] = line.split(PAGE); // page, what follows it, page, …
    return parts.flatMap((page, index) => {
      if (index % 2 === 1) return [];
      const sections = [...(parts[index + 1] ?? "").matchAll(/§(\d+(?:\.\d+)?)/g)];
      return sections.length === 0 ? [page] : sections.map(([, section]) => `${page} §${section}`);
    });
  });
}

test("citations are found by line, page and section", () => {
  assert.deepEqual(citations("/** Sources: clb-api.md §0 and §2.3 (500), toolchain.md §7. */\n// see real-cluster.md"), [
    "clb-api §0",
    "clb-api §2.3",
    "toolchain §7",
    "real-cluster",
  ]);
});

test("docs/sources.md has an entry for every fact that a comment cites", () => {
  const entries = new Set([...readFileSync("docs/sources.md", "utf8").matchAll(/^###? (.+)$/gm)].map(([, heading]) => heading));
  const missing: string[] = [];
  let cited = 0;
  for (const file of globSync([`${FOLDERS}/**/*.{ts,yaml,md,proto}`, "README.md"])) {
    const text = readFileSync(file, "utf8");
    for (const citation of citations(text)) {
      cited += 1;
      if (!entries.has(citation))
        missing.push(`${file} cites "${citation}": add "### ${citation}" to docs/sources.md with the fact and its source`);
    }
    if (/\bdesign §\d/i.test(text)) missing.push(`${file} cites a design page that readers do not have: say the fact itself`);
  }
  assert.deepEqual(missing, []);
  assert.ok(cited > 50, `${cited} citations found: do they still look as this test expects?`);
});

test("docs/emulated-cloud.md marks each behaviour by what shows it, and names every switch of a scenario", () => {
  const page = "docs/emulated-cloud.md";
  const lines = readFileSync(page, "utf8").split("\n");
  const rows = lines.slice(lines.findIndex((line) => line.startsWith("| subject | mark |")) + 2);
  const table = rows.slice(
    0,
    rows.findIndex((line) => !line.startsWith("|")),
  );
  assert.ok(table.length > 50, `${table.length} behaviours found: are they still written as this test expects?`);
  const marks = table.map((row) => row.split(" | ")[1] ?? "");
  assert.deepEqual(
    marks.filter((mark) => !/^(?:(?:published|observed|seen|assumed)(?: \([^)]+\))?(?:, )?)+$/.test(mark)),
    [],
  );
  const named = table.flatMap((row) => [...row.matchAll(/\*`(\w+)`\*/g)].map(([, name = ""]) => name));
  assert.deepEqual(named.toSorted(), Object.keys(SCENARIO.shape.assumed.unwrap().shape).toSorted());
});

test("docs/install.md lists the actions that the cloud's key needs: all that the code calls, and no others", () => {
  const actions = (files: string, pattern: RegExp): string[] => {
    const text = globSync(files)
      .map((file) => readFileSync(file, "utf8"))
      .join("\n");
    return [...new Set([...text.matchAll(pattern)].map(([, action = ""]) => action))].toSorted();
  };
  const called = actions("coordinator/cloud/clb-*.ts", /"((?:Describe|Create|Modify|Delete|Batch|Set|Manual)[A-Z]\w+)"/g);
  assert.ok(called.length > 10, `${called.length} actions found: are they still written as this test expects?`);
  assert.deepEqual(actions("docs/install.md", /`clb:(\w+)`/g), called);
});

test("docs/errors.md has every reason of an Event, and no others; so have all pages that name an Event", () => {
  assertSame("docs/errors.md", quoted("docs/errors.md", "reason"), EVENT_REASONS);
  const reasons: readonly string[] = EVENT_REASONS;
  const named = mentions(/\bEvents? `(\w+)`/g);
  assert.ok(named.length > 5, `${named.length} Events found in the pages: are they still written as this test expects?`);
  assert.deepEqual(
    named.filter(({ name }) => !reasons.includes(name)),
    [],
  );
});

/** TKE's codes in a text, e.g. "E4043". */
const codesIn = (text: string): Set<string> => new Set(text.match(/\b[EW]\d{4}\b/g));

test("docs/errors.md has every code of TKE's that the code can tell, each at a reason, and says of no such code that it never comes", () => {
  const [told = "", never = ""] = readFileSync("docs/errors.md", "utf8").split("## TKE's codes that never come");
  const rows = told.split("\n").filter((line) => line.startsWith("| `"));
  const documented = codesIn(rows.map((row) => row.split("|")[1]).join());
  const sources = globSync("coordinator/**/*.ts").map((file) => readFileSync(file, "utf8").replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, ""));
  const known = codesIn(sources.flatMap((text) => text.match(/"[EW]\d{4}"/g) ?? []).join());
  assert.ok(known.size > 40, `${known.size} codes found: are they still written as this test expects?`);
  assertSame("docs/errors.md", [...documented].toSorted(), [...known].toSorted());
  const [absent = ""] = never.split("\n## ");
  assert.deepEqual(
    [...codesIn(absent)].filter((code) => known.has(code)),
    [],
  );
  const elsewhere = mentions(/\b([EW]\d{4})\b/g).filter(({ name }) => !known.has(name) && !codesIn(absent).has(name));
  assert.deepEqual(elsewhere, [], "a page names a code that nobody knows");
});

test("docs/conditions.md has every reason of the gate's condition, and no others", () => {
  assertSame("docs/conditions.md", quoted("docs/conditions.md", "status", 1), GATE_REASONS);
});

test("docs/annotations.md has the tables of the code", () => {
  const page = readFileSync("docs/annotations.md", "utf8");
  assert.ok(ANNOTATIONS.length > 80, `${ANNOTATIONS.length} annotations`);
  assert.equal(page, withTables(page), "run node test/write-pages.ts");
  assert.equal(new Set(ANNOTATIONS.map(({ key }) => key)).size, ANNOTATIONS.length, "a key stands there twice");
  const known = readFileSync("docs/errors.md", "utf8");
  const codes = ANNOTATIONS.flatMap(({ on, code }) => (on === "Service" && code !== undefined ? code : []));
  assert.deepEqual(
    codes.filter((code) => !known.includes(code)),
    [],
    "docs/errors.md lacks these codes",
  );
});

test("every reason in the lists is used by the coordinator", () => {
  const sources = globSync("coordinator/**/*.ts").filter((file) => !file.endsWith("domain/reasons.ts"));
  const used = new Set(sources.flatMap((file) => readFileSync(file, "utf8").match(/"[A-Z]\w+"/g) ?? []));
  assert.deepEqual(
    [...EVENT_REASONS, ...GATE_REASONS].filter((reason) => !used.has(`"${reason}"`)),
    [],
  );
});

const coordinatorMetrics = makeMetrics(NO_GAUGES).registry;
const agentView = { pods: () => 0, podWatchAgeSeconds: () => 0, linkStates: () => [], held: () => 0, holdProven: () => false };
const agentMetrics = makeAgentMetrics(agentView).registry;

/** Our own metrics as the page writes them, e.g. "clb_direct_writes_total{lane,result}". */
function metricsOf(registry: Registry): string[] {
  const ours = registry.getMetricsAsArray().filter(({ name }) => name.startsWith(METRIC_PREFIX));
  return ours.map((metric) => {
    assert.ok("labelNames" in metric && Array.isArray(metric.labelNames), "prom-client keeps the labels elsewhere now");
    return metric.labelNames.length === 0 ? metric.name : `${metric.name}{${metric.labelNames.join(",")}}`;
  });
}

test("docs/metrics.md has every metric of both processes with its labels, and no others; all pages name metrics that exist", () => {
  const [coordinator, agent] = [metricsOf(coordinatorMetrics), metricsOf(agentMetrics)];
  assertSame("docs/metrics.md", quoted("docs/metrics.md", "coordinator"), coordinator);
  assertSame("docs/metrics.md", quoted("docs/metrics.md", "agent"), agent);
  const names = [...coordinator, ...agent].map((metric) => metric.replace(/\{.*/, ""));
  const named = mentions(/\b(clb_direct_\w+)/g).map(({ file, name }) => ({ file, name: name.replace(/_(?:bucket|sum|count)$/, "") }));
  assert.deepEqual(
    named.filter(({ name }) => !names.includes(name)),
    [],
  );
});

/** What the search for a cluster asks an empty environment for, until it gives up. */
async function kubeKeys(): Promise<string[]> {
  const asked = new Set<string>();
  const env = new Proxy<NodeJS.ProcessEnv>({}, { get: (_, key) => void asked.add(String(key)) });
  await assert.rejects(findKubeAccess(env), { name: "ConfigError" });
  return [...asked];
}

/** Keys that a text reads by name: env["KEY"], const { KEY: key } = env; the compiler refuses env.KEY. */
function keysReadIn(text: string): string[] {
  const single = [...text.matchAll(/\benv(?:\?\.)?\["(\w+)"\]/g)].map(([, key = ""]) => key);
  const several = [...text.matchAll(/\{([^{}]*)\} = (?:process\.)?env\b/g)].map(([, keys = ""]) => keys);
  return [...single, ...several.flatMap((keys) => keys.match(/\b[A-Z][A-Z\d_]+\b/g) ?? [])];
}

test("keys are found however the environment is read", () => {
  const text =
    'env["K_1"]; process.env["K_2"] ?? env?.["K_3"]; const { K_4, K_5: e } = process.env; env[name]; const { K_6 } = environment;';
  assert.deepEqual(keysReadIn(text), ["K_1", "K_2", "K_3", "K_4", "K_5"]);
});

test("docs/operations.md has every key that the environment is read for, and no others", async () => {
  const page = "docs/operations.md";
  const kube = await kubeKeys();
  const both = quoted(page, "both");
  assertSame(page, [...quoted(page, "coordinator"), ...both], [...COORDINATOR_KEYS, ...kube]);
  assertSame(page, [...quoted(page, "agent"), ...both], [...AGENT_KEYS, ...kube]);
  assertSame(page, quoted(page, "hold server"), HOLD_KEYS);
  const product = globSync("{agent,common,coordinator}/**/*.ts").map((file) => ({ file, text: readFileSync(file, "utf8") }));
  const alone = product.flatMap(({ text }) => keysReadIn(text)).filter((key) => !kube.includes(key));
  assertSame(page, quoted(page, "`npm run explain`"), alone);
  // Whoever else begins to read the environment does it by config.ts, or is known here together with its way to the page.
  const readers = product.filter(({ text }) => /process\.env|\benv(?:\?\.)?\[|\benv\.|\} = env\b/.test(text)).map(({ file }) => file);
  assert.deepEqual(readers.toSorted(), [
    "agent/config.ts",
    "agent/hold/config.ts",
    "common/environment.ts",
    "common/kubernetes/access.ts",
    "coordinator/explain/cli.ts",
    "coordinator/installation/main.ts",
    "coordinator/main.ts",
  ]);
});

test("all pages name keys in milliseconds that exist; the former name of RESYNC_MS stands in one place", () => {
  const named = mentions(/\b([A-Z][A-Z_]*_MS)\b/g);
  const known: readonly string[] = [...COORDINATOR_KEYS, ...AGENT_KEYS];
  assert.deepEqual(
    named.filter(({ name }) => !known.includes(name)),
    [],
  );
  const pagesWith = (key: string): string[] => named.flatMap(({ file, name }) => (name === key ? file : []));
  assert.deepEqual(pagesWith("AUDIT_MS"), ["docs/operations.md"]);
  assert.deepEqual([...new Set(pagesWith("RESYNC_MS"))].toSorted(), ["docs/metrics.md", "docs/operations.md"]);
});

const ARCHITECTURE = "docs/architecture.md";

/** Files, folders and globs of this repository that a text names, e.g. "test/contract/cloud/{actions,limits}*.test.ts". */
function pathsIn(text: string): string[] {
  const pattern = /(?<![\w/.-])(?:agent|bench|common|coordinator|deploy|docs|proto|test)\/(?:[\w./*-]|\{[\w,-]+\})*/g;
  return [...text.matchAll(pattern)].map(([path]) => path.replace(/\.$/, ""));
}

/** A glob has to match something. */
const isThere = (path: string): boolean => (/[*{]/.test(path) ? globSync(path).length > 0 : existsSync(path));

test("paths and globs are found in a text, and those that lead nowhere are told apart", () => {
  const text = "`docs/{errors,none}.md`, `test/none/*.test.ts` and docs/none.md. See agent/main.ts, or /bin/test/x";
  const paths = pathsIn(text);
  assert.deepEqual(paths, ["docs/{errors,none}.md", "test/none/*.test.ts", "docs/none.md", "agent/main.ts"]);
  assert.deepEqual(paths.filter(isThere), ["docs/{errors,none}.md", "agent/main.ts"]);
});

test("README.md and all pages in docs name files and folders that exist", () => {
  const pages = [...globSync("docs/*.md"), "README.md"].map((page) => ({ page, paths: pathsIn(readFileSync(page, "utf8")) }));
  for (const { page, paths } of pages)
    if (page === ARCHITECTURE || page === "README.md")
      assert.ok(paths.length > 10, `${paths.length} paths found in ${page}: are they still written as this test expects?`);
  const missing = pages.flatMap(({ page, paths }) =>
    paths.flatMap((path) => (isThere(path) ? [] : `${page} names ${path}, found nowhere`)),
  );
  assert.deepEqual(missing, []);
});

test("docs/architecture.md names every folder of the coordinator", () => {
  const page = readFileSync(ARCHITECTURE, "utf8");
  const folders = new Set(globSync("coordinator/*/**/*.ts").map((file) => `${dirname(file)}/`));
  assert.deepEqual(
    [...folders].filter((folder) => !page.includes(`\`${folder}\``)),
    [],
  );
});

test("every room of the coordinator imports rooms of lower floors only, as docs/architecture.md has them", () => {
  const rows = [...readFileSync(ARCHITECTURE, "utf8").matchAll(/^\| (\d+) \| `(coordinator\/[^`]+)` \|/gm)];
  const floors = new Map(rows.map(([, floor, room = ""]) => [room, Number(floor)]));
  const roomOf = (file: string): string | undefined => [...floors.keys()].find((room) => file.startsWith(room));
  const wrong: string[] = [];
  for (const file of globSync("coordinator/**/*.ts")) {
    const room = roomOf(file);
    if (room === undefined) {
      wrong.push(`${file} is in no room: add a row to the table of ${ARCHITECTURE}`);
      continue;
    }
    for (const [, path = ""] of readFileSync(file, "utf8").matchAll(/from "(\.[^"]+)"/g)) {
      const imported = join(dirname(file), path);
      const other = roomOf(imported);
      if (other === undefined || other === room) continue;
      if ((floors.get(other) ?? 0) >= (floors.get(room) ?? 0)) wrong.push(`${file} imports ${imported}, which is on no lower floor`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("docs name every route of the coordinator's ops port", () => {
  const named = mentions(/`(?:GET )?(\/[a-z-]+)[`?]/g).map(({ name }) => name);
  assert.deepEqual(
    Object.keys(routesOf({ controllers: undefined })).filter((route) => !named.includes(route)),
    [],
  );
});
