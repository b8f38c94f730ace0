import { makeClock } from "../../common/clock.ts";
import { makeRandom } from "../../test/cloud/runtime/random.ts";
import { startCloudProcess } from "./cloud-process.ts";
import { makeLedger } from "./soak-ledger.ts";
import { randomFaults, startTraffic } from "./soak-traffic.ts";
import type { Figure } from "./table.ts";

/** The journal is full long before the middle of the soak, where the growth of the heap begins to count. */
const JOURNAL_SIZE = 5_000;
/** What the bounded memories may still take then: 20 000 tasks and 65 536 connections are remembered, each some 200 bytes. */
const HEAP_GROWTH_MIB = 24;
/** In the cloud's time. */
const FAULTS_CHANGE_MS = 20_000;
/** In real time: often enough that the journal forgets nothing unread. */
const READ_JOURNAL_MS = 250;

type SoakOptions = {
  /** In the cloud's time, which runs `scale` times as fast. */
  readonly minutes: number;
  readonly scale: number;
  readonly seed: number;
  readonly report: (line: string) => void;
};

/**
 * Random calls, connections and faults against a cloud in a process of its own. Rejects with an Error when it crashed, when a call is not
 * in its journal exactly once, when the journal has a gap, or when something is left after all load balancers were deleted.
 */
export async function soak({ minutes, scale, seed, report }: SoakOptions): Promise<Figure[]> {
  const random = makeRandom(seed);
  const clock = makeClock(scale);
  const vipCidr = `127.197.${process.pid % 256}.0/24`;
  const cloud = await startCloudProcess({ scale, seed, vipCidr, backendCidrs: ["127.0.0.0/8"], journalSize: JOURNAL_SIZE });
  const over = new AbortController();
  const ledger = makeLedger(cloud.adminUrl);
  const traffic = await startTraffic({ endpoint: cloud.endpoint, clock, random, ledger, over: over.signal });
  try {
    const [realMs, endMs] = [performance.now(), clock.now() + minutes * 60_000];
    let heapAtHalf = 0;
    let nextFaultsMs = 0;
    while (clock.now() < endMs) {
      if (clock.now() >= nextFaultsMs) {
        nextFaultsMs = clock.now() + FAULTS_CHANGE_MS;
        await admin(cloud.adminUrl, "PUT", "faults", { faults: randomFaults(random) });
      }
      await clock.sleep(READ_JOURNAL_MS * scale);
      await ledger.readJournal();
      if (heapAtHalf === 0 && clock.now() > endMs - minutes * 30_000) heapAtHalf = (await cloud.usage(true)).heapBytes;
    }
    over.abort();
    await admin(cloud.adminUrl, "DELETE", "faults");
    await traffic.finish();
    await ledger.readJournal();
    const usage = await cloud.usage(true);
    const left = await admin(cloud.adminUrl, "GET", "counts");
    const wrong = [...ledger.faults(), ...leftovers(left)];
    if (wrong.length > 0) throw new Error(`the soak found:\n${wrong.join("\n")}`);
    report(
      `${minutes} min of the cloud's time in ${Math.round((performance.now() - realMs) / 1000)} s, seed ${seed}; no crash, nothing left behind`,
    );
    const { made, entries, byCode } = ledger.summary();
    report(`answers: ${byCode}`);
    return [
      { name: "calls made, each in the journal exactly once", value: made, unit: "" },
      { name: "journal entries, no gap", value: entries, unit: "" },
      { name: "connections through the data plane", value: traffic.connections, unit: "" },
      {
        name: "heap growth since half-time",
        value: (usage.heapBytes - heapAtHalf) / 2 ** 20,
        unit: "MiB",
        goal: { atMost: HEAP_GROWTH_MIB },
      },
      { name: "heap at the end", value: usage.heapBytes / 2 ** 20, unit: "MiB" },
      { name: "CPU of the cloud", value: (usage.cpuMs / (performance.now() - realMs)) * 100, unit: "%" },
    ];
  } finally {
    over.abort();
    await traffic.close();
    await cloud.stop();
  }
}

function leftovers(counts: Record<string, unknown>): string[] {
  const running = counts["runningTasks"];
  const backends = counts["backends"] as { backend: string; open: number }[]; // as the admin page documents
  const open = backends
    .filter((backend) => backend.open > 0)
    .map(({ backend, open: count }) => `${count} connections to ${backend} are open`);
  return [...(running === 0 ? [] : [`${String(running)} tasks run`]), ...open];
}

async function admin(url: string, method: string, page: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/${page}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${page}: ${text}`);
  return JSON.parse(text) as Record<string, unknown>; // our own page
}
