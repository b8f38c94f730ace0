import { listenerName, sharedListenerName } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import {
  canonicalDomain,
  createdRule,
  isLayer7,
  type Listener,
  type ListenerProtocol,
  type LoadBalancer,
  needsCertificate,
  type Place,
  ruleKey,
  samePort,
} from "../load-balancer.ts";
import { type PodStanding, standings } from "./backends.ts";
import { type CertificateSource, type IntentPort, portOfRule, servingRules } from "./intent-port.ts";
import { intentOf, type OwnerIntent } from "./owner-intent.ts";

/**
 * A place that an owner asks for: a listener, or with `rule` a rule of it, e.g. { listenerName: "cd-1f0c9a2b-5e21c0ffee12-tcp80",
 * protocol: "TCP", port: 80 }. `standing`: where one Pod stands there; undefined: the place does not ask for it.
 */
export type AskedPlace = {
  readonly listenerName: string;
  /** The name with which it is created, where the Ingresses of a group share it. */
  readonly sharedName?: string;
  readonly protocol: ListenerProtocol;
  readonly port: number;
  readonly rule?: RuleName;
  /** Where its certificate comes from, where TLS ends there. */
  readonly certificate?: CertificateSource;
  readonly standing: (pod: PodFact) => PodStanding | undefined;
};
/** "" as `domain` stands for the load balancer's address. */
type RuleName = { readonly domain: string; readonly url: string };

/** Pure: every place that the owner asks for as one that has backends; none while nothing good is known of it, or when it goes. */
export function askedPlaces(clusterId: string, owner: OwnerIntent): AskedPlace[] {
  const intent = owner.state === "deleted" ? undefined : intentOf(owner);
  if (intent === undefined) return [];
  return intent.ports.flatMap((port): AskedPlace[] => {
    const { protocol, port: number } = port;
    const name = listenerName(clusterId, owner.ref.uid, protocol, number);
    const shared = intent.group && isLayer7(protocol) && { sharedName: sharedListenerName(clusterId, protocol, number) };
    const place = { listenerName: name, ...shared, protocol, port: number };
    const standing = (asked: IntentPort) => (pod: PodFact) => standings(intent, asked, [pod])[0];
    const certified = (certificate = port.certificate) => (needsCertificate(protocol) && certificate ? { certificate } : {});
    if (!isLayer7(protocol)) return [{ ...place, ...certified(), standing: standing(port) }];
    return servingRules(port).map((rule) => {
      const { domain, url } = rule;
      return { ...place, rule: { domain, url }, ...certified(rule.certificate), standing: standing(portOfRule(port, rule)) };
    });
  });
}

/** "TCP:80" or "HTTP:80 shop.example.com/cart", for people. */
export const placeName = ({ protocol, port, rule }: Pick<AskedPlace, "protocol" | "port" | "rule">): string =>
  rule === undefined ? `${protocol}:${port}` : `${protocol}:${port} ${rule.domain}${rule.url}`;

/** Pure: the place as the load balancer has it, or why it has it not. */
export function findPlace(asked: AskedPlace, actual: LoadBalancer): Place | "port taken" | "no listener" | "no rule" {
  const { listenerName: name, protocol, port, rule } = asked;
  const listener = actual.listeners.find((candidate) => candidate.name === name);
  if (listener === undefined) {
    const isTaken = actual.listeners.some((other) => other.port === port && samePort(other.protocol, protocol));
    return isTaken ? "port taken" : "no listener";
  }
  if (!isLayer7(listener.protocol)) return listener;
  return (rule && ruleOf(listener, rule, actual)) ?? "no rule";
}

function ruleOf(listener: Listener, rule: RuleName, at: LoadBalancer): Place | undefined {
  const key = ruleKey({ domain: domainOf(rule.domain, at), url: rule.url });
  return listener.rules.find((candidate) => ruleKey(candidate) === key);
}

/**
 * A rule without a domain serves the load balancer's address, which the cloud wants to be told (clb-api.md §2.2): its VIP, or the name that it
 * has instead of one.
 */
export const domainOf = (domain: string, { vips, domain: name = "" }: Pick<LoadBalancer, "vips" | "domain">): string =>
  canonicalDomain(domain === "" ? (vips[0] ?? name) : domain);

/** Pure: a place that is not there, as the call that creates it names it: a listener by its name, a rule in its listener. */
export function createdName({ listenerName: name, sharedName, rule }: AskedPlace, actual: LoadBalancer): string {
  const listener = actual.listeners.find((one) => one.name === name);
  if (rule === undefined || listener === undefined) return sharedName ?? name;
  return createdRule(listener.listenerId, { domain: domainOf(rule.domain, actual), url: rule.url });
}
