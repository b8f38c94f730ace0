/**
 * `npm run bench:ingress`: rule tables at size through the whole product, from the watch of an Ingress to the emulated cloud, in virtual time:
 * what the cloud takes is counted, and what we think costs nothing. The rows are those of `npm run bench:sync`.
 */
import { inspect, parseArgs } from "node:util";
import { argumentsOrExit } from "../../deploy/tools/arguments.ts";
import type { ManifestWorld } from "../../test/manifests/world.ts";
import { lowerBoundSeconds, PUBLISHED, type PublishedRow, startOf } from "../sync/tables.ts";

const USAGE = `usage: npm run bench:ingress -- [--quick]
Rule tables of 200, 400 and 500 rules beside the bound and what is published, and what a change costs in groups of 10, 100 and 300 Ingresses
beside its limit. Exit code 1 where a limit is missed.
  --quick   the table of 200 rules, and groups of 10 and of 300`;
const { quick } = argumentsOrExit(
  USAGE,
  (args) => parseArgs({ args, options: { help: { type: "boolean", default: false }, quick: { type: "boolean", default: false } } }).values,
);
// A mistake in the options is told without these.
const { manifestWorld } = await import("../../test/manifests/world.ts");
const { costsInGroup } = await import("./group.ts");

const RULES_PER_CALL = 20;
/** Besides the published rows: what a raised quota allows, beyond them. */
const MORE: PublishedRow = { table: "B", rules: 500, backends: 50, publishedSeconds: [Number.NaN, Number.NaN, Number.NaN] };
const rows = [PUBLISHED.find(is("A", 200)), ...(quick ? [] : [PUBLISHED.find(is("B", 400)), MORE])].flatMap((row) => row ?? []);

function is(table: string, rules: number) {
  return (row: PublishedRow): boolean => row.table === table && row.rules === rules && row.backends === 50;
}

const backend = { service: { name: "shop", port: { number: 80 } } };
const anIngress = (rules: number) => ({
  kind: "Ingress",
  metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
  spec: {
    ingressClassName: "qcloud",
    rules: [
      {
        host: "shop.example.com",
        http: { paths: Array.from({ length: rules }, (_, index) => ({ path: `/r${index}`, pathType: "Prefix", backend })) },
      },
    ],
  },
});
const aPod = (index: number) => ({
  name: `web-${index}`,
  labels: { app: "web" },
  annotations: {},
  ready: true,
  hostNetwork: false,
  ports: [{ name: "http", containerPort: 8080 }],
});

/** Every rule has so many targets. */
function isFull({ cloud }: ManifestWorld, rules: number, targets: number): boolean {
  const listeners = cloud.state().loadBalancers.flatMap((one) => one.listeners);
  const found = listeners.flatMap((listener) => listener.rules);
  return found.length === rules && found.every((rule) => rule.targets.length === targets);
}

async function measure(row: PublishedRow): Promise<number> {
  const world = await manifestWorld({
    given: [],
    certificates: [],
    settings: { rulesPerCall: RULES_PER_CALL, healthPollMs: 10_000, healthIdleMs: 3_600_000 },
    cloud: { profile: "tke2020", limits: { rulesPerListener: row.rules, createRules: RULES_PER_CALL }, journalSize: 1_000 },
  });
  const { clock } = world;
  const start = startOf(row);
  const until = async (rules: number, targets: number): Promise<void> => {
    while (!isFull(world, rules, targets)) await clock.sleep(500);
  };
  const seconds = await world.run(
    (async () => {
      world.start();
      await world.apply({
        kind: "Service",
        metadata: { name: "shop" },
        spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
      });
      for (let index = 0; index < start.backends; index += 1) await world.applyPod(aPod(index), index);
      await world.apply(anIngress(start.rules));
      await until(start.rules, start.backends);
      await clock.sleep(60_000);
      const beganMs = clock.now();
      if (row.rules > start.rules) await world.apply(anIngress(row.rules));
      for (let index = start.backends; index < row.backends; index += 1) await world.applyPod(aPod(index), index);
      await until(row.rules, row.backends);
      const tookMs = clock.now() - beganMs;
      await world.kill();
      return tookMs / 1000;
    })(),
  );
  await world.end();
  return seconds;
}

for (const row of rows) {
  const seconds = await measure(row);
  const bound = lowerBoundSeconds(row, RULES_PER_CALL);
  const [, , published] = row.publishedSeconds;
  const ahead = Number.isNaN(published) ? "not published" : `published ${published} s`;
  console.log(
    `${row.rules} rules x ${row.backends} Pods: ${seconds.toFixed(1)} s, ${(seconds / bound).toFixed(2)} of the bound ${bound.toFixed(1)} s; ${ahead}`,
  );
  if (seconds > bound * 1.05 || seconds > published) {
    console.error(`too slow: ${inspect(row)}`);
    process.exitCode = 1;
  }
}

const CHANGED = ["idle", "joins", "leaves", "edits"] as const;
/** Members of the smallest group. A change in a larger one may cost what planning its load balancer costs, which has so many more rules, and no more than that. */
const FEW = 10;
const few = await costsInGroup(FEW);
console.log(
  "milliseconds of CPU for a change in a group of Ingresses and the 20 s after it; limit: that of ten, as many times as there are more members",
);
console.log(`group of ${FEW}: ${CHANGED.map((change) => `${change} ${few[change].toFixed(1)}`).join(", ")}`);
for (const members of quick ? [300] : [100, 300]) {
  const costs = await costsInGroup(members);
  const told = CHANGED.map((change) => {
    const limit = (few[change] * members) / FEW;
    if (change === "idle") return `${change} ${costs[change].toFixed(1)}`;
    if (costs[change] > limit) process.exitCode = 1;
    return `${change} ${costs[change].toFixed(1)} (limit ${limit.toFixed(0)}${costs[change] > limit ? ": missed" : ""})`;
  });
  console.log(`group of ${members}: ${told.join(", ")}`);
}
