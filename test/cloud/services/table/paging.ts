import { CloudError } from "../../model/errors.ts";

type Filter = { readonly Name: string; readonly Values: readonly string[] };

/** What a filter asks of an object: its values for this name. */
type ValuesOf<T> = (item: T) => readonly string[];

/** How a service answers to requests that it does not like. */
export type Selection<T> = {
  readonly items: Iterable<T>;
  readonly idOf: (item: T) => string;
  readonly tagsOf?: (item: T) => ReadonlyMap<string, string>;
  readonly filters: Readonly<Record<string, ValuesOf<T>>>;
  /** Filters that count as matching when they are a part of the value. */
  readonly fuzzy?: readonly string[];
  readonly unknownFilter: string;
};

/** The items that pass all filters; the values of one are ORed (clb-api.md §2.6). Throws for a filter that is not known. */
export function select<T>(filters: readonly Filter[], from: Selection<T>): T[] {
  const tests = filters.map((filter) => testOf(filter, from));
  return [...from.items].filter((item) => tests.every((test) => test(item)));
}

function testOf<T>({ Name, Values }: Filter, from: Selection<T>): (item: T) => boolean {
  const { tagsOf } = from;
  if (tagsOf !== undefined && Name === "tag-key") return (item) => Values.some((key) => tagsOf(item).has(key));
  if (tagsOf !== undefined && Name.startsWith("tag:")) return (item) => Values.includes(tagsOf(item).get(Name.slice(4)) ?? "\0");
  const valuesOf = Object.hasOwn(from.filters, Name) ? from.filters[Name] : undefined;
  if (valuesOf === undefined)
    throw new CloudError(from.unknownFilter, `The filter ${Name} is not known; there are ${Object.keys(from.filters).join(", ")}.`);
  const fits = from.fuzzy?.includes(Name)
    ? (value: string): boolean => Values.some((wanted) => value.toLowerCase().includes(wanted.toLowerCase()))
    : (value: string): boolean => Values.includes(value);
  return (item) => valuesOf(item).some(fits);
}

/** The items with these ids, in the order of the items. Throws where one does not exist or has not the form of an id. */
export function pick<T>(
  ids: readonly string[],
  from: Selection<T>,
  wrong: { readonly prefix: string; readonly malformed: string; readonly notFound: string },
): T[] {
  for (const id of ids)
    if (!new RegExp(`^${wrong.prefix}-[0-9a-z]+$`).test(id))
      throw new CloudError(wrong.malformed, `The id \`${id}\` has not the form ${wrong.prefix}-xxxxxxxx.`);
  const items = [...from.items];
  const missing = ids.find((id) => !items.some((item) => from.idOf(item) === id));
  if (missing !== undefined) throw new CloudError(wrong.notFound, `The resource \`${missing}\` does not exist.`);
  return items.filter((item) => ids.includes(from.idOf(item)));
}

export type Page = { readonly Offset?: number; readonly Limit?: number };

/** Pages of 20 unless `Limit` says otherwise. */
export const pageOf = <T>(items: readonly T[], { Offset = 0, Limit = 20 }: Page): T[] => items.slice(Offset, Offset + Limit);

/** `Offset` and `Limit` (at most 100) where the service takes them as strings. Throws InvalidParameterValue.Malformed, .Range. */
export function textPage(request: { readonly Offset?: string; readonly Limit?: string }): Page {
  const number = (name: "Offset" | "Limit", fallback: number, min: number, max: number): number => {
    const text = request[name];
    if (text === undefined) return fallback;
    if (!/^\d+$/.test(text))
      throw new CloudError("InvalidParameterValue.Malformed", `\`${name}\` must be a number in a string, got "${text}".`);
    const value = Number(text);
    if (value < min || value > max)
      throw new CloudError("InvalidParameterValue.Range", `\`${name}\` must be from ${min} to ${max}, got ${value}.`);
    return value;
  };
  return { Offset: number("Offset", 0, 0, Number.MAX_SAFE_INTEGER), Limit: number("Limit", 20, 1, 100) };
}
