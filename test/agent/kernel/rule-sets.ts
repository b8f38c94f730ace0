/** Security groups for tables of verdicts: kinds of rules that decide differently by sender and protocol. */

/** E.g. { accept: true, services: ["tcp:80,8080"], sources: ["198.51.100.0/24"] }. */
export type Rule = { readonly accept: boolean; readonly services: readonly string[]; readonly sources: readonly string[] };
/** The groups of an ENI, in their order; each with its rules, the first that fits decides. */
export type RuleSet = readonly (readonly Rule[])[];

/** What is asked about; rules name it, ranges around it, or others. */
export const PORT = 8080;
/** Two clients, and one out of the range of VIPs. */
export const SENDERS = ["198.51.100.1", "203.0.113.5", "198.18.0.1"] as const;
const ANY = "0.0.0.0/0";

const aRule = (action: "ACCEPT" | "DROP", services: readonly string[], sources: readonly string[]): Rule => ({
  accept: action === "ACCEPT",
  services,
  sources,
});

export const RULE_SETS: Readonly<Record<string, RuleSet>> = {
  "everything accepted": [[aRule("ACCEPT", ["all"], [ANY])]],
  "the port dropped above an accept": [[aRule("DROP", ["tcp:8000-9000"], [ANY]), aRule("ACCEPT", ["all"], [ANY])]],
  "one network accepted": [[aRule("ACCEPT", ["tcp:80,8080"], ["198.51.100.0/24"])]],
  "one network dropped": [[aRule("DROP", ["all"], ["203.0.113.0/24"]), aRule("ACCEPT", ["all"], [ANY])]],
  "the second of two groups accepts UDP": [[aRule("ACCEPT", ["tcp:22"], [ANY])], [aRule("ACCEPT", ["udp:8080"], [ANY])]],
  "the first of two groups drops": [[aRule("DROP", ["tcp:8080"], ["198.18.0.0/15"])], [aRule("ACCEPT", ["all"], [ANY])]],
  "other ports accepted": [[aRule("ACCEPT", ["tcp:443", "udp:53"], [ANY])]],
  "a group without rules": [[]],
};
