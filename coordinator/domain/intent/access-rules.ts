import type { ServiceIntent } from "./service.ts";

/** What some Namespaces may use, e.g. { namespaces: ["shop"], namespaceLabels: {}, existing: ["lb-1a2b3c4d"], existingTags: {}, create: ["private"], most: 3 }. */
export type AccessRule = {
  /** Names; one that ends in * stands for all that begin so. */
  readonly namespaces: readonly string[];
  /** Or all labels of the Namespace. */
  readonly namespaceLabels: Readonly<Record<string, string>>;
  /** Ids of load balancers that may be named; "*" stands for all. */
  readonly existing: readonly string[];
  /** Or those that have all of these tags. */
  readonly existingTags: Readonly<Record<string, string>>;
  readonly create: readonly ("public" | "private")[];
  /** So many may be created for one Namespace; undefined: as many as the account has. */
  readonly most?: number | undefined;
};
/** `rules` undefined: there are none, and everything is allowed to everybody. `fault`: they cannot be read, and nothing new is allowed. */
export type AccessReading = { readonly rules: readonly AccessRule[] | undefined; readonly fault?: string };

/** Whether a rule speaks of Namespaces by their labels, or of load balancers by their tags: then these have to be read. */
export const asksLabels = (rules: readonly AccessRule[]): boolean =>
  rules.some(({ namespaceLabels }) => Object.keys(namespaceLabels).length > 0);
export const asksTags = (rules: readonly AccessRule[]): boolean => rules.some(({ existingTags }) => Object.keys(existingTags).length > 0);

/** The rules that are for this Namespace. */
export const rulesFor = (rules: readonly AccessRule[], namespace: string, labels: Readonly<Record<string, string>>): AccessRule[] =>
  rules.filter(
    ({ namespaces, namespaceLabels }) =>
      namespaces.some((name) => (name.endsWith("*") ? namespace.startsWith(name.slice(0, -1)) : name === namespace)) ||
      hasAll(labels, namespaceLabels),
  );

const hasAll = (has: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean =>
  Object.keys(wanted).length > 0 && Object.entries(wanted).every(([key, value]) => has[key] === value);

/** What is known besides: tags of the load balancer that is named, and how many were created for the Namespace. */
export type AccessFacts = { readonly tags: Readonly<Record<string, string>>; readonly created: number };

/** Pure: why the source is not allowed by the rules of its Namespace, as the end of a sentence; undefined: it is. */
export function refusedSource(
  mine: readonly AccessRule[],
  source: ServiceIntent["source"],
  { tags, created }: AccessFacts,
): string | undefined {
  if (source.kind === "existing") {
    const { loadBalancerId } = source;
    const isAllowed = mine.some(
      ({ existing, existingTags }) => existing.includes("*") || existing.includes(loadBalancerId) || hasAll(tags, existingTags),
    );
    return isAllowed ? undefined : `may not use load balancer ${loadBalancerId}`;
  }
  const kind = isPrivate(source) ? "private" : "public";
  const creating = mine.filter(({ create }) => create.includes(kind));
  if (creating.length === 0) return `may not create ${kind} load balancers`;
  const most = Math.max(...creating.map((rule) => rule.most ?? Number.POSITIVE_INFINITY));
  return created < most ? undefined : `may have ${most} load balancers that we create, and has ${created}`;
}

const isPrivate = ({ subnetId, order }: Extract<ServiceIntent["source"], { kind: "create" }>): boolean =>
  subnetId !== undefined || order?.["LoadBalancerType"] === "INTERNAL";
