import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { watchMetadata } from "../../../agent/adapters/metadata.ts";
import { makeClock } from "../../../common/clock.ts";
import type { NodeFacts } from "../../../common/reachability.ts";
import { emptyNetwork } from "../../cloud/model/network.ts";
import { makeMetadataServer } from "../../cloud/services/cvm/metadata.ts";
import { until } from "../until.ts";

async function listen(t: TestContext, server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  t.after(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
}

function watch(t: TestContext, url: string, answerMs = 10_000) {
  const seen = { facts: new Array<NodeFacts>(), lines: new Array<string>() };
  const stop = new AbortController();
  const log = pino({}, { write: (line: string) => void seen.lines.push(line) });
  const running = watchMetadata({ url, answerMs, onFacts: (facts) => seen.facts.push(facts), clock: makeClock(100), log }, stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  return seen;
}

test("tells instance, region, zone and the MACs of all ENIs, the primary one first", async (t) => {
  const network = emptyNetwork();
  const base = {
    uuid: "u",
    vpcId: "vpc-1",
    subnetId: "subnet-1",
    zone: "ap-guangzhou-3",
    role: undefined,
    tags: new Map(),
    createdMs: 0,
    state: "RUNNING",
  } as const;
  network.instances.set("ins-node0001", { ...base, id: "ins-node0001", name: "node-1" });
  for (const [index, mac] of ["20:90:6f:00:00:02", "20:90:6f:00:00:01"].entries())
    network.enis.set(`eni-${index}`, {
      ...base,
      id: `eni-${index}`,
      name: "",
      mac,
      primary: index === 1,
      type: 0,
      primaryIp: `10.0.${index}.2`,
      secondaryIps: new Set(),
      securityGroupIds: [],
      attachment: { instanceId: "ins-node0001", deviceIndex: 1 - index },
    });
  const url = await listen(t, makeMetadataServer({ network, keyring: Object(undefined), region: "ap-guangzhou" }, "ins-node0001"));
  const { facts } = watch(t, url);
  await until(() => facts.length > 0);
  assert.deepEqual(facts[0], {
    instanceId: "ins-node0001",
    region: "ap-guangzhou",
    zone: "ap-guangzhou-3",
    macs: ["20:90:6f:00:00:01", "20:90:6f:00:00:02"],
  });
});

const bad: readonly [name: string, answer: RequestListener][] = [
  ["answers with a page of its own", (_, response) => response.end("<html>login</html>")],
  ["answers 404", (_, response) => response.writeHead(404).end("not found")],
  ["answers without end", (_, response) => void response.write("x".repeat(100_000))],
];
for (const [name, answer] of bad)
  test(`a metadata service that ${name} is told once, asked on, and nothing waits for it`, async (t) => {
    let asked = 0;
    const url = await listen(
      t,
      createServer((request, response) => (asked++, answer(request, response))),
    );
    const { facts, lines } = watch(t, url);
    await until(() => asked >= 2);
    assert.deepEqual([facts.length, lines.length], [0, 1]);
    assert.match(lines[0] ?? "", /metadata service does not answer, going on without it/);
  });

const ANSWERS: Readonly<Record<string, string>> = {
  "instance-id": "ins-node0001",
  "placement/region": "ap-guangzhou",
  "placement/zone": "ap-guangzhou-3",
  mac: "20:90:6F:00:00:01",
  "network/interfaces/macs/": "20:90:6F:00:00:01/\n",
};
/** A metadata service each of whose answers takes so long, milliseconds; undefined: it says nothing. */
const answering =
  (afterMs: () => number | undefined, onAsked = (): void => undefined): RequestListener =>
  (request, response) => {
    onAsked();
    const ms = afterMs();
    if (ms !== undefined) setTimeout(() => response.end(ANSWERS[(request.url ?? "").replace("/latest/meta-data/", "")]), ms);
  };

test("a slow one is waited for, and nothing waits with it", async (t) => {
  const url = await listen(t, createServer(answering(() => 200)));
  const { facts, lines } = watch(t, url);
  await until(() => facts.length > 0);
  assert.deepEqual([facts[0]?.instanceId, facts[0]?.macs, lines], ["ins-node0001", ["20:90:6f:00:00:01"], []]);
});

test("one that says nothing is given up each time, told once, and heard when it speaks", async (t) => {
  let asked = 0;
  let isMute = true;
  const url = await listen(
    t,
    createServer(
      answering(
        () => (isMute ? undefined : 0),
        () => void (asked += 1),
      ),
    ),
  );
  const { facts, lines } = watch(t, url, 250);
  await until(() => asked >= 3);
  assert.deepEqual([facts.length, lines.length], [0, 1]);
  isMute = false;
  await until(() => facts.length > 0);
  assert.equal(facts[0]?.zone, "ap-guangzhou-3");
});

test("an absent one is told once, and found when it has come", async (t) => {
  const server = createServer(answering(() => 0));
  const url = await listen(t, server);
  await new Promise((resolve) => server.close(resolve));
  const { facts, lines } = watch(t, url);
  await until(() => lines.length > 0);
  await new Promise<void>((resolve) => server.listen(Number(new URL(url).port), "127.0.0.1", () => resolve()));
  await until(() => facts.length > 0);
  assert.match(lines.join(""), /ECONNREFUSED/);
  assert.deepEqual([facts.length, lines.length], [1, 1]);
});

test("none is asked where none is named", async () => {
  await watchMetadata(
    { url: "", onFacts: () => assert.fail(), clock: makeClock(), log: pino({ level: "silent" }) },
    new AbortController().signal,
  );
});
