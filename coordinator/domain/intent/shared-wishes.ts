import { type Certificate, canonicalDomain, type DomainSettings, hasCertificate, type ListenerWish } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";

/** A listener as one of those asks for it that share it. */
type View = ListenerWish & {
  readonly sharedName?: string;
  readonly owner: ObjectRef;
  readonly protocol: string;
  readonly port: number;
  readonly rules?: readonly ViewRule[];
};
type ViewRule = DomainSettings & { readonly domain: string; readonly lacksCertificate?: true };

/** Two owners of one load balancer wish different things, e.g. { setting: "securityGroups" }; the older one's wish counts. */
export type SettingConflict = { readonly owner: ObjectRef; readonly holder: ObjectRef; readonly setting: string };

/** What belongs to a whole listener or domain, and whose wish it is. */
type Wish<T> = { readonly holder: ObjectRef; readonly value: T };

/**
 * Pure: a shared listener has one default domain, and each of its domains one certificate, whoever has rules there: those of the oldest who
 * wishes any. `listeners` oldest owner first.
 */
export function settleShared<L extends View>(
  listeners: readonly L[],
): {
  readonly listeners: readonly L[];
  readonly conflicts: readonly SettingConflict[];
} {
  const conflicts: SettingConflict[] = [];
  const bySharedName = Map.groupBy(listeners, ({ sharedName }) => sharedName);
  const settled = new Map<L, L>();
  for (const [name, views] of bySharedName) {
    if (name === undefined || views.length < 2) continue;
    const one = wishesIn(views, conflicts);
    for (const view of views) settled.set(view, withWishes(view, one));
  }
  return { listeners: listeners.map((one) => settled.get(one) ?? one), conflicts };
}

type Wishes = {
  readonly certificates: ReadonlyMap<string, Wish<Certificate>>;
  readonly http2: ReadonlyMap<string, Wish<boolean>>;
  readonly listener: ListenerWish;
};

function wishesIn(views: readonly View[], conflicts: SettingConflict[]): Wishes {
  const [certificates, http2] = [new Map<string, Wish<Certificate>>(), new Map<string, Wish<boolean>>()];
  let listener: ListenerWish = {};
  const told = new Set<string>();
  for (const { owner, protocol, port, rules = [], keepalive, defaultDomain } of views) {
    listener = { ...(keepalive !== undefined && { keepalive }), ...(defaultDomain !== undefined && { defaultDomain }), ...listener };
    for (const rule of rules) {
      const domain = canonicalDomain(rule.domain);
      if (rule.http2 !== undefined && !http2.has(domain)) http2.set(domain, { holder: owner, value: rule.http2 });
      if (rule.certificate === undefined) continue;
      const known = certificates.get(domain);
      if (known === undefined) certificates.set(domain, { holder: owner, value: rule.certificate });
      else if (!hasCertificate(known.value, rule.certificate) && !told.has(`${owner.uid} ${domain}`)) {
        told.add(`${owner.uid} ${domain}`);
        conflicts.push({ owner, holder: known.holder, setting: `the certificate of host ${domain} at ${protocol}:${port}` });
      }
    }
  }
  return { certificates, http2, listener };
}

function withWishes<L extends View>(view: L, { certificates, http2, listener }: Wishes): L {
  const settled = (rule: ViewRule): ViewRule => {
    const domain = canonicalDomain(rule.domain);
    const [certificate, fast] = [certificates.get(domain)?.value, http2.get(domain)?.value];
    if (certificate === rule.certificate && fast === rule.http2) return rule;
    const { lacksCertificate: _, ...rest } = rule;
    return {
      ...(certificate === undefined ? rule : rest),
      ...(certificate !== undefined && { certificate }),
      ...(fast !== undefined && { http2: fast }),
    };
  };
  return { ...view, ...listener, ...(view.rules !== undefined && { rules: view.rules.map(settled) }) };
}
