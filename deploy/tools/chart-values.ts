/** What is said of the chart's values in one place, values.yaml and its comments, brought into values.schema.json and README.md. */
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from "yaml";
import * as z from "zod";
import { ENVIRONMENT as AGENT } from "../../agent/config.ts";
import { ENVIRONMENT as HOLD } from "../../agent/hold/config.ts";
import { ENVIRONMENT as COORDINATOR } from "../../coordinator/config.ts";

type Json = { readonly [key: string]: unknown };

/** One value, e.g. { path: ["image", "tag"], preset: "", text: "Default: the chart's appVersion." }. */
export type ChartValue = { readonly path: readonly string[]; readonly preset: unknown; readonly text: string };

/** Keys of the environment that have a value of their own or are the chart's own business; all others are in `settings`. */
export const OWN_KEYS = {
  coordinator: {
    CLB_REGION: "region",
    VPC_ID: "vpcId",
    CLUSTER_ID: "clusterId",
    OWNERSHIP: "ownership",
    INGRESS_CLASSES: "ingress.classes",
    CLASSLESS_INGRESSES: "ingress.classless",
    POLICY: "policy",
    RETIRE: "retire",
    GATE_TYPE: "gateType",
    LOG_LEVEL: "logLevel",
    TENCENTCLOUD_SECRET_ID: "credentials.secretIdKey",
    TENCENTCLOUD_SECRET_KEY: "credentials.secretKeyKey",
    TENCENTCLOUD_SESSION_TOKEN: "credentials.sessionTokenKey",
    POD_NAME: undefined,
    POD_NAMESPACE: undefined,
    STREAM_PORT: undefined,
    OPS_PORT: undefined,
    HEALTH_PORT: undefined,
  },
  agent: {
    GATE_TYPE: "gateType",
    LOG_LEVEL: "logLevel",
    OPS_PORT: "agent.ports.ops",
    HEALTH_PORT: "agent.ports.health",
    NODE_NAME: undefined,
    COORDINATOR_ADDRESS: undefined,
    COORDINATOR_SERVER_NAME: undefined,
    CA_BUNDLE_FILE: undefined,
    TOKEN_FILE: undefined,
    STATE_DIRECTORY: undefined,
    HOLD_SOCKET: undefined,
    PATH: undefined,
  },
  hold: {
    LOG_LEVEL: "logLevel",
    HOLD_SOCKET: undefined,
    STATE_DIRECTORY: undefined,
    NODE_IP: undefined,
    HOLD_HOST: undefined,
    HOLD_RULE: undefined,
    PATH: undefined,
  },
} as const satisfies Record<string, Record<string, string | undefined>>;

const ENVIRONMENTS = { coordinator: COORDINATOR, agent: AGENT, hold: HOLD } as const;
const SETTINGS = { "coordinator.settings": "coordinator", "agent.settings": "agent", "agent.hold.settings": "hold" } as const;

const PORT = { type: "integer", minimum: 1, maximum: 65_535 };
/** What the preset alone does not say. */
const TYPES: Readonly<Record<string, Json>> = {
  clusterId: { type: "string", pattern: "^([0-9a-z]{1,16})?$" },
  ownership: { enum: ["class", "annotation"] },
  policy: { enum: ["enforce", "no-unbind", "observe"] },
  retire: { enum: [false, true, "keepTraffic"] },
  gateType: { type: "string", minLength: 1 },
  logLevel: { enum: ["trace", "debug", "info", "warn", "error", "silent"] },
  "image.digest": { type: "string", pattern: "^(sha256:[0-9a-f]{64})?$" },
  "image.pullPolicy": { enum: ["Always", "IfNotPresent", "Never"] },
  "credentials.existingSecret": { type: "string", minLength: 1 },
  legacyPodAccess: { enum: [true, false, "auto"] },
  "coordinator.replicas": { type: "integer", minimum: 1 },
  "agent.ports.ops": PORT,
  "agent.ports.health": PORT,
};

/** Values in their order. Throws Error for one without a comment that begins with "-- ". */
export function readValues(yaml: string): readonly ChartValue[] {
  const document = parseDocument(yaml);
  if (document.errors[0] !== undefined) throw document.errors[0];
  if (!isMap(document.contents)) throw new Error("values.yaml is no map");
  return valuesIn(document.contents, []);
}

function valuesIn(map: YAMLMap, above: readonly string[]): readonly ChartValue[] {
  return map.items.flatMap((pair, index): readonly ChartValue[] => {
    const path = [...above, String(pair.key)];
    const comment = commentOf(pair, index === 0 ? map : undefined);
    const text = /(?:^|\n) ?-- ([^]*)$/.exec(comment)?.[1];
    if (text !== undefined) return [{ path, preset: map.toJSON()[String(pair.key)], text: text.replaceAll(/\n\s*/g, " ").trim() }];
    if (isMap(pair.value)) return valuesIn(pair.value, path);
    throw new Error(`values.yaml: ${path.join(".")} needs a comment that begins with "# -- "`);
  });
}

/** The library gives a map's first comment to the map. */
function commentOf({ key }: Pair, first: YAMLMap | undefined): string {
  const own = isScalar(key) ? key.commentBefore : undefined;
  return own ?? first?.commentBefore ?? "";
}

/** JSON schema that refuses every value that values.yaml does not have. */
export function valuesSchema(values: readonly ChartValue[]): Json {
  const global = { type: "object" }; // Helm gives it to every chart
  return { $schema: "http://json-schema.org/draft-07/schema#", ...closed({ global, ...propertiesOf(values, 0) }) };
}

const closed = (properties: Json): Json => ({ type: "object", additionalProperties: false, properties });

/** Of values that are the same above `depth`, by their name there. */
function propertiesOf(values: readonly ChartValue[], depth: number): Json {
  const groups = Map.groupBy(values, ({ path }) => path[depth] ?? "");
  const schemas = [...groups].map(([name, group]): [string, unknown] => {
    const [only] = group;
    const isLeaf = only !== undefined && only.path.length === depth + 1;
    return [name, isLeaf ? { description: only.text, ...typeOf(only) } : closed(propertiesOf(group, depth + 1))];
  });
  return Object.fromEntries(schemas);
}

function typeOf({ path: parts, preset }: ChartValue): Json {
  const path = parts.join(".");
  for (const [of, process] of Object.entries(SETTINGS)) if (of === path) return settingsSchema(process);
  const known = TYPES[path];
  if (known !== undefined) return known;
  if (Array.isArray(preset)) return { type: "array" };
  if (preset === null) throw new Error(`values.yaml: ${path} needs a value`);
  return { type: typeof preset };
}

/** The environment's schema without its defaults, keys that the chart sets left out. */
function settingsSchema(process: keyof typeof OWN_KEYS): Json {
  const { properties = {} } = z.toJSONSchema(ENVIRONMENTS[process], { unrepresentable: "any" });
  const own = OWN_KEYS[process];
  const settings = Object.entries(properties)
    .filter(([key]) => !(key in own))
    .map(([key, schema]): [string, unknown] => [key, typeof schema === "object" ? { ...schema, default: undefined } : schema]);
  return closed(Object.fromEntries(settings));
}

/** The table of README.md. */
export function valuesTable(values: readonly ChartValue[]): string {
  const rows = values.map(({ path, preset, text }) => `| \`${path.join(".")}\` | ${presetText(preset)} | ${text.replaceAll("|", "\\|")} |`);
  return ["| value | default | |", "|---|---|---|", ...rows].join("\n");
}

const presetText = (preset: unknown): string =>
  preset === "" ? "" : `\`${typeof preset === "string" ? preset : JSON.stringify(preset)}\``;
