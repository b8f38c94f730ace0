import type { GroupRule } from "../../common/reachability.ts";

/** One rule as the cloud has it, without what it does not use. `serviceTemplate` e.g. "ppm-…" or "ppmg-…", `addressTemplate` "ipm-…" or "ipmg-…". */
export type Policy = {
  readonly index: number;
  readonly accept: boolean;
  /** "" with a service template. */
  readonly protocol: string;
  readonly port: string;
  readonly serviceTemplate: string;
  /** IPv4 or IPv6. */
  readonly cidr: string;
  readonly securityGroup: string;
  readonly addressTemplate: string;
};

/** What references stand for: members by id; a text instead says why they are not known. Members of a group of templates are ids. */
export type References = { readonly members: ReadonlyMap<string, readonly string[] | string> };

/** Addresses that a rule may have after its references are resolved; more is not pushed to every node. Source: clb-api.md §6.1 (512 rules). */
export const MOST_MEMBERS = 512;
/**
 * Addresses and services of all rules of a group; what comes after them is not known. An IPv6 range is 80 bytes: 2.4 MB, and an agent takes
 * messages of 4 MiB (the default of gRPC).
 */
const MOST_TEXTS = 30_000;
/** A group of templates that holds groups: deeper than the console allows. */
const MOST_DEPTH = 4;

/** Ids that a rule refers to, e.g. ["ipm-users001", "sg-node0001"]. */
export const referencesIn = ({ serviceTemplate, securityGroup, addressTemplate }: Policy): string[] =>
  [serviceTemplate, securityGroup, addressTemplate].filter((id) => id !== "");

/** Pure: rules with every reference resolved, for agents. */
export function groupRules(policies: readonly Policy[], references: References): GroupRule[] {
  let left = MOST_TEXTS;
  return policies.map((policy) => {
    const rule = ruleOf(policy, references);
    const texts = rule.services.length + rule.sources.length;
    if (texts > left)
      return {
        ...rule,
        services: [],
        sources: [],
        unresolved: `the rules above it have ${MOST_TEXTS - left} addresses, more is not sent to nodes`,
      };
    left -= texts;
    return rule;
  });
}

function ruleOf(policy: Policy, references: References): GroupRule {
  const services = policy.serviceTemplate === "" ? { texts: [serviceOf(policy)], fault: "" } : expand(policy.serviceTemplate, references);
  const sources = sourcesOf(policy, references);
  const faults = [services.fault, sources.fault].filter((fault) => fault !== "");
  return {
    index: policy.index,
    accept: policy.accept,
    services: services.fault === "" ? services.texts : [],
    sources: sources.texts,
    text: textOf(policy),
    unresolved: faults.join(", "),
  };
}

/** "TCP" and "80,443" as templates write it: "tcp:80,443". */
const serviceOf = ({ protocol, port }: Policy): string => {
  const name = protocol === "" ? "all" : protocol.toLowerCase();
  return port === "" || /^all$/i.test(port) ? name : `${name}:${port.toLowerCase()}`;
};

type Expanded = { readonly texts: readonly string[]; readonly fault: string };

function sourcesOf({ cidr, securityGroup, addressTemplate }: Policy, references: References): Expanded {
  if (cidr !== "") return { texts: [cidr], fault: "" };
  const id = securityGroup || addressTemplate;
  if (id === "") return { texts: [], fault: "the rule names no source" };
  return expand(id, references);
}

/** What an id stands for, groups of templates included; one that leads back to itself is a fault. */
function expand(id: string, references: References, above: readonly string[] = []): Expanded {
  if (above.includes(id)) return { texts: [], fault: `${id} refers to itself` };
  if (above.length >= MOST_DEPTH) return { texts: [], fault: `${above[0]} refers to more than ${MOST_DEPTH} levels` };
  const members = references.members.get(id);
  if (members === undefined || typeof members === "string") return { texts: [], fault: members ?? `${id} is not known` };
  if (!/^(ipmg|ppmg)-/.test(id)) {
    if (members.length > MOST_MEMBERS) return { texts: [], fault: `${id} has ${members.length} members, more than ${MOST_MEMBERS}` };
    return { texts: members, fault: "" };
  }
  const parts = members.map((member) => expand(member, references, [...above, id]));
  return { texts: parts.flatMap(({ texts }) => texts), fault: parts.find(({ fault }) => fault !== "")?.fault ?? "" };
}

/** E.g. "DROP TCP 8000-9000 from 0.0.0.0/0". */
function textOf({ accept, protocol, port, serviceTemplate, cidr, securityGroup, addressTemplate }: Policy): string {
  const service = serviceTemplate || `${protocol.toUpperCase() || "ALL"}${port === "" || /^all$/i.test(port) ? "" : ` ${port}`}`;
  return `${accept ? "ACCEPT" : "DROP"} ${service} from ${cidr || securityGroup || addressTemplate || "no source"}`;
}
