/** In virtual time: a new leader of many load balancers that were made for its Services, and a Pod of one of them that ends. */
import { aWorld } from "../../test/coordinator/faults/world.ts";

/** Load balancers per page of DescribeLoadBalancers, calls a second (clb-api.md §0, §2.1). */
const PER_PAGE = 100;
const PER_SECOND = 20;
/** Its agents connect within a second. */
const CONNECTED_MS = 1_500;

export type NewLeaderFigures = {
  readonly loadBalancers: number;
  /** Pages of the list that were read, and reads of load balancers by name before all were read. */
  readonly pages: number;
  readonly reads: number;
  /** Until the targets of each have been read, seconds; and at the rate, for the pages and one read of each. */
  readonly allReadSeconds: number;
  readonly boundSeconds: number;
  /** From the end of the Pod to its weight 0 being sent, seconds. */
  readonly drainSeconds: number;
};

export async function newLeader(loadBalancers: number): Promise<NewLeaderFigures> {
  const apps = Array.from({ length: loadBalancers }, (_, n) => `a${n}`);
  const cleanUps: (() => unknown)[] = [];
  const owner = { after: (cleanUp: () => unknown): void => void cleanUps.push(cleanUp) };
  const limits = { openLoadBalancers: loadBalancers };
  const world = aWorld(owner, { apps, pods: 1, ours: true, check: { enabled: false }, limits });
  const { cluster, clock, cloud } = world;
  const ending = apps.at(-1) ?? "";
  const boundSeconds = (Math.ceil((loadBalancers + 1) / PER_PAGE) + loadBalancers) / PER_SECOND;
  const times = await world.run(async () => {
    world.start();
    for (const app of apps) await world.converged(app);
    await world.kill();
    world.start();
    const beganMs = clock.now();
    await clock.sleep(CONNECTED_MS);
    const endedMs = clock.now();
    cluster.end(cluster.alive(ending).map(({ uid }) => uid));
    await clock.sleep(boundSeconds * 2_000);
    await world.kill();
    return { beganMs, endedMs };
  });
  const calls = cloud.journal.of("call").filter(({ startMs, caller }) => startMs >= times.beganMs && caller === "coordinator-2");
  const read = new Map<string, number>();
  for (const { action, loadBalancerIds, timeMs } of calls) {
    const [id = ""] = loadBalancerIds;
    if (action === "DescribeTargets" && !read.has(id)) read.set(id, timeMs);
  }
  const allReadMs = read.size < loadBalancers ? Number.POSITIVE_INFINITY : Math.max(...read.values());
  const lists = calls.filter(({ action, startMs }) => action === "DescribeLoadBalancers" && startMs < allReadMs);
  const drain = calls.find(
    ({ action, loadBalancerIds }) => action === "BatchModifyTargetWeight" && loadBalancerIds.includes(`lb-${ending}`),
  );
  for (const cleanUp of cleanUps) await cleanUp();
  return {
    loadBalancers,
    pages: lists.filter(({ loadBalancerIds }) => loadBalancerIds.length === 0).length,
    reads: lists.filter(({ loadBalancerIds }) => loadBalancerIds.length > 0).length,
    allReadSeconds: (allReadMs - times.beganMs) / 1_000,
    boundSeconds,
    drainSeconds: ((drain?.startMs ?? Number.POSITIVE_INFINITY) - times.endedMs) / 1_000,
  };
}

/** All are to be read within so many times the bound. */
export const ALL_READ_TIMES = 1.2;
