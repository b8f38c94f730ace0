import { tkeCode } from "../problem.ts";
import type { EventReason } from "../reasons.ts";

/**
 * What becomes of a key.
 * `honoured`: read and followed. `refused`: an object that uses it is not served, because what it asks for cannot be kept. `no effect`: of
 * NodePort mode, or always on: one Normal Event. `written`: by controllers or consoles, never input, no Event. `not yet`: known and told by
 * an Event; what it asks for does not come about.
 */
export type Verdict = "honoured" | "refused" | "no effect" | "written" | "not yet";

/** One annotation, everything that is known of it; docs/annotations.md is made of these. */
export type Annotation = {
  /** E.g. "service.cloud.tencent.com/direct-access". */
  readonly key: string;
  readonly on: "Service" | "Pod" | "Ingress";
  /** It says the same on Ingresses. */
  readonly onIngress?: true;
  readonly verdict: Verdict;
  /** For people, in the syntax of the page, e.g. "`\"true\"`, `\"false\"`". */
  readonly syntax: string;
  /** What counts where the key is absent; default: nothing. */
  readonly default?: string;
  /** When a value or a later edit takes effect. `creation`: only for a load balancer that is still to be created. */
  readonly takes: "live" | "creation" | "never";
  /** Its group: what and how we bind (B), the life of the load balancer (L), read only when one is created (C). Source: tke-contract.md §2. */
  readonly group: "B" | "L" | "L B" | "L C" | "–";
  /** TKE's code of a bad value. Source: tke-contract.md §7. */
  readonly code?: string;
  /** TKE's code of a value that cannot be, where `code` is of one that leads nowhere. */
  readonly valueCode?: string;
  /** Reason of the Event about a bad value; default "InvalidAnnotation". */
  readonly reason?: EventReason;
  /** What it does, what we do instead, or why it is refused and the fix. One sentence or two. */
  readonly does: string;
  /** The fix, e.g. `use "true" or "false"`; undefined: the value is good. Default: every value is. */
  readonly fault?: (value: string) => string | undefined;
  /** Of a refused key: the value asks for what we refuse; default: any does. */
  readonly isRefused?: (value: string) => boolean;
};

export const bool = (value: string): string | undefined => (value === "true" || value === "false" ? undefined : 'use "true" or "false"');

/** A list of ids by comma, at most so many, e.g. "sg-1,sg-2"; "" is an empty one. */
export const idList =
  (prefix: string, most: number) =>
  (value: string): string | undefined => {
    const ids = listOf(value);
    const isGood = ids.length <= most && ids.every((id) => new RegExp(`^${prefix}-[0-9a-z]+$`).test(id));
    return isGood && new Set(ids).size === ids.length ? undefined : `use at most ${most} different ids by comma, e.g. ${prefix}-1a2b3c4d`;
  };

/** The items of a comma list, without blanks. */
export const listOf = (value: string): string[] => value.split(",").flatMap((item) => item.trim() || []);

/** One of these words. */
export const oneOf =
  (...words: readonly string[]) =>
  (value: string): string | undefined =>
    words.includes(value) ? undefined : `use ${words.join(" or ")}`;

/** A whole number of that range, as text. */
export const wholeNumber =
  (min: number, max: number) =>
  (value: string): string | undefined =>
    /^\d{1,9}$/.test(value) && Number(value) >= min && Number(value) <= max ? undefined : `use a whole number from ${min} to ${max}`;

/** Undefined where it is no JSON. */
export function parsedJson(value: string): unknown {
  try {
    const parsed: unknown = JSON.parse(value);
    return parsed;
  } catch {
    return undefined;
  }
}

/** What an Event says of a bad value, with TKE's code where it has one. */
export function badValueText(
  at: string,
  { key, code: known, valueCode: code = known, on }: Pick<Annotation, "key" | "code" | "valueCode" | "on">,
  value: string,
  fix: string,
): string {
  const message = `${at}: annotation ${key} is "${value}": ${fix}`;
  return code === undefined ? message : tkeCode(code, message, on === "Ingress" ? on : "Service");
}

/** The known key that looks most like the one that is given; undefined if none looks like it. */
export function nearestKey(key: string, known: readonly string[]): string | undefined {
  const most = Math.max(2, Math.floor(nameOf(key).length / 3));
  let best: { readonly key: string; readonly distance: number } | undefined;
  for (const candidate of known) {
    const distance = Math.min(editDistance(key, candidate), editDistance(nameOf(key), nameOf(candidate)));
    if (distance <= most && (best === undefined || distance < best.distance)) best = { key: candidate, distance };
  }
  return best?.key;
}

const nameOf = (key: string): string => key.slice(key.indexOf("/") + 1);

/** How many letters must be added, left out or changed. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, letter] of a.split("").entries()) {
    const next = [i + 1];
    for (const [j, other] of b.split("").entries())
      next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + Number(letter !== other)));
    row = next;
  }
  return row[b.length] ?? 0;
}
