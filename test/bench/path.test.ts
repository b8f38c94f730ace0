import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { entriesOf, type Told, trackedOf } from "../../bench/path/asking.ts";
import { claimsOf, faultOf, PATHS, type Path, type Row, speedOf, tableOf } from "../../bench/path/rows.ts";

const CLIENT = "10.245.1.3";
const NODE = "10.245.1.2";
const entry = (sent: string, answer: string): string => {
  const tuple = (text: string): string => {
    const [source = "", target = ""] = text.split(" ");
    const [[src, sport], [dst, dport]] = [source.split(":"), target.split(":")];
    return `src=${src} dst=${dst} sport=${sport} dport=${dport}`;
  };
  return `ipv4     2 tcp      6 118 TIME_WAIT ${tuple(sent)} ${tuple(answer)} [ASSURED] mark=0 zone=0 use=2`;
};

test("entries of a NodePort: rewritten on the asked node, and once more where the Pod is on the other one", () => {
  const there = entriesOf(
    [
      entry(`${CLIENT}:41000 ${NODE}:30080`, `10.245.1.65:8080 10.245.1.65:52000`),
      entry(`${CLIENT}:41001 ${NODE}:30080`, `10.245.1.130:8080 ${NODE}:52001`),
      entry(`${CLIENT}:41000 10.245.1.65:8080`, `10.245.1.65:8080 ${CLIENT}:41000`), // of an earlier measurement
      "",
    ].join("\n"),
  );
  const hereBefore = entriesOf(entry(`${NODE}:40000 10.245.1.130:8080`, `10.245.1.130:8080 ${NODE}:40000`));
  const here = [
    ...hereBefore,
    ...entriesOf(
      [
        entry(`${NODE}:52001 10.245.1.130:8080`, `10.245.1.130:8080 ${NODE}:52001`),
        entry(`${CLIENT}:41000 ${NODE}:30080`, `${NODE}:30080 ${CLIENT}:41000`), // the client's own end
      ].join("\n"),
    ),
  ];
  const links = [`${CLIENT}:41000 ${NODE}:30080`, `${CLIENT}:41001 ${NODE}:30080`];
  assert.deepEqual(trackedOf({ links, askedNode: NODE, there, hereBefore, here }), { entries: 1.5, newTarget: 1, newSource: 1 });
});

test("the middle of the rounds counts", () => {
  const told = (p50: number, seconds: number): Told => ({
    requests: 100,
    failed: 0,
    fault: "",
    seconds,
    p50,
    p99: 2 * p50,
    pods: {},
    sources: {},
    links: [],
  });
  const [alone, together] = [
    [told(5, 1), told(900, 1), told(7, 1)],
    [told(5, 1), told(5, 0.5), told(5, 20)],
  ];
  assert.deepEqual(speedOf(alone, together), { p50: 7, p99: 14, perSecond: 100 });
});

const row = (path: Path, with_: Partial<Row> = {}): Row => ({
  mode: "nftables",
  pods: 2,
  path,
  fresh: { p50: 90, p99: 200, perSecond: 5_000 },
  kept: { p50: 30, p99: 60, perSecond: 20_000 },
  requests: 1_000,
  failed: 0,
  sources: [CLIENT],
  tracked: { entries: 1, newTarget: 0, newSource: 0 },
  sessions: [1, 1],
  ...with_,
});
const slower = { p50: 100, p99: 300, perSecond: 4_000 };

test("the claims stand beside what was measured, for whichever path", () => {
  const others = PATHS.slice(1).map((path) => row(path, { fresh: slower, sources: [NODE], sessions: [2, 1] }));
  const rows = [row("Pod"), ...others];
  const [latency, source, sessions] = claimsOf(rows, CLIENT);
  assert.match(latency ?? "", /NodePort: -10 % to -10 % on new connections, 0 % to 0 % on kept ones/);
  assert.match(source ?? "", /Pod 1 of 1 rows, NodePort 0 of 1 rows/);
  assert.match(sessions ?? "", /Pod 2 of 2, NodePort 1 of 2/);
  assert.match(tableOf(rows, CLIENT), /\| nftables \| 2 \| NodePort \| 100 \/ 300, 4000\/s .* node's \(10\.245\.1\.2\) .* 1 of 2 \|/);
});

suite("what a request straight to a Pod must be", () => {
  const faults: readonly [what: string, row: Row, fault: RegExp | undefined][] = [
    ["nothing is wrong", row("Pod"), undefined],
    ["a request failed", row("NodePort", { failed: 2 }), /^2 of 1000 requests failed \(nftables, 2 Pods, NodePort\)/],
    [
      "a Pod saw another address",
      row("Pod", { sources: [CLIENT, NODE] }),
      /^a Pod that was asked directly saw 10\.245\.1\.3, 10\.245\.1\.2/,
    ],
    ["a session met two Pods", row("Pod", { sessions: [1, 2] }), /^a session that went to one Pod met 1, 2/],
    ["through a NodePort it may", row("NodePort", { sources: [NODE], sessions: [2] }), undefined],
  ];
  for (const [what, one, fault] of faults)
    test(what, () =>
      fault === undefined ? assert.equal(faultOf([one], CLIENT), undefined) : assert.match(faultOf([one], CLIENT) ?? "", fault),
    );
});
