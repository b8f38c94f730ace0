import type { GroupRule, SecurityGroup } from "../../../common/reachability.ts";
import { type Addresses, addressesOf } from "./ranges.ts";

/** Protocols as policies and service templates name them, in lower case; "all" stands for every one. */
type Service = { readonly protocol: string; readonly from: number; readonly to: number };

/**
 * A rule that can be evaluated. `isLoose.services`: it may also fit services that are not in the list; `isLoose.sources`: it may also fit
 * senders that are not in the set.
 */
export type CompiledRule = {
  readonly name: string;
  readonly accept: boolean;
  readonly services: readonly Service[];
  readonly sources: Addresses;
  readonly isLoose: { readonly services: boolean; readonly sources: boolean };
  /** Why it is loose, for people. */
  readonly because: string;
};
export type CompiledGroup = { readonly id: string; readonly version: string; readonly rules: readonly CompiledRule[] };

const LAST_PORT = 65_535;

/** In the order of the policy index, whatever the order in which they came. */
export function compileGroup({ id, version, rules }: SecurityGroup): CompiledGroup {
  const ordered = rules.toSorted((one, other) => one.index - other.index);
  return { id, version, rules: ordered.map((rule) => compileRule(id, rule)) };
}

function compileRule(groupId: string, rule: GroupRule): CompiledRule {
  const services = rule.services.map((text) => parseService(text));
  const wrongServices = rule.services.filter((_, index) => services[index] === undefined);
  const { addresses: sources, wrong: wrongSources } = addressesOf(rule.sources);
  const faults = [
    rule.unresolved,
    ...wrongServices.map((text) => `service "${text}" cannot be read`),
    ...wrongSources.map((text) => `source "${text}" cannot be read`),
  ].filter((fault) => fault !== "");
  return {
    name: `${groupId} rule ${rule.index} (${rule.text})`,
    accept: rule.accept,
    services: services.flatMap((service) => service ?? []),
    sources,
    isLoose: {
      services: wrongServices.length > 0 || rule.services.length === 0,
      sources: wrongSources.length > 0 || (rule.unresolved !== "" && rule.services.length > 0),
    },
    because: faults.join(", "),
  };
}

/** "tcp:80,443", "tcp:8000-9000", "udp:all", "icmp", "all", "ALL:ALL"; undefined where it is none. Source: clb-api.md §6.3. */
function parseService(text: string): readonly Service[] | undefined {
  const [protocol = "", ports = "all", ...rest] = text.trim().toLowerCase().split(":");
  if (!/^(all|tcp|udp|icmp|icmpv6|gre)$/.test(protocol) || rest.length > 0) return undefined;
  const ranges = ports.split(",").map((part) => parsePorts(part.trim()));
  if (ranges.some((range) => range === undefined)) return undefined;
  return ranges.flatMap((range) => (range === undefined ? [] : [{ protocol, ...range }]));
}

function parsePorts(text: string): { readonly from: number; readonly to: number } | undefined {
  if (text === "all" || text === "") return { from: 0, to: LAST_PORT };
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const from = Number(first);
  const to = last === undefined ? from : Number(last);
  return from <= to && to <= LAST_PORT ? { from, to } : undefined;
}

/** "tcp" and 8080. */
export const fits = (rule: CompiledRule, protocol: string, port: number): boolean =>
  rule.services.some(
    (service) => (service.protocol === "all" || service.protocol === protocol) && service.from <= port && port <= service.to,
  );
