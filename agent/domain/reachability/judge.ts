import type { GroupVerdict } from "../../../common/reachability.ts";
import { type CompiledGroup, type CompiledRule, fits } from "./group.ts";
import { common, merged, type Range, type RangeSet, without } from "./ranges.ts";

/** What security groups do with a set of senders. */
export type Judgement = {
  readonly verdict: GroupVerdict;
  /** The rule that decides first, or what is not known; "" for allowed. */
  readonly because: string;
  /** Of the senders those that certainly get through. */
  readonly admitted: RangeSet;
  /** Whether others may get through as well. */
  readonly isExact: boolean;
};

/** Which senders get through, where every loose rule works against them, or for them. */
type Walk = { readonly admitted: RangeSet; readonly firstDrop: CompiledRule | undefined };

/** IPv4 and IPv6 as a whole. */
export const EVERYBODY = { v4: [[0n, (1n << 32n) - 1n]], v6: [[0n, (1n << 128n) - 1n]] } as const satisfies Record<string, RangeSet>;

/**
 * Pure: groups in their order, rules from the top, the first that fits decides, what fits none is denied (clb-api.md §6.2). `senders` is a
 * set of the family `family`. A rule that is not all known may fit or not: where that makes a difference the verdict is `unknown`.
 */
export function judge(
  groups: readonly CompiledGroup[],
  packet: { readonly protocol: string; readonly port: number },
  senders: RangeSet,
  family: "v4" | "v6",
): Judgement {
  const protocol = packet.protocol.toLowerCase();
  const rules = groups.flatMap((group) => group.rules).filter((rule) => rule.isLoose.services || fits(rule, protocol, packet.port));
  const loose = rules.filter((rule) => rule.isLoose.services || rule.isLoose.sources);
  const certain = (rule: CompiledRule): boolean => fits(rule, protocol, packet.port);
  const most = (rule: CompiledRule): RangeSet => (rule.isLoose.sources ? EVERYBODY[family] : rule.sources[family]);
  const least = (rule: CompiledRule): RangeSet => (certain(rule) ? rule.sources[family] : []);
  const worst = walk(rules, senders, (rule) => (rule.accept ? least(rule) : most(rule)));
  const isExact = loose.length === 0;
  const best = isExact ? worst : walk(rules, senders, (rule) => (rule.accept ? most(rule) : least(rule)));
  const result = (verdict: GroupVerdict, because: string): Judgement => ({ verdict, because, admitted: worst.admitted, isExact });
  const names = groups.map(({ id }) => id).join(", ");
  const asked = `${packet.protocol.toUpperCase()} ${packet.port}`;
  const byDefault = `no rule of ${names} lets in ${asked} (what no rule fits is denied)`;
  if (senders.length === 0) return result("denied", "nobody is let in by the load balancer");
  if (best.admitted.length === 0) return result("denied", best.firstDrop?.name ?? byDefault);
  if (without(senders, worst.admitted).length === 0) return result("allowed", "");
  if (worst.admitted.length > 0 && without(senders, best.admitted).length > 0)
    return result("partly", best.firstDrop?.name ?? `${byDefault} for some of them`);
  const [first] = loose;
  return result("unknown", first === undefined ? "" : `${first.name}: ${first.because}`);
}

function walk(rules: readonly CompiledRule[], senders: RangeSet, sourcesOf: (rule: CompiledRule) => RangeSet): Walk {
  let left = senders;
  const admitted: Range[] = [];
  let firstDrop: CompiledRule | undefined;
  for (const rule of rules) {
    if (left.length === 0) break;
    const sources = sourcesOf(rule);
    const taken = common(left, sources);
    if (taken.length === 0) continue;
    if (rule.accept) admitted.push(...taken);
    else firstDrop ??= rule;
    left = without(left, sources);
  }
  return { admitted: merged(admitted), firstDrop };
}
