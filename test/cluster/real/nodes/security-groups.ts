/** Pure: nftables rules that play security groups in front of Pods. Written from nft(8), not from the engine that they are compared with. */
import type { RuleSet } from "../../../agent/kernel/rule-sets.ts";

/** For `nft`: whatever is forwarded to such a Pod meets its rules, first match, dropped by default. */
export function groupCommands(pods: readonly { readonly ip: string; readonly rules: RuleSet }[]): string {
  const chains = pods.map(({ rules }, at) => `chain pod${at} { ${[...rules.flat().flatMap(linesOf), "drop"].join("; ")}; }`);
  const jumps = pods.map(({ ip }, at) => `ip daddr ${ip} jump pod${at}`);
  const forward = `chain forward { type filter hook forward priority 0; policy accept; ct state established,related accept; ${jumps.join("; ")}; }`;
  return `table ip groups {\n${[...chains, forward].join("\n")}\n}`;
}

function linesOf({ accept, services, sources }: RuleSet[number][number]): string[] {
  return sources.flatMap((source) =>
    services.map((service) => {
      const [protocol = "", ports = ""] = service.split(":");
      const match = protocol === "all" ? "" : `${protocol} dport { ${ports} } `;
      return `ip saddr ${source} ${match}${accept ? "accept" : "drop"}`;
    }),
  );
}
