import { parseAddress, parsePrefix } from "../address.ts";

/** From and to, both included, as numbers. */
export type Range = readonly [from: bigint, to: bigint];
/** Addresses of one family: in ascending order, none touches the next. */
export type RangeSet = readonly Range[];
/** A set of each family. */
export type Addresses = { readonly v4: RangeSet; readonly v6: RangeSet };

/** "10.0.0.0/8", "10.0.0.1" or "10.0.0.1-10.0.0.9" (also IPv6); undefined where it is none of these. */
function parseRange(text: string): { readonly width: 32 | 128; readonly range: Range } | undefined {
  const [first = "", last, ...rest] = text.trim().split("-");
  if (last === undefined) {
    const prefix = first === "default" ? undefined : parsePrefix(first);
    if (prefix === undefined) return undefined;
    return { width: prefix.width, range: [prefix.bits, prefix.bits + (1n << BigInt(prefix.width - prefix.length)) - 1n] };
  }
  const [from, to] = [parseAddress(first.trim()), parseAddress(last.trim())];
  if (from === undefined || to === undefined || from.width !== to.width || from.bits > to.bits || rest.length > 0) return undefined;
  return { width: from.width, range: [from.bits, to.bits] };
}

/** The addresses that these texts name; those that name none come back as `wrong`. */
export function addressesOf(texts: readonly string[]): { readonly addresses: Addresses; readonly wrong: readonly string[] } {
  const v4: Range[] = [];
  const v6: Range[] = [];
  const wrong: string[] = [];
  for (const text of texts) {
    const parsed = parseRange(text);
    if (parsed === undefined) wrong.push(text);
    else (parsed.width === 32 ? v4 : v6).push(parsed.range);
  }
  return { addresses: { v4: merged(v4), v6: merged(v6) }, wrong };
}

/** Any ranges as a set. */
export function merged(ranges: readonly Range[]): RangeSet {
  if (ranges.length < 2) return ranges;
  const result: [bigint, bigint][] = [];
  for (const [from, to] of ranges.toSorted((one, other) => (one[0] < other[0] ? -1 : Number(one[0] > other[0])))) {
    const last = result.at(-1);
    if (last !== undefined && from <= last[1] + 1n) last[1] = to > last[1] ? to : last[1];
    else result.push([from, to]);
  }
  return result;
}

/** Index of the first range that ends at or after `at`. */
function firstFrom(set: RangeSet, at: bigint): number {
  let [low, high] = [0, set.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((set[middle]?.[1] ?? 0n) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What is in both. */
export function common(set: RangeSet, other: RangeSet): RangeSet {
  const result: Range[] = [];
  const [few, many] = set.length <= other.length ? [set, other] : [other, set];
  for (const [from, to] of few)
    for (let index = firstFrom(many, from); index < many.length; index++) {
      const range = many[index];
      if (range === undefined || range[0] > to) break;
      result.push([range[0] > from ? range[0] : from, range[1] < to ? range[1] : to]);
    }
  return result;
}

/** What is in the first and not in the second; the first itself where they have nothing in common. */
export function without(set: RangeSet, gone: RangeSet): RangeSet {
  let result: Range[] | undefined;
  for (const [from, to] of gone) {
    const present = result ?? set;
    const begin = firstFrom(present, from);
    let end = begin;
    const left: Range[] = [];
    for (; end < present.length; end++) {
      const range = present[end];
      if (range === undefined || range[0] > to) break;
      if (range[0] < from) left.push([range[0], from - 1n]);
      if (range[1] > to) left.push([to + 1n, range[1]]);
    }
    if (end === begin) continue;
    result ??= [...set];
    result.splice(begin, end - begin, ...left);
  }
  return result ?? set;
}
