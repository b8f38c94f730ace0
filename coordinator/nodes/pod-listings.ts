import type { PodFact } from "../../common/vocabulary.ts";

export type Labels = Readonly<Record<string, string>>;
/** A Pod that is asked about. `selector`: of a Service that selects it. */
type Listed = { readonly reported: Pick<PodFact, "namespace">; readonly selector: Labels | undefined };
/** One list of a Namespace that tells of all of them; `labelSelector` e.g. "app in (web,shop)". */
export type Listing<T> = { readonly namespace: string; readonly labelSelector: string; readonly of: readonly T[] };

/** More than so many are read with one list. Source: design.md §7. */
export const MOST_GETS = 10;
/** Services whose Pods one list names: `app in (…)` with 50 names of 63 characters stays far below the 8 kB that proxies take of a URL. */
const MOST_NAMED = 50;

/** E.g. "app=web,tier=front". */
export const textOf = (selector: Labels): string =>
  Object.entries(selector)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");

/** All of one Service. */
export function listingOf<T extends Listed>(of: readonly T[]): Listing<T> | undefined {
  const [first] = of;
  if (first?.selector === undefined) return undefined;
  return { namespace: first.reported.namespace, labelSelector: textOf(first.selector), of };
}

/** Few of each of many Services of a namespace: lists by the label that most of their selectors have. Empty where there are not many. */
export function bundled<T extends Listed>(few: readonly T[]): Listing<T>[] {
  const selected = few.filter(({ selector }) => selector !== undefined);
  if (selected.length <= MOST_GETS) return [];
  const uses = Map.groupBy(
    selected.flatMap(({ selector }) => Object.keys(selector ?? {})),
    (label) => label,
  );
  const [label] = [...uses].sort(([, some], [, others]) => others.length - some.length)[0] ?? [];
  if (label === undefined) return [];
  const byValue = [...Map.groupBy(selected, ({ selector }) => selector?.[label])].filter(([value]) => value !== undefined);
  const listings: Listing<T>[] = [];
  for (let at = 0; at < byValue.length; at += MOST_NAMED) {
    const some = byValue.slice(at, at + MOST_NAMED);
    const of = some.flatMap(([, waiting]) => waiting);
    const namespace = of[0]?.reported.namespace ?? "";
    if (of.length > MOST_GETS) listings.push({ namespace, labelSelector: `${label} in (${some.map(([value]) => value).join(",")})`, of });
  }
  return listings;
}
