/**
 * `npm run chart:render` writes what is made of the chart: values.schema.json, the table of README.md, deploy/install.yaml and
 * deploy/install-before-1.36.yaml. The first two need no Helm. test/deploy/chart.test.ts says when one of them is not current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readValues, valuesSchema, valuesTable } from "./chart-values.ts";
import { runHelm } from "./helm.ts";

const DEPLOY = fileURLToPath(new URL("..", import.meta.url));
export const CHART = `${DEPLOY}chart`;

/** What a person puts in before applying the rendered file; the coordinator refuses to start with it. */
const PLACEHOLDERS = { region: "REGION", "image.repository": "registry.example.com/clb-direct" };
const TABLE = { begin: "<!-- values: made by npm run chart:render -->", end: "<!-- end of values -->" };

/** The flags of Node that the chart starts a process with, e.g. ["--max-semi-space-size=2"]. */
export function nodeFlags(process: "agent" | "coordinator"): readonly string[] {
  const found = readValues(readFileSync(`${CHART}/values.yaml`, "utf8")).find(({ path }) => path.join(".") === `${process}.nodeFlags`);
  return Array.isArray(found?.preset) ? found.preset.map(String) : [];
}

export type Rendered = { readonly file: string; readonly content: string };

/** Made without Helm. */
export function renderValues(): readonly Rendered[] {
  const values = readValues(readFileSync(`${CHART}/values.yaml`, "utf8"));
  const readme = readFileSync(`${CHART}/README.md`, "utf8");
  const [before, rest] = readme.split(TABLE.begin);
  const after = rest?.split(TABLE.end)[1];
  if (before === undefined || after === undefined) throw new Error(`deploy/chart/README.md lacks "${TABLE.begin}" or its end`);
  return [
    { file: `${CHART}/values.schema.json`, content: `${JSON.stringify(valuesSchema(values), null, 2)}\n` },
    { file: `${CHART}/README.md`, content: `${before}${TABLE.begin}\n${valuesTable(values)}\n${TABLE.end}${after}` },
  ];
}

/** `env` is what Helm gets. */
export function renderInstall(helm: string, env: NodeJS.ProcessEnv): readonly Rendered[] {
  const set = Object.entries({ ...PLACEHOLDERS, "namespace.create": "true" }).map(([key, value]) => `${key}=${value}`);
  const common = ["template", "clb-direct", CHART, "--namespace", "clb-direct", "--no-hooks", "--set", set.join(",")];
  const template = (...args: readonly string[]): string => runHelm(helm, [...common, ...args], env).replaceAll(/[ \t]+$/gm, "");
  const legacy = ["--kube-version", "1.35", "--show-only", "templates/agent-access-before-1.36.yaml"];
  return [
    { file: `${DEPLOY}install.yaml`, content: headed("all of it but the cloud's key", template("--kube-version", "1.36")) },
    { file: `${DEPLOY}install-before-1.36.yaml`, content: headed("besides install.yaml below Kubernetes 1.36", template(...legacy)) },
  ];
}

const headed = (what: string, yaml: string): string =>
  `# Made of deploy/chart by \`npm run chart:render\`, never by hand: ${what}. docs/install.md says what to put in first.\n${yaml}`;

export function write(files: readonly Rendered[]): void {
  for (const { file, content } of files) writeFileSync(file, content);
}
