import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { servingTargets } from "../../cloud/data-plane/serving.ts";
import { makeJournal } from "../../cloud/journal/journal.ts";
import type { HealthSettings, HealthStatus, Place, Protocol, TargetRecord } from "../../cloud/model/account.ts";
import { DEFAULT_CHECK, makeHealth } from "../../cloud/runtime/health.ts";
import { makeRandom } from "../../cloud/runtime/random.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";

const aTarget = (ip: string, weight = 10): TargetRecord => ({
  ip,
  port: 80,
  tag: undefined,
  owner: { type: "ENI" },
  registeredMs: 0,
  weight,
  health: "Unknown",
  streak: { ok: false, count: 0 },
  probing: undefined,
  pinned: undefined,
  credit: 0,
});

const aPlace = (protocol: Protocol, check: Partial<HealthSettings>, ...targets: TargetRecord[]): Place => ({
  loadBalancerId: "lb-1",
  listenerId: "lbl-1",
  locationId: protocol === "HTTP" ? "loc-1" : undefined,
  protocol,
  healthCheck: { ...DEFAULT_CHECK, ...check },
  targets: new Map(targets.map((target) => [`${target.ip}:${target.port}`, target])),
  lastHealthyMs: 0,
});

/** Probes in virtual time: `answers` says how each ends and how long it takes, in s. Gives what changed, and when in s since the first probe. */
async function history(asked: {
  readonly protocol?: Protocol;
  readonly check?: Partial<HealthSettings>;
  readonly weight?: number;
  readonly answers: readonly (readonly [alive: boolean, tookS: number])[];
}) {
  const clock = makeVirtualClock();
  const journal = makeJournal(clock, 100);
  const startsMs: number[] = [];
  let over = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    over = resolve;
  });
  const health = makeHealth({
    clock,
    journal,
    random: makeRandom(1),
    mode: "probe",
    probe: async (_asked, signal) => {
      const [alive, tookS] = asked.answers[startsMs.length] ?? [false, 0];
      startsMs.push(clock.now());
      if (startsMs.length > asked.answers.length) over();
      const gaveUp = await clock.sleep(tookS * 1000, signal).then(
        () => false,
        () => true,
      );
      return alive && !gaveUp;
    },
  });
  const target = aTarget("10.0.0.1", asked.weight);
  const place = aPlace(asked.protocol ?? "TCP", asked.check ?? {}, target);
  const boundMs = clock.now();
  health.watch(place, target);
  await clock.run(ended);
  health.forget(place, target);
  const [firstMs = 0] = startsMs;
  return {
    firstS: (firstMs - boundMs) / 1000,
    starts: startsMs.map((ms) => (ms - firstMs) / 1000),
    changes: journal.of("health").map(({ to, timeMs }) => `${to} ${Math.round((timeMs - firstMs) / 100) / 10}`),
  };
}

const ok = [true, 0] as const;
const bad = [false, 0] as const;

suite("states", () => {
  const rows: readonly {
    readonly name: string;
    readonly asked: Parameters<typeof history>[0];
    readonly changes: readonly string[];
  }[] = [
    { name: "healthy after three of three", asked: { answers: [ok, ok, ok] }, changes: ["Alive 10"] },
    { name: "a failure begins the count anew", asked: { answers: [ok, ok, bad, ok, ok, ok] }, changes: ["Alive 25"] },
    { name: "unhealthy after three of three", asked: { answers: [bad, bad, bad] }, changes: ["Dead 10"] },
    {
      name: "healthy, ill, healthy",
      asked: { answers: [ok, ok, ok, bad, bad, bad, ok, ok, ok] },
      changes: ["Alive 10", "Dead 25", "Alive 40"],
    },
    { name: "two failures change nothing", asked: { answers: [ok, ok, ok, bad, bad, ok] }, changes: ["Alive 10"] },
    { name: "weight 0 is checked too", asked: { weight: 0, answers: [ok, ok, ok] }, changes: ["Alive 10"] },
    {
      name: "thresholds and interval of its own",
      asked: { check: { IntervalTime: 60, HealthNum: 2, UnHealthNum: 4 }, answers: [ok, ok, bad, bad, bad, bad] },
      changes: ["Alive 60", "Dead 300"],
    },
    {
      name: "an answer after the timeout is none",
      asked: {
        check: { TimeOut: 2 },
        answers: [
          [true, 3],
          [true, 3],
          [true, 3],
        ],
      },
      changes: ["Dead 12"],
    },
  ];
  for (const { name, asked, changes } of rows)
    test(name, async () => {
      assert.deepEqual((await history(asked)).changes, changes);
    });

  test("the first probe comes within an interval, spread by the seed", async () => {
    const { firstS } = await history({ check: { IntervalTime: 100 }, answers: [ok] });
    assert.ok(firstS > 0 && firstS < 100, `${firstS}`);
    assert.equal((await history({ check: { IntervalTime: 100 }, answers: [ok] })).firstS, firstS);
  });

  /** The windows of the documentation: 2 s of timeout, 5 s of interval, three times. */
  test("on layer 4 the interval runs from probe to probe, on layer 7 from the answer to the next probe", async () => {
    const answers = [
      [false, 9],
      [false, 9],
      [false, 9],
    ] as const;
    assert.deepEqual((await history({ answers })).changes, ["Dead 12"]); // the third probe at 10 s, and its timeout
    assert.deepEqual((await history({ protocol: "HTTP", answers })).changes, ["Dead 16"]);
    const slow = [
      [true, 1],
      [true, 1],
      [true, 1],
    ] as const;
    assert.deepEqual((await history({ protocol: "HTTP", answers: slow })).changes, ["Alive 13"]);
    assert.deepEqual((await history({ answers: slow })).starts, [0, 5, 10, 15]);
  });
});

suite("who is served", () => {
  /** State and weight of each target, e.g. "Alive 10". */
  const rows: readonly [targets: readonly string[], served: string, options?: { healthyMsAgo?: number; allDeadAllAlive?: boolean }][] = [
    [["Alive 10", "Dead 10", "Unknown 10"], "0"],
    [["Close 10", "Alive 10"], "01"],
    [["Alive 0", "Alive 10"], "1"],
    [["Alive 0", "Dead 10"], ""],
    [["Dead 10", "Dead 10"], "01"],
    [["Dead 10", "Dead 0"], "0"],
    [["Dead 10", "Dead 10"], "", { allDeadAllAlive: false }],
    [["Unknown 10", "Unknown 10"], ""],
    [["Dead 10", "Unknown 10"], "", { healthyMsAgo: 4_999 }],
    [["Dead 10", "Unknown 10"], "0", { healthyMsAgo: 5_000 }],
    [[], ""],
  ];
  for (const [given, served, { healthyMsAgo = 1e9, allDeadAllAlive = true } = {}] of rows)
    test(`of [${given.join(", ")}] ${served === "" ? "nobody" : served} is${allDeadAllAlive ? "" : " without all dead = all alive"}`, () => {
      const targets = given.map((one, index) => {
        const [health, weight] = one.split(" ");
        return { ...aTarget(`10.0.0.${index}`, Number(weight)), health: health as HealthStatus };
      });
      const place = { ...aPlace("TCP", {}, ...targets), lastHealthyMs: 2e9 - healthyMsAgo };
      assert.equal(
        servingTargets(place, 2e9, allDeadAllAlive)
          .map(({ ip }) => ip.slice(-1))
          .join(""),
        served,
      );
    });
});
