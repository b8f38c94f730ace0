import { readFileSync } from "node:fs";

/** A leaf is the type of a value, e.g. "string|null", or a constant with the spellings that were seen; see `format` in the file. */
type Shape =
  | string
  | { readonly type: string; readonly spelt: readonly string[] }
  | { readonly orNull: Shape }
  | readonly Shape[]
  | { readonly [name: string]: Shape };

type Published = { readonly shapes: { readonly [action: string]: { readonly source: string; readonly response: Shape } } };

/** The replies in the vendor's examples, by service and action, e.g. "clb.DescribeTargets". */
export const PUBLISHED = (JSON.parse(readFileSync("test/contract/cloud/published-shapes.json", "utf8")) as Published).shapes;

/** How a reply differs from the published shape, e.g. ["Listeners[].HealthCheck.CheckPort: integer, published is null"]. More fields are no difference. */
export const differences = (reply: unknown, shape: Shape): string[] => [...new Set(compare(reply, shape, ""))];

function compare(value: unknown, shape: Shape, path: string): string[] {
  if (typeof shape === "string") return ofType(value, shape, path);
  if (isList(shape)) return ofList(value, shape, path);
  if ("orNull" in shape && Object.keys(shape).length === 1) return value === null ? [] : compare(value, shape["orNull"], path);
  if (isConstant(shape)) return [...ofType(value, shape.type, path), ...spelling(value, shape.spelt, path)];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${path}: ${typeOf(value)}, published is an object`];
  const given = value as Readonly<Record<string, unknown>>;
  return Object.entries(shape as Readonly<Record<string, Shape>>).flatMap(([published, inner]) => {
    const name = published.replace(/\?$/, "");
    const at = path === "" ? name : `${path}.${name}`;
    if (given[name] !== undefined) return compare(given[name], inner, at);
    return published.endsWith("?") ? [] : [`${at}: absent`];
  });
}

function ofList(value: unknown, [item]: readonly Shape[], path: string): string[] {
  if (!Array.isArray(value)) return [`${path}: ${typeOf(value)}, published is a list`];
  return item === undefined ? [] : value.flatMap((one: unknown) => compare(one, item, `${path}[]`));
}

function ofType(value: unknown, types: string, path: string): string[] {
  return types.split("|").includes(typeOf(value)) ? [] : [`${path}: ${typeOf(value)}, published is ${types}`];
}

/** A constant that was seen is spelt as it was seen; one that was not may be anything. */
function spelling(value: unknown, seen: readonly string[], path: string): string[] {
  if (typeof value !== "string" || seen.includes(value)) return [];
  const same = seen.find((one) => one.toLowerCase() === value.toLowerCase());
  return same === undefined ? [] : [`${path}: ${value}, published is ${same}`];
}

const isList = (shape: Shape): shape is readonly Shape[] => Array.isArray(shape);
const isConstant = (shape: object): shape is { readonly type: string; readonly spelt: readonly string[] } =>
  "type" in shape && "spelt" in shape && Array.isArray(shape.spelt);
const typeOf = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "list"
      : Number.isInteger(value)
        ? "integer"
        : typeof value === "number"
          ? "float"
          : typeof value;
