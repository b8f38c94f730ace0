/** What the agent sees of a real kernel, in network namespaces that are built as TKE's plugins build a node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { makeHostNetwork } from "../../../agent/adapters/host-network.ts";
import { makeKernel } from "../../../agent/adapters/kernel.ts";
import { carriersIn } from "../../../agent/domain/carrier.ts";
import { makeClock } from "../../../common/clock.ts";
import { until } from "../until.ts";
import { namespaceSkip, Site } from "./site.ts";

const skip = namespaceSkip();
if (skip !== false) process.stdout.write(`skipped: ${skip}\n`);
const never = new AbortController().signal;
const ETH1 = "20:90:6f:00:00:02";
const ETH2 = "20:90:6f:00:00:03";

const seenIn = async (site: Site) => carriersIn(await makeKernel(site.node.enter("ip")).read(never));

for (const [version, options] of [
  ["of before 3.8 (tables 2000 + n)", { tableOf: (eni: string) => 2000 + Number(eni.slice(3)) }],
  ["since 3.8 (tables 4000 + n)", {}],
  [
    "of the open code (table 1), other priorities",
    { tableOf: (eni: string) => Number(eni.slice(3)), toPriority: 1024, fromPriority: 2048 },
  ],
] as const)
  test(`shared ENI, component ${version}: Pod IP, rule, table, interface, MAC`, { skip }, async (t) => {
    const site = await Site.make(t, options);
    await site.attach("eth1", "10.0.3.2/24", ETH1);
    await site.attach("eth2", "10.0.4.2/24", ETH2);
    await site.routePod("a", { ip: "10.0.3.7", eni: "eth1" });
    await site.routePod("b", { ip: "10.0.4.7", eni: "eth2" });
    const carrierOf = await seenIn(site);
    const { hostInterface, note } = carrierOf("10.0.3.7");
    const table = "tableOf" in options ? options.tableOf("eth1") : 4001;
    assert.deepEqual([hostInterface, note], [{ name: "eth1", mac: ETH1, kind: "eni", table }, ""]);
    assert.equal(carrierOf("10.0.4.7").hostInterface?.mac, ETH2);
    assert.match(carrierOf("10.0.5.7").note, /carries 10\.0\.5\.7/);
  });

test("IPv6 and dual stack: either address leads to the same ENI", { skip }, async (t) => {
  const site = await Site.make(t);
  await site.attach("eth1", "10.0.3.2/24", ETH1);
  await site.routePod("a", { ip: "10.0.3.7", ip6: "fd00:3::7", eni: "eth1" });
  const carrierOf = await seenIn(site);
  assert.deepEqual(
    ["10.0.3.7", "fd00:3::7"].map((ip) => carrierOf(ip).hostInterface?.mac),
    [ETH1, ETH1],
  );
});

test("GlobalRouter: over the node's bridge, beside a Pod with an ENI; hostNetwork: the node itself; exclusive ENI: not seen", {
  skip,
}, async (t) => {
  const site = await Site.make(t);
  await site.attach("eth1", "10.0.3.2/24", ETH1);
  await site.routePod("a", { ip: "10.0.3.7", eni: "eth1" });
  await site.bridgePod("g", { ip: "172.16.3.7" });
  await site.exclusivePod("x", { ip: "10.0.6.7", mac: "20:90:6f:00:00:09" });
  const carrierOf = await seenIn(site);
  const kinds = ["10.0.3.7", "172.16.3.7", "10.0.1.2", "10.0.6.7"].map((ip) => carrierOf(ip).hostInterface?.kind);
  assert.deepEqual(kinds, ["eni", "bridge", "node", undefined]);
});

test("changes at run time are seen at once: a new Pod, an address that moves, an ENI that is detached", { skip }, async (t) => {
  const site = await Site.make(t);
  await site.attach("eth1", "10.0.3.2/24", ETH1);
  await site.attach("eth2", "10.0.4.2/24", ETH2);
  const over = new AbortController();
  let due = 0;
  const network = makeHostNetwork({
    kernel: makeKernel(site.node.enter("ip")),
    clock: makeClock(),
    log: pino({ level: "silent" }),
    onChange: () => void due++,
    onRead: () => undefined,
  });
  const running = network.run(over.signal);
  t.after(async () => {
    over.abort();
    await running;
  });
  await until(() => due > 0);
  /** Asks as the node loop does: when something has changed, and when it was told to. */
  const found = async (ip: string, wanted: (name: string | undefined, note: string) => boolean): Promise<void> => {
    const lastMs = Date.now() + 10_000;
    for (;;) {
      const { found: all } = await network.carriersOf(new Map([["uid", ip]]), never);
      const carrier = all.get("uid");
      if (wanted(carrier?.hostInterface?.name, carrier?.note ?? "")) return;
      assert.ok(Date.now() < lastMs, `${ip}: ${JSON.stringify(carrier)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await site.routePod("a", { ip: "10.0.3.7", eni: "eth1" });
  await found("10.0.3.7", (name) => name === "eth1");
  await site.routePod("b", { ip: "10.0.3.8", eni: "eth2" });
  await site.moveRules("10.0.3.7", "eth2", "enib");
  await found("10.0.3.7", (name) => name === "eth2");
  await site.detach("eth2");
  await found("10.0.3.7", (name, note) => name === "enib" && note.includes("is its ENI detached?"));
});

test("250 Pods with 500 rules: every one is found", { skip }, async (t) => {
  const site = await Site.make(t);
  await site.attach("eth1", "10.0.3.2/24", ETH1);
  const ips = Array.from({ length: 250 }, (_, index) => `10.0.${4 + Math.floor(index / 200)}.${2 + (index % 200)}`);
  const lines = ips.flatMap((ip, index) => [
    `link add eni${index} type veth peer name p${index}`,
    `link set eni${index} up`,
    `route add ${ip}/32 dev eni${index} scope link`,
    `rule add pref 512 to ${ip} lookup main`,
    `rule add pref 1536 from ${ip} lookup 4001`,
  ]);
  await site.node.sh(`ip -batch - <<'END'\n${lines.join("\n")}\nEND`);
  const carrierOf = await seenIn(site);
  assert.deepEqual(new Set(ips.map((ip) => carrierOf(ip).hostInterface?.mac)), new Set([ETH1]));
});
