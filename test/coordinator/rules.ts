/** An owner that asks for rules, which no object does yet: each port of a Service becomes an HTTP listener with two rules. */
import { listenerName } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { type AskedPlace, askedPlaces } from "../../coordinator/domain/intent/asked-places.ts";
import type { DesiredLoadBalancer, WantedListener } from "../../coordinator/domain/intent/desired-load-balancer.ts";
import type { OwnerIntent } from "../../coordinator/domain/intent/owner-intent.ts";
import type { Listener, Rule } from "../../coordinator/domain/load-balancer.ts";
import { aListener, aRule, aWantedHttpListener, CLUSTER } from "../builders.ts";

/** "/cart" is for all Pods of the Service, "/" at the load balancer's own address for those that are labelled "tier": "front". */
const RULES = [
  { domain: "Shop.example.com", url: "/cart" },
  { domain: "", url: "/" },
] as const;
const asksFor = (url: string, { labels }: PodFact): boolean => url === "/cart" || labels["tier"] === "front";

/** The places of `askedPlaces`, in rules. */
export const placesInRules = (owner: OwnerIntent): AskedPlace[] =>
  askedPlaces(CLUSTER, owner).flatMap((place) =>
    RULES.map((rule): AskedPlace => {
      const standing = (pod: PodFact) => (asksFor(rule.url, pod) ? place.standing(pod) : undefined);
      return { ...place, listenerName: listenerName(CLUSTER, owner.ref.uid, "HTTP", place.port), protocol: "HTTP", rule, standing };
    }),
  );

/** The same of what is desired. */
export const desiredInRules = (desired: DesiredLoadBalancer): DesiredLoadBalancer => ({
  ...desired,
  listeners: desired.listeners.map(({ owner, port, healthCheck, standings }): WantedListener => {
    const rules = RULES.map((rule) => {
      const here = standings.filter(({ pod }) => asksFor(rule.url, pod));
      return { ...rule, healthCheck, standings: here, backends: here.flatMap((one) => ("backend" in one ? [one.backend] : [])) };
    });
    return aWantedHttpListener({ name: listenerName(CLUSTER, owner.uid, "HTTP", port), owner, port, rules });
  }),
});

/** The HTTP listener of aService as the cloud has it, with these rules. */
export const anHttpListener = (...rules: readonly Rule[]): Listener =>
  aListener({ name: aWantedHttpListener().name, protocol: "HTTP", rules });
export const cartRule = (change: Partial<Rule> = {}): Rule => aRule({ domain: "shop.example.com", url: "/cart", ...change });
export const homeRule = (change: Partial<Rule> = {}): Rule => aRule({ locationId: "loc-2", domain: "198.18.0.1", ...change });
