import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { type Clock, makeClock } from "../../../common/clock.ts";
import { KubeApiError, type KubeFailure } from "../../../common/kubernetes/api-error.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import { type ListWatchOptions, makeListWatch, type RestartCause, type WatchedSet } from "../../../common/kubernetes/list-watch.ts";
import type { KubeClient, WatchEnd } from "../../../common/kubernetes/requests.ts";
import { identityOf } from "../../../common/kubernetes/watched-store.ts";
import {
  aPod,
  bookmark,
  event,
  expired,
  frozen,
  list,
  reset,
  type ScriptedServer,
  startScriptedServer,
  status,
  stream,
  until,
} from "./scripted-server.ts";

type Slim = { readonly uid: string; readonly name: string; readonly resourceVersion: string };

type Watching = {
  readonly server: ScriptedServer;
  readonly set: WatchedSet<Slim>;
  /** e.g. ["added uid-a 5", "synced", "removed uid-a 7 deleted"] */
  readonly told: string[];
  readonly causes: RestartCause[];
  readonly logged: string[];
  readonly relists: () => number;
  /** resourceVersions that the watches so far began at. */
  readonly positions: () => (string | null)[];
  readonly lists: () => number;
  /** How often the server was asked how far it is. */
  readonly questions: () => number;
};

/** Time runs 20 times as fast: 20 s of silence are 1 s, a back-off of 250 ms is 13 ms; a list still has 1.5 s on a busy machine. */
const SCALE = 20;
const SILENCE_MS = 20_000;

async function watching(
  t: TestContext,
  script: (server: ScriptedServer) => void,
  options: Partial<ListWatchOptions<Slim>> = {},
): Promise<Watching> {
  const server = await startScriptedServer();
  script(server);
  const clock = makeClock(SCALE);
  const client = await makeKubeClient({ clock, env: { KUBECONFIG: server.kubeconfig }, silenceMs: SILENCE_MS });
  const [told, causes, logged]: [string[], RestartCause[], string[]] = [[], [], []];
  let relists = 0;
  const log = pino({ level: "warn" }, { write: (line: string) => logged.push(line) });
  const set = makeListWatch<Slim>(
    { client, clock, log, onRelist: () => (relists += 1), onRestart: (cause) => causes.push(cause) },
    {
      path: "/api/v1/pods",
      query: { fieldSelector: "spec.nodeName=node-a" },
      decode: (raw) => identityOf(raw),
      onChange: (change) =>
        told.push(
          `${change.kind} ${change.record.uid} ${change.record.resourceVersion}${change.kind === "removed" ? ` ${change.evidence}` : ""}`,
        ),
      onSynced: () => told.push("synced"),
      ...options,
    },
  );
  const stop = new AbortController();
  const running = set.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
    await client.close();
    await server.close();
  });
  const watches = (): typeof server.seen => server.seen.filter(({ watch }) => watch);
  return {
    server,
    set,
    told,
    causes,
    logged,
    relists: () => relists,
    positions: () => watches().map(({ url }) => url.searchParams.get("resourceVersion")),
    lists: () => server.seen.filter((one) => !one.watch && !isQuestion(one)).length,
    questions: () => server.seen.filter(isQuestion).length,
  };
}

const isQuestion = ({ watch, url }: ScriptedServer["seen"][number]): boolean => !watch && url.searchParams.get("limit") === "1";
const uids = (set: WatchedSet<Slim>): string[] => [...set.records.keys()].sort();
const added = (name: string, resourceVersion: number, uid?: string): ReturnType<typeof event> =>
  event("ADDED", aPod(name, resourceVersion, uid));
const limits = { timeout: 10_000 };

test("lists page by page, tells all, is synced, and watches from the list's resourceVersion with the same selector", limits, async (t) => {
  const { server, set, told, positions } = await watching(
    t,
    ({ requests, watches }) => {
      requests.push(list(10, [aPod("a", 5)], "next"), list(10, [aPod("b", 6)]));
      watches.push(stream([added("c", 11), event("MODIFIED", aPod("a", 12)), event("DELETED", aPod("b", 13))]));
    },
    { pageSize: 2 },
  );
  assert.equal(set.synced, false);
  await until("three events", () => told.length === 6);
  assert.deepEqual(told, ["added uid-a 5", "added uid-b 6", "synced", "added uid-c 11", "changed uid-a 12", "removed uid-b 13 deleted"]);
  assert.deepEqual(uids(set), ["uid-a", "uid-c"]);
  assert.equal(set.synced, true);
  assert.deepEqual(positions(), ["10"]);
  assert.deepEqual(
    server.seen.map(({ url }) => [url.searchParams.get("fieldSelector"), url.searchParams.get("limit"), url.searchParams.get("continue")]),
    [
      ["spec.nodeName=node-a", "2", null],
      ["spec.nodeName=node-a", "2", "next"],
      ["spec.nodeName=node-a", null, null],
    ],
  );
});

const ONCE_BROKEN = [
  { name: "is reset", step: stream([added("b", 11)], "reset"), cause: "transport", from: "11" },
  { name: "ends within a line", step: stream([added("b", 11)], "half line"), cause: "closed", from: "11" },
  { name: "ends in order after a bookmark", step: stream([added("b", 11), bookmark(20)], "end"), cause: "closed", from: "20" },
  { name: "is refused with 500", step: status(500, ""), cause: "server", from: "10" },
  { name: "is refused with 429 in plain text", step: status(429, "Too many requests"), cause: "throttled", from: "10" },
  { name: "is reset before an answer", step: reset, cause: "transport", from: "10" },
  { name: "falls silent", step: stream([added("b", 11)]), cause: "silent", from: "11" },
  { name: "is never answered", step: frozen, cause: "silent", from: "10" },
] as const;

for (const { name, step, cause, from } of ONCE_BROKEN)
  test(`goes on from the last resourceVersion, without a list and with all records, when a watch ${name}`, limits, async (t) => {
    const { set, causes, positions, lists, questions, told } = await watching(t, ({ requests, watches }) => {
      requests.push(list(10, [aPod("a", 5)]));
      watches.push(step, stream([added("c", 30)]));
    });
    await until("the event of the second watch", () => told.includes("added uid-c 30"));
    assert.deepEqual(causes, [cause]);
    assert.deepEqual(positions(), ["10", from]);
    assert.equal(lists(), 1);
    assert.equal(questions(), ["transport", "server", "silent"].includes(cause) ? 1 : 0);
    assert.ok(set.records.has("uid-a"));
    assert.ok(!told.some((line) => line.startsWith("removed")));
  });

for (const [what, step] of [
  ["is reset", reset],
  ["is refused with 500", status(500, "")],
  ["falls silent", stream([])],
] as const)
  test(`a watch that ${what} is followed by a list where the server was restored from a backup meanwhile`, limits, async (t) => {
    const { positions, told, lists, causes } = await watching(t, ({ requests, watches, questions }) => {
      requests.push(
        list(1_000, [aPod("a", 950), aPod("b", 960)]),
        list(700, [aPod("a", 600), aPod("b", 960)]),
        list(701, [aPod("a", 600), aPod("b", 960)]),
      );
      watches.push(step);
      questions.push(list(700, [aPod("a", 600)], "more"));
    });
    await until("the second watch", () => positions().length === 2);
    assert.deepEqual(positions(), ["1000", "701"]);
    assert.deepEqual(told.slice(3), ["changed uid-a 600"]);
    assert.equal(lists(), 3);
    assert.equal(causes.length, 1);
  });

for (const [what, step] of [
  ["throttles", status(429, "slow")],
  ["refuses", status(500, "")],
  ["breaks the connection", reset],
  ["knows no rights yet", status(403, "")],
] as const)
  test(`a server that ${what} where it is asked how far it is is asked again before a watch goes on`, limits, async (t) => {
    const { positions, lists, questions } = await watching(t, ({ requests, watches, questions: answers }) => {
      requests.push(list(1_000, [aPod("a", 5)]), list(700, [aPod("a", 5)]), list(701, [aPod("a", 5)]));
      watches.push(reset);
      answers.push(step, list(700, [aPod("a", 5)]));
    });
    await until("the second watch", () => positions().length === 2);
    assert.deepEqual([positions(), lists(), questions()], [["1000", "701"], 3, 2]);
  });

for (const [what, behind] of [
  ["event", event("MODIFIED", aPod("b", 700))],
  ["bookmark", bookmark(700)],
] as const)
  test(`a watch that is answered by an older ${what} than it began at is followed by a list`, limits, async (t) => {
    const { positions, told, causes } = await watching(t, ({ requests, watches }) => {
      requests.push(list(1_000, [aPod("a", 950)]), list(701, [aPod("a", 600)]), list(702, [aPod("a", 600)]));
      watches.push(stream([added("c", 1_001), behind, added("d", 1_002)]), stream([added("e", 703)]));
    });
    await until("the second watch", () => told.includes("added uid-e 703"));
    assert.deepEqual(positions(), ["1000", "702"]);
    assert.deepEqual(causes, ["gone"]);
    assert.deepEqual(told.slice(2), ["added uid-c 1001", "removed uid-c 1001 absent", "changed uid-a 600", "added uid-e 703"]);
  });

for (const [where, step] of [
  ["as HTTP status", status(410, "")],
  ["in the stream", stream([expired])],
] as const)
  test(`lists again after 410 ${where}, and tells the difference by UID`, limits, async (t) => {
    const { told, relists, positions } = await watching(t, ({ requests, watches }) => {
      requests.push(list(10, [aPod("a", 5), aPod("b", 6), aPod("c", 7)]), list(50, [aPod("a", 5), aPod("b", 40), aPod("d", 41)]));
      watches.push(step);
    });
    await until("the second watch", () => positions().length === 2);
    assert.deepEqual(told.slice(4), ["removed uid-c 7 absent", "changed uid-b 40", "added uid-d 41"]);
    assert.equal(relists(), 1);
    assert.deepEqual(positions(), ["10", "50"]);
  });

test("an expired continue token begins the list anew and believes nothing of the half one", limits, async (t) => {
  const { told } = await watching(t, ({ requests }) => {
    requests.push(list(10, [aPod("x", 5)], "next"), status(410, "expired"), list(11, [aPod("a", 5)]));
  });
  await until("sync", () => told.includes("synced"));
  assert.deepEqual(told, ["added uid-a 5", "synced"]);
});

test("a Pod replaced under its name while nobody watched is one removed and one added", limits, async (t) => {
  const { told } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5), aPod("b", 5)]), list(50, [aPod("a", 40, "uid-new"), aPod("b", 5)]));
    watches.push(stream([expired]));
  });
  await until("the new one", () => told.length === 5);
  assert.deepEqual(told.slice(3), ["removed uid-a 5 absent", "added uid-new 40"]);
});

test("a Pod replaced under its name without a DELETED event is one removed and one added as well", limits, async (t) => {
  const { told, set } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5)]));
    watches.push(stream([added("a", 40, "uid-new"), event("MODIFIED", aPod("a", 38)), event("DELETED", aPod("a", 39)), added("z", 41)]));
  });
  await until("the new one", () => told.includes("added uid-z 41"));
  assert.deepEqual(told.slice(2), ["removed uid-a 5 absent", "added uid-new 40", "added uid-z 41"]);
  assert.deepEqual(uids(set), ["uid-new", "uid-z"]);
});

test("an older state of an object never overwrites a newer one, also across a change of digits", limits, async (t) => {
  const { told, set, positions } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5)]));
    watches.push(
      stream(
        [
          event("MODIFIED", aPod("a", 100)),
          event("MODIFIED", aPod("a", 99)),
          event("DELETED", aPod("a", 98)),
          event("MODIFIED", aPod("a", 100)),
          added("z", 101),
          event("MODIFIED", aPod("a", 98)),
        ],
        "end",
      ),
    );
  });
  await until("the second watch", () => positions().length === 2);
  assert.deepEqual(told.slice(2), ["changed uid-a 100", "added uid-z 101"]);
  assert.equal(set.records.get("uid-a")?.resourceVersion, "100");
  assert.deepEqual(positions(), ["10", "101"]);
});

test("an empty list is not believed once: it is read again first", limits, async (t) => {
  const { told, lists, set } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5), aPod("b", 6)]), list(50, []), list(51, [aPod("a", 5), aPod("b", 6)]));
    watches.push(stream([expired]), stream([added("c", 60)]));
  });
  await until("the second watch", () => told.includes("added uid-c 60"));
  assert.equal(lists(), 3);
  assert.deepEqual(uids(set), ["uid-a", "uid-b", "uid-c"]);
  assert.ok(!told.some((line) => line.startsWith("removed")));
});

test("an empty list is believed when the second reading says the same", limits, async (t) => {
  const { told, lists, set } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5), aPod("b", 6)]), list(50, []), list(51, []));
    watches.push(stream([expired]));
  });
  await until("removals", () => told.length === 5);
  assert.deepEqual(told.slice(3), ["removed uid-a 5 absent", "removed uid-b 6 absent"]);
  assert.equal(lists(), 3);
  assert.equal(set.records.size, 0);
});

test("a second reading that fails removes nothing", limits, async (t) => {
  const { told, lists, set } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5)]), list(50, []), status(500, ""), list(51, [aPod("a", 5)]));
    watches.push(stream([expired]));
  });
  await until("four lists", () => lists() === 4);
  assert.deepEqual(uids(set), ["uid-a"]);
  assert.deepEqual(told, ["added uid-a 5", "synced"]);
});

test("half of the records or fewer may be absent without a second reading", limits, async (t) => {
  const { told, lists, positions } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5), aPod("b", 6)]), list(50, [aPod("a", 5)]));
    watches.push(stream([expired]));
  });
  await until("the second watch", () => positions().length === 2);
  assert.deepEqual(told.slice(3), ["removed uid-b 6 absent"]);
  assert.equal(lists(), 2);
});

test("a list that goes back in time is read again, then believed", limits, async (t) => {
  const { lists, positions, told } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5)]), list(4, [aPod("a", 3)]), list(5, [aPod("a", 3)]));
    watches.push(stream([expired]));
  });
  await until("the second watch", () => positions().length === 2);
  assert.equal(lists(), 3);
  assert.deepEqual(positions(), ["10", "5"]);
  assert.deepEqual(told.slice(2), ["changed uid-a 3"]);
});

test("two silent watches in a row lead to a list: a position that the server does not know is silence", limits, async (t) => {
  const { causes, relists, positions } = await watching(t, ({ requests }) => {
    requests.push(list(10, [aPod("a", 5)]), list(11, [aPod("a", 5)]));
  });
  await until("the list after two silences", () => relists() === 1 && positions().length === 3);
  assert.deepEqual(causes, ["silent", "silent"]);
  assert.deepEqual(positions(), ["10", "10", "11"]);
});

test("a list that fails in every way is tried until it works", limits, async (t) => {
  const { told, causes } = await watching(t, ({ requests }) => {
    requests.push(status(500, ""), reset, status(429, "slow"), frozen, list(10, [aPod("a", 5)]));
  });
  await until("sync", () => told.includes("synced"));
  assert.deepEqual(causes, ["server", "transport", "throttled", "timeout"]);
});

test("403 is reported once per row of refusals, and tried again ever more slowly", limits, async (t) => {
  let denied = 0;
  const startedAt = Date.now();
  const refusals = Array.from({ length: 5 }, () => status(403, ""));
  const { told } = await watching(t, ({ requests }) => requests.push(...refusals, list(10, [])), { onDenied: () => (denied += 1) });
  await until("sync", () => told.includes("synced"));
  assert.equal(denied, 1);
  assert.ok((Date.now() - startedAt) * SCALE >= 15_500, "half of 1 + 2 + 4 + 8 + 16 s at least");
});

for (const [refusals, reported] of [
  [3, 0],
  [4, 1],
] as const)
  test(
    `${refusals} refusals of a watch that worked before are ${reported === 0 ? "a server that has just begun" : "reported"}`,
    limits,
    async (t) => {
      let denied = 0;
      const { told } = await watching(
        t,
        ({ requests, watches }) => {
          requests.push(list(10, [aPod("a", 5)]));
          watches.push(...Array.from({ length: refusals }, () => status(403, "")), stream([event("ADDED", aPod("b", 11))]));
        },
        { onDenied: () => (denied += 1) },
      );
      await until("the event", () => told.includes("added uid-b 11"));
      assert.equal(denied, reported);
    },
  );

test("a kind that is not installed is empty where that is allowed, else never synced", limits, async (t) => {
  const optional = await watching(t, ({ requests }) => requests.push(status(404, ""), list(10, [aPod("a", 5)])), { optional: true });
  await until("the later list", () => optional.told.length === 2);
  assert.deepEqual(optional.told, ["synced", "added uid-a 5"]);
  const needed = await watching(t, ({ requests }) => requests.push(status(404, ""), status(404, ""), list(10, [])));
  await until("sync", () => needed.told.length === 1);
  assert.equal(needed.lists(), 3);
});

test("what decode does not understand is skipped, logged once, and leaves the last good record", limits, async (t) => {
  const { told, set, logged } = await watching(
    t,
    ({ requests, watches }) => {
      requests.push(list(10, [aPod("a", 5), aPod("bad", 6)]));
      watches.push(
        stream([
          event("MODIFIED", aPod("bad", 11)),
          event("MODIFIED", aPod("a", 13)),
          event("MODIFIED", aPod("a", 14)),
          event("DELETED", aPod("bad", 15)),
          added("c", 16),
        ]),
      );
    },
    {
      decode: (raw) => {
        const pod = identityOf(raw);
        if (pod?.name === "shop/bad" || pod?.resourceVersion === "13") throw new Error("no such field");
        return pod;
      },
    },
  );
  await until("the last event", () => told.includes("added uid-c 16"));
  assert.deepEqual(told, ["added uid-a 5", "synced", "changed uid-a 14", "added uid-c 16"]);
  assert.deepEqual(uids(set), ["uid-a", "uid-c"]);
  assert.equal(logged.filter((line) => line.includes("uid-bad")).length, 1);
});

test("a listener that throws stops nothing", limits, async (t) => {
  const seen: string[] = [];
  const { logged, causes } = await watching(
    t,
    ({ requests, watches }) => {
      requests.push(list(10, [aPod("a", 5)]));
      watches.push(stream([added("b", 11), added("c", 12)]));
    },
    {
      onChange: ({ record }) => {
        seen.push(record.uid);
        throw new Error("mine");
      },
      onSynced: () => {
        throw new Error("mine");
      },
    },
  );
  await until("all events", () => seen.length === 3);
  assert.equal(logged.filter((line) => line.includes("mine")).length, 4);
  assert.deepEqual(causes, []);
});

test("the age of the last byte is that of the last event, bookmark or page", limits, async (t) => {
  const { set, told } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, []));
    watches.push((answer) => {
      answer.writeHead(200).flushHeaders();
      setTimeout(() => answer.write(`${JSON.stringify(bookmark(11))}\n`), 100);
    });
  });
  await until("sync", () => told.includes("synced"));
  const atList = set.lastByteAtMs;
  await until("the bookmark", () => set.lastByteAtMs > atList);
  assert.ok(set.lastByteAtMs - atList >= 100 * SCALE * 0.5);
});

/** The delays between ends of watches that take `watchedMs` each; jitter at its longest. */
async function delaysAfter(watchedMs: number, ends: readonly WatchEnd[]): Promise<number[]> {
  let nowMs = 0;
  const delays: number[] = [];
  const left = [...ends];
  const stop = new AbortController();
  const clock: Clock = {
    now: () => nowMs,
    sleep: async (ms) => {
      await Promise.resolve(delays.push(ms));
      if (left.length === 0) stop.abort();
    },
  };
  const client = {
    list: () => Promise.resolve({ items: [], resourceVersion: "10" }),
    watch: () => {
      nowMs += watchedMs;
      return Promise.resolve(left.shift() ?? { kind: "aborted" });
    },
  } satisfies Pick<KubeClient, "list" | "watch">;
  const deps = { client, clock, log: pino({ level: "silent" }), random: () => 1 };
  await makeListWatch<Slim>(deps, { path: "/api/v1/pods", decode: identityOf, onChange: () => undefined }).run(stop.signal);
  return delays;
}

const failed = (failure: KubeFailure): WatchEnd => ({ kind: "failed", error: new KubeApiError("WATCH /api/v1/pods", failure, "") });

test("waits longer after every failure in a row, also where each took long to fail", async () => {
  const broken = failed("transport");
  assert.deepEqual(await delaysAfter(10_000, [broken, broken, broken, broken]), [250, 500, 1_000, 2_000]);
  assert.deepEqual(await delaysAfter(10_000, [broken, broken, { kind: "closed" }, broken]), [250, 500, 0, 250]);
});

test("a server that is away is tried every 4 s at least, one that refuses every 30 s", async () => {
  const longest = async (failure: KubeFailure): Promise<number> =>
    Math.max(
      ...(await delaysAfter(
        10,
        Array.from({ length: 10 }, () => failed(failure)),
      )),
    );
  assert.deepEqual([await longest("transport"), await longest("server")], [4_000, 30_000]);
});

test("what a server refuses that was away before is counted from its start on: it has just begun", async () => {
  const away = Array.from({ length: 6 }, () => failed("transport"));
  const denied = Array.from({ length: 4 }, () => failed("denied"));
  assert.deepEqual((await delaysAfter(10, [...away, ...denied])).slice(5), [4_000, 1_000, 1_000, 2_000, 2_000]);
  assert.deepEqual((await delaysAfter(10, [...away, failed("server"), failed("server")])).slice(5), [4_000, 250, 500]);
  const flapping = Array.from({ length: 6 }, () => [failed("transport"), failed("server")]).flat();
  assert.deepEqual((await delaysAfter(10, flapping)).slice(-2), [4_000, 250], "a server that flaps is asked as rarely as one that is away");
});

test("goes on at once after a watch that ended in order, but not in a tight loop", async () => {
  const closed: WatchEnd = { kind: "closed" };
  assert.deepEqual(await delaysAfter(300_000, [closed, closed]), [0, 0]);
  assert.deepEqual(await delaysAfter(10, [closed, closed]), [250, 500]);
});

test("throttled waits at least what was asked", async () => {
  assert.deepEqual(await delaysAfter(10, [failed("throttled")]), [1_250]);
});

test("a list with something that is no API object is not believed", limits, async (t) => {
  const { told, set, causes } = await watching(t, ({ requests, watches }) => {
    requests.push(
      list(10, [aPod("a", 5), aPod("b", 6), aPod("c", 7)]),
      list(50, [aPod("a", 5), aPod("b", 6), {}]),
      list(51, [aPod("a", 5), aPod("b", 6), aPod("c", 7)]),
    );
    watches.push(stream([expired]), stream([added("d", 60)]));
  });
  await until("the second watch", () => told.includes("added uid-d 60"));
  assert.deepEqual(causes, ["gone", "server"]);
  assert.deepEqual(uids(set), ["uid-a", "uid-b", "uid-c", "uid-d"]);
  assert.ok(!told.some((line) => line.startsWith("removed")));
});

test("five answers of 5xx in a row lead to a list, a server that is away does not", limits, async (t) => {
  const { relists, causes } = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5)]), list(11, [aPod("a", 5)]));
    watches.push(...[1, 2, 3, 4, 5].map(() => status(500, "")), stream([]));
  });
  await until("the list", () => relists() === 1);
  assert.deepEqual(causes, ["server", "server", "server", "server", "server"]);
  const away = await watching(t, ({ requests, watches }) => {
    requests.push(list(10, [aPod("a", 5)]));
    watches.push(reset, reset, reset, reset, reset, reset, stream([added("b", 11)]));
  });
  await until("the event", () => away.told.includes("added uid-b 11"));
  assert.equal(away.relists(), 0);
});

test("run ends at once on abort, wherever it stands", limits, async () => {
  for (const step of [list(10, []), frozen, status(403, "")]) {
    const server = await startScriptedServer();
    server.requests.push(step);
    const clock = makeClock();
    const client = await makeKubeClient({ clock, env: { KUBECONFIG: server.kubeconfig } });
    const set = makeListWatch<Slim>(
      { client, clock, log: pino({ level: "silent" }) },
      { path: "/api/v1/pods", decode: identityOf, onChange: () => undefined },
    );
    const stop = new AbortController();
    const running = set.run(stop.signal);
    await until("a request", () => server.seen.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const startedAt = Date.now();
    stop.abort();
    await running;
    assert.ok(Date.now() - startedAt < 5_000);
    await client.close();
    await server.close();
  }
});
