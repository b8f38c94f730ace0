import { canonicalDomain } from "../load-balancer.ts";
import { layer4Section, ruleSection, type StandingOf } from "./auto-config-sections.ts";
import { field } from "./config-fields.ts";
import { type IntentPort, type IntentRule, servingRules } from "./intent-port.ts";
import type { UnservedPort } from "./service.ts";
import { ruleWishKey, wishKey } from "./service-config.ts";

/**
 * What is to be written into a TkeServiceConfig that is made for its owner. `loadBalancer`: the lists of `spec.loadBalancer` that change,
 * each whole. `inStep`: the listeners and rules that it is in step with then, e.g. ["TCP/80", "HTTP/80", "HTTP/80 shop.example.com /"].
 */
export type AutoConfig = {
  readonly loadBalancer: { readonly l4Listeners?: readonly unknown[]; readonly l7Listeners?: readonly unknown[] };
  readonly inStep: readonly string[];
};

/** `present`: undefined, there is no such object yet. */
export type AutoConfigFrom = {
  readonly ports: readonly IntentPort[];
  /** What listens in the place of these stays, and so does what tunes it. */
  readonly unserved: readonly UnservedPort[];
  readonly present: { readonly spec: unknown; readonly inStep: readonly string[] } | undefined;
  readonly standingOf: StandingOf;
};

/**
 * Pure: sections for listeners and rules that have none, none for those that the owner had and has no more; undefined: all is in step.
 *
 * | listener or rule | section there | section not there |
 * |---|---|---|
 * | asked for | as it is | added: what the load balancer has, else defaults |
 * | was in step, asked for no more | taken out | |
 * | never was | a person's: as it is | |
 *
 * A list or section that cannot be read is a person's as well: it stays, and its reader tells what is wrong.
 */
export function planAutoConfig({ ports, unserved, present, standingOf }: AutoConfigFrom): AutoConfig | undefined {
  const asked = ports.flatMap(namesOf);
  const isKept = (name: string): boolean => unserved.some(({ port }) => listenerPart(name).endsWith(`/${port}`));
  const former = (present?.inStep ?? []).filter((name) => !asked.includes(name));
  const leaving = new Set(former.filter((name) => !isKept(name)));
  const inStep = [...asked, ...former.filter(isKept)].sort();
  const body = field(present?.spec, "loadBalancer");
  const layer4 = listOf(body, "l4Listeners", (list) => mergedLayer4(list, ports, leaving, standingOf));
  const layer7 = listOf(body, "l7Listeners", (list) => mergedLayer7(list, ports, leaving, standingOf));
  const loadBalancer = { ...layer4, ...layer7 };
  const isSame = present !== undefined && sameItems([...present.inStep].sort(), inStep);
  return isSame && Object.keys(loadBalancer).length === 0 ? undefined : { loadBalancer, inStep };
}

/** What does not change stays the same object. */
const sameItems = (a: readonly unknown[], b: readonly unknown[]): boolean => a.length === b.length && a.every((item, at) => item === b[at]);

/** The listener of a port, and its rules. */
const namesOf = ({ protocol, port, rules }: IntentPort): string[] => {
  const listener = wishKey(protocol, port);
  return [listener, ...(rules ?? []).map((rule) => ruleWishKey(listener, rule))];
};

/** "HTTP/80" of "HTTP/80 shop.example.com /". */
const listenerPart = (name: string): string => name.split(" ", 1)[0] ?? "";

/** The list as it is to be, under its name; empty where nothing of it changes, or where it is no list. */
function listOf(
  body: unknown,
  name: string,
  merged: (list: readonly unknown[]) => readonly unknown[],
): Readonly<Record<string, readonly unknown[]>> {
  if (body !== undefined && (typeof body !== "object" || body === null || Array.isArray(body))) return {};
  const list = field(body, name) ?? [];
  if (!Array.isArray(list)) return {};
  const wanted = merged(list);
  return sameItems(wanted, list) ? {} : { [name]: wanted };
}

const sectionName = (section: unknown): string => `${String(field(section, "protocol"))}/${String(field(section, "port"))}`;

function mergedLayer4(
  list: readonly unknown[],
  ports: readonly IntentPort[],
  leaving: ReadonlySet<string>,
  standingOf: StandingOf,
): unknown[] {
  const staying = list.filter((section) => !leaving.has(sectionName(section)));
  const names = new Set(staying.map(sectionName));
  const missing = ports.filter(({ protocol, port, rules }) => rules === undefined && !names.has(wishKey(protocol, port)));
  return [...staying, ...missing.map((port) => layer4Section(port, standingOf(port)))];
}

function mergedLayer7(
  list: readonly unknown[],
  ports: readonly IntentPort[],
  leaving: ReadonlySet<string>,
  standingOf: StandingOf,
): unknown[] {
  const staying = list.filter((section) => !leaving.has(sectionName(section)));
  const asked = ports.filter(({ rules }) => rules !== undefined);
  const merged = staying.map((section) => {
    const port = asked.find(({ protocol, port: number }) => sectionName(section) === wishKey(protocol, number));
    return port === undefined ? section : withDomains(section, port, leaving, standingOf);
  });
  const names = new Set(staying.map(sectionName));
  const missing = asked.filter(({ protocol, port }) => !names.has(wishKey(protocol, port)));
  return [...merged, ...missing.map((port) => withDomains({ protocol: port.protocol, port: port.port }, port, leaving, standingOf))];
}

/** A section of `l7Listeners` with an entry for each rule that serves. */
function withDomains(section: unknown, port: IntentPort, leaving: ReadonlySet<string>, standingOf: StandingOf): unknown {
  const listener = wishKey(port.protocol, port.port);
  const present = field(section, "domains") ?? [];
  if (!Array.isArray(present)) return section;
  const staying = present.flatMap((domain: unknown): unknown[] => {
    const rules = field(domain, "rules");
    if (!Array.isArray(rules)) return [domain];
    const left = rules.filter((rule: unknown) => !leaving.has(nameOf(listener, domain, rule)));
    if (left.length === rules.length) return [domain];
    return left.length === 0 ? [] : [{ ...Object(domain), rules: left }];
  });
  const names = new Set(staying.flatMap((domain) => listed(domain).map((rule) => nameOf(listener, domain, rule))));
  const missing = servingRules(port).filter((rule) => !names.has(ruleWishKey(listener, rule)));
  const domains = missing.reduce((all, rule) => withRule(all, rule, ruleSection(port, rule, standingOf(port, rule))), staying);
  return sameItems(domains, present) ? section : { ...Object(section), domains };
}

const listed = (domain: unknown): readonly unknown[] => {
  const rules = field(domain, "rules");
  return Array.isArray(rules) ? rules : [];
};

const nameOf = (listener: string, domain: unknown, rule: unknown): string =>
  ruleWishKey(listener, { domain: String(field(domain, "domain")), url: String(field(rule, "url")) });

/** The rule at its domain, which may be there already. */
function withRule(domains: readonly unknown[], { domain }: Pick<IntentRule, "domain">, rule: object): unknown[] {
  const at = domains.findIndex((one) => canonicalDomain(String(field(one, "domain"))) === canonicalDomain(domain) && isOpen(one));
  if (at === -1) return [...domains, { domain, rules: [rule] }];
  return domains.map((one, index) => (index === at ? { ...Object(one), rules: [...listed(one), rule] } : one));
}

/** Its rules are a list, or it has none yet. */
const isOpen = (domain: unknown): boolean => field(domain, "rules") === undefined || Array.isArray(field(domain, "rules"));
