/** Many small changes in real time over HTTP: 1 000 Pods replaced one by one, spread over 50 load balancers. */
import { makeClock } from "../../common/clock.ts";
import { startCloud } from "../../test/cloud/cli/start.ts";
import { overlaps, targetTimes } from "../../test/cloud/journal/facts.ts";
import { makeOurs, type Wish } from "./ours.ts";
import { sdkTransport } from "./site.ts";

const SIZE = { loadBalancers: 50, backends: 20, changes: 1_000, perSecond: 50 } as const;
const DRAIN_MS = 2_000;

export type ChangesFigures = {
  readonly changes: number;
  readonly loadBalancers: number;
  /** From the change of the wish to the new backend bound, by the cloud's journal. */
  readonly boundMsP50: number;
  readonly boundMsP99: number;
  /** Writes of all kinds: bind, drain, unbind. */
  readonly writesPerChange: number;
  readonly overlaps: number;
};

export async function changes(): Promise<ChangesFigures> {
  const clock = makeClock();
  const started = await startCloud({ clock, profile: "fast", dataPlane: false, health: "scripted" });
  const { cloud, endpoint } = started;
  const ours = makeOurs({ transport: sdkTransport(endpoint), clock, rulesPerCall: 20, drainMs: DRAIN_MS });
  const wishes = new Map<string, Wish>();
  let fresh = 0;
  const nextIp = (): string => `10.244.${Math.floor(fresh / 250)}.${1 + (fresh++ % 250)}`;
  for (let index = 0; index < SIZE.loadBalancers; index++) {
    const ips = Array.from({ length: SIZE.backends }, nextIp);
    wishes.set(cloud.addLoadBalancer().loadBalancerId, { urls: ["/"], ips });
  }
  await ours.converge(wishes);
  const fromSequence = cloud.journal.lastSeq;
  const changedMs = new Map<string, number>();
  const ids = [...wishes.keys()];
  for (let index = 0; index < SIZE.changes; index++) {
    const id = ids[(index * 7) % ids.length] ?? "";
    const [, ...kept] = wishes.get(id)?.ips ?? [];
    const ip = nextIp();
    const wanted = { urls: ["/"], ips: [...kept, ip] };
    wishes.set(id, wanted);
    changedMs.set(ip, clock.now());
    ours.set(id, wanted);
    await clock.sleep(1_000 / SIZE.perSecond);
  }
  await ours.converge(wishes);
  const entries = cloud.journal.query({ since: fromSequence });
  const took = targetTimes(entries)
    .flatMap(({ ip, boundMs }) => boundMs - (changedMs.get(ip) ?? Number.NaN))
    .toSorted((a, b) => a - b);
  const written = entries.filter((entry) => entry.kind === "call" && entry.isWrite && entry.code === "OK").length;
  await ours.stop();
  await started.stop();
  return {
    changes: SIZE.changes,
    loadBalancers: SIZE.loadBalancers,
    boundMsP50: took[Math.floor(took.length * 0.5)] ?? 0,
    boundMsP99: took[Math.floor(took.length * 0.99)] ?? 0,
    writesPerChange: written / SIZE.changes,
    overlaps: overlaps(entries).length,
  };
}
