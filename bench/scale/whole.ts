import { parseArgs } from "node:util";
import { checkJsonFile } from "../../deploy/tools/arguments.ts";
import { nodeFlags } from "../../deploy/tools/render.ts";

/** Of `--<flag> <text>`. Throws a RangeError that names both. */
function whole(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) throw new RangeError(`--${flag} must be a whole number from ${least}, got "${text}"`);
  return value;
}

/**
 * Options of a benchmark that has sizes: one flag for each of `full`, of which `--quick` takes the small ones, and --json and --help. `least`: what a
 * size may be at least, where that is not 1; `texts`: more flags that take a text, with what they are by default. Throws an Error that names the option.
 */
export function sizedOptions<Name extends string, Text extends string = never>(
  args: string[],
  full: Readonly<Record<Name, number>>,
  quick: Readonly<Record<Name, number>>,
  more: { readonly least?: Readonly<Partial<Record<Name, number>>>; readonly texts?: Readonly<Record<Text, string>> } = {},
) {
  const names = Object.keys(full) as Name[]; // oxlint-disable-line typescript/no-unsafe-type-assertion -- its own keys
  const texts = Object.keys(more.texts ?? {}) as Text[]; // oxlint-disable-line typescript/no-unsafe-type-assertion -- its own keys
  const flags = Object.fromEntries([...names, ...texts].map((name) => [name, { type: "string" as const }]));
  const switches = { quick: { type: "boolean" as const, default: false }, help: { type: "boolean" as const, default: false } };
  const parsed = parseArgs({ args, options: { ...flags, ...switches, json: { type: "string" } } });
  const values: Readonly<Record<string, unknown>> = parsed.values;
  const json = typeof values["json"] === "string" ? values["json"] : undefined;
  checkJsonFile(json);
  const isQuick = values["quick"] === true;
  const preset = isQuick ? quick : full;
  const textOf = (name: string, otherwise: string): string => {
    const value = values[name];
    return typeof value === "string" ? value : otherwise;
  };
  const size = (name: Name): number => whole(name, textOf(name, String(preset[name])), more.least?.[name] ?? 1);
  const sizes = Object.fromEntries(names.map((name) => [name, size(name)])) as Record<Name, number>; // oxlint-disable-line typescript/no-unsafe-type-assertion -- a number for each name
  const given = Object.fromEntries(texts.map((name) => [name, textOf(name, more.texts?.[name] ?? "")])) as Record<Text, string>; // oxlint-disable-line typescript/no-unsafe-type-assertion -- a text for each name
  return { sizes, given, isQuick, json, help: values["help"] === true };
}

/** Of an option that takes several values, e.g. "ramp,storm"; "" has none. */
export const listOf = (text: string): readonly string[] => text.split(",").filter((one) => one !== "");

/** For `--node-flags`: as the chart advises for the size. */
export const ADVISED = "advised";
/** From so many Services on the chart advises larger semi-spaces than its own, which save memory where there are few. Source: coordinator.nodeFlags in its README. */
const THOUSANDS = 1_000;
const SEMI_SPACE = { flag: "--max-semi-space-size=", advised: 8 };

/** Flags of the coordinator's Node, of `--node-flags`, e.g. ["--max-semi-space-size=16"]. */
export function flagsOf(given: string, services: number): readonly string[] {
  if (given !== ADVISED) return listOf(given);
  const own = nodeFlags("coordinator");
  if (services < THOUSANDS) return own;
  return own.map((flag) => (flag.startsWith(SEMI_SPACE.flag) ? `${SEMI_SPACE.flag}${SEMI_SPACE.advised}` : flag));
}
