/**
 * What the security-group engine says, and what a connection really meets: a kernel plays the security group in front of a Pod of each
 * mode, by rules of its routing policy (first match, dropped by default), and every cell of mode × rules × sender × protocol is tried.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { compileGroup } from "../../../agent/domain/reachability/group.ts";
import { judge } from "../../../agent/domain/reachability/judge.ts";
import { addressesOf } from "../../../agent/domain/reachability/ranges.ts";
import type { GroupRule, SecurityGroup } from "../../../common/reachability.ts";
import type { Attempt } from "./peer.ts";
import { PORT, RULE_SETS, type RuleSet, SENDERS } from "./rule-sets.ts";
import { type Namespace, namespaceSkip, Site } from "./site.ts";

const skip = namespaceSkip();
if (skip !== false) process.stdout.write(`skipped: ${skip}\n`);
const run = promisify(execFile);
const PEER = new URL("peer.ts", import.meta.url).pathname;
const groupsOf = (rules: RuleSet): SecurityGroup[] =>
  rules.map((own, number) => ({
    id: `sg-${number}`,
    version: "1",
    rules: own.map((rule, index): GroupRule => ({ ...rule, index, text: rule.services.join(" "), unresolved: "" })),
  }));

/** The same as rules of the routing policy, from the top; what none fits goes to the blackhole. Written from `ip-rule(8)`, not from the engine. */
function policyRules(rules: RuleSet, device: string, accepted: string, first: number): string {
  const lines: string[] = [];
  const add = (selector: string, action: string): void =>
    void lines.push(`ip rule add pref ${first + lines.length} iif ${device} ${selector} ${action}`);
  for (const { accept, services, sources } of rules.flat())
    for (const source of sources)
      for (const service of services) {
        const [protocol = "", ports] = service.split(":");
        const selectors = protocol === "all" ? [""] : (ports ?? "").split(",").map((port) => `ipproto ${protocol} dport ${port}`);
        for (const selector of selectors) add(`from ${source} ${selector}`, accept ? accepted : "blackhole");
      }
  add("", "blackhole");
  return lines.join("\n");
}

const MOST_RULES = 40;
const clear = (first: number): string => `for p in $(seq ${first} ${first + MOST_RULES}); do ip rule del pref $p 2>/dev/null || true; done`;

type Mode = {
  readonly name: string;
  readonly ip: string;
  readonly pod: Namespace;
  readonly filter: (rules: RuleSet) => Promise<void>;
};

async function serveIn(t: TestContext, pod: Namespace): Promise<void> {
  const [file, ...args] = pod.enter(process.execPath, PEER, "serve", String(PORT));
  const server = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => server.kill("SIGKILL"));
  await new Promise((resolve) => server.stdout.once("data", resolve));
}

async function theModes(t: TestContext, site: Site): Promise<Mode[]> {
  await site.attach("eth1", "10.0.3.2/24", "20:90:6f:00:00:02");
  const shared = await site.routePod("a", { ip: "10.0.3.7", eni: "eth1" });
  const bridged = await site.bridgePod("g", { ip: "172.16.3.7" });
  const exclusive = await site.exclusivePod("x", { ip: "10.0.6.7", mac: "20:90:6f:00:00:09" });
  // In the Pod's own namespace packets for itself are looked up first of all; the filter has to come before that.
  await exclusive.sh("ip rule add pref 500 lookup local; ip rule del pref 0");
  await site.vpc.sh(SENDERS.map((ip) => `ip addr add ${ip}/32 dev lo`).join("; "));
  for (const pod of [shared, bridged, exclusive]) await serveIn(t, pod);
  const laid = (rules: RuleSet, device: string, accepted: string, first: number): string =>
    `${clear(first)}\n${policyRules(rules, device, accepted, first)}`;
  const inNode =
    (device: string, first: number): Mode["filter"] =>
    async (rules) =>
      void (await site.node.sh(laid(rules, device, "lookup main", first)));
  return [
    { name: "tke-route-eni: the ENI's groups", ip: "10.0.3.7", pod: shared, filter: inNode("eth1", 100) },
    { name: "tke-bridge: the node's groups", ip: "172.16.3.7", pod: bridged, filter: inNode("eth0", 200) },
    {
      name: "tke-direct-eni: the groups of the Pod's own ENI",
      ip: "10.0.6.7",
      pod: exclusive,
      filter: async (rules) => void (await exclusive.sh(laid(rules, "eth0", "lookup local", 100))),
    },
  ];
}

async function met(site: Site, attempts: readonly Attempt[]): Promise<boolean[]> {
  const [file, ...args] = site.vpc.enter(process.execPath, PEER, "connect", JSON.stringify(attempts));
  return JSON.parse((await run(file, args)).stdout) as boolean[]; // from the program beside this file
}

test("the security-group verdict is what a connection really meets, in every cell", { skip, timeout: 180_000 }, async (t) => {
  const site = await Site.make(t);
  const modes = await theModes(t, site);
  const cells: { readonly cell: string; readonly verdict: string; readonly met: string }[] = [];
  for (const [rulesName, rules] of Object.entries(RULE_SETS)) {
    const groups = groupsOf(rules).map(compileGroup);
    for (const { filter } of modes) await filter(rules);
    const attempts = modes.flatMap(({ ip }) =>
      SENDERS.flatMap((from) => ["TCP", "UDP"].map((protocol): Attempt => ({ protocol, from, to: ip, port: PORT }))),
    );
    const answers = await met(site, attempts);
    for (const [index, { protocol, from, to }] of attempts.entries()) {
      const { verdict } = judge(groups, { protocol, port: PORT }, addressesOf([from]).addresses.v4, "v4");
      const name = modes.find(({ ip }) => ip === to)?.name ?? "";
      cells.push({
        cell: `${name} | ${rulesName} | ${protocol} from ${from}`,
        verdict,
        met: answers[index] === true ? "allowed" : "denied",
      });
    }
  }
  assert.deepEqual(
    cells.filter(({ verdict, met: real }) => verdict !== real),
    [],
  );
  assert.ok(cells.length >= 40 && new Set(cells.map(({ met: real }) => real)).size === 2, `${cells.length} cells`);
  t.diagnostic(
    `${cells.length} cells: ${cells.filter((one) => one.met === "allowed").length} allowed, ${cells.filter((one) => one.met === "denied").length} denied`,
  );
});

test("the probe's words: open, refused, and what is dropped on the way is timed out or unreachable", {
  skip,
  timeout: 60_000,
}, async (t) => {
  const site = await Site.make(t);
  await site.attach("eth1", "10.0.3.2/24", "20:90:6f:00:00:02");
  await serveIn(t, await site.routePod("a", { ip: "10.0.3.7", eni: "eth1" }));
  await site.routePod("b", { ip: "10.0.3.8", eni: "eth1" });
  await site.node.sh(
    "ip route replace blackhole 10.0.3.9/32; ip route replace unreachable 10.0.3.10/32; ip route replace 10.0.3.11/32 dev eth1",
  );
  const script = `import { makePortProbe } from ${JSON.stringify(new URL("../../../agent/adapters/port-probe.ts", import.meta.url).pathname)};
    import { makeClock } from ${JSON.stringify(new URL("../../../common/clock.ts", import.meta.url).pathname)};
    const probe = makePortProbe(makeClock());
    const never = new AbortController().signal;
    const ips = ["10.0.3.7", "10.0.3.8", "10.0.3.9", "10.0.3.10", "10.0.3.11"];
    console.log(JSON.stringify(await Promise.all(ips.map(async (ip) => (await probe({ ip, port: ${PORT}, protocol: "TCP" }, never)).result))));`;
  const [file, ...args] = site.node.enter(process.execPath, "--input-type=module", "-e", script);
  const [open, refused, blackhole, unreachable, silent] = JSON.parse((await run(file, args)).stdout) as string[];
  assert.deepEqual([open, refused, unreachable, silent], ["open", "refused", "unreachable", "timed-out"]);
  assert.equal(blackhole, "unreachable", "the node's own kernel says at once that it drops it");
});
