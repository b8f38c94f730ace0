/**
 * `npm run bench:admission`: what the webhook adds to the creation of a Pod, with 2 000 Services of ours in the cluster: the same Pods, as dry
 * runs, once meant for the webhook and once opted out by their label. On a real control plane, with all of it on this machine.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { INJECT_LABEL, LOAD_BALANCER_CLASS } from "../../common/names.ts";
import { isGated } from "../../test/cluster/injected.ts";
import { until } from "../../test/cluster/process.ts";
import { readOptions } from "../../test/demo/options.ts";
import type { Steps } from "../../test/demo/parts.ts";
import { setStage } from "../../test/demo/stage.ts";
import { argumentsOrExit, checkJsonFile, exitAfter, positive } from "../arguments.ts";

const USAGE = `usage: npm run bench:admission -- [options]
  --cluster real     or embedded: the API server
  --services 2000    Services of ours, one of which selects each Pod
  --pods 2000        creations of each kind and parallelism
  --json FILE        writes the rows as JSON too
Exit code 1 if a limit is exceeded or a Pod lacks the gate, 2 for a mistake in the options.`;

/** Milliseconds that the webhook may add to the slowest hundredth. */
const LIMIT_MS = 10;
const PARALLEL = [20, 200] as const;
/** With and without in turns, so that what changes meanwhile meets both. */
const ROUNDS = 4;
const NAMESPACE = "bench";
/** Created at once, when the Services are made. */
const MAKERS = 20;

type Row = { readonly parallel: number; readonly own: Times; readonly withWebhook: Times; readonly added: Times };
type Times = { readonly p50: number; readonly p99: number };

const options = argumentsOrExit(USAGE, (args) => {
  const { values } = parseArgs({
    args,
    options: {
      cluster: { type: "string", default: "real" },
      services: { type: "string", default: "2000" },
      pods: { type: "string", default: "2000" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  checkJsonFile(values.json);
  const { cluster, json, help } = values;
  if (cluster !== "real" && cluster !== "embedded") throw new RangeError(`--cluster must be real or embedded, got "${cluster}"`);
  return { cluster, json, help, services: positive("services", values.services), pods: positive("pods", values.pods) };
});

/** A Service of ours that is refused for its annotation: the cloud has no part in this. */
const service = (index: number): object => ({
  metadata: { name: `web-${index}`, namespace: NAMESPACE, annotations: { "service.cloud.tencent.com/direct-access": "neither" } },
  spec: {
    type: "LoadBalancer",
    loadBalancerClass: LOAD_BALANCER_CLASS,
    allocateLoadBalancerNodePorts: false,
    selector: { app: `web-${index}` },
    ports: [{ port: 80, protocol: "TCP" }],
  },
});

async function inParallel(many: number, parallel: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < many) await one(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

/** Milliseconds of each creation. Throws where a Pod has not what it should have. */
async function create(client: KubeClient, many: number, parallel: number, isMeant: boolean): Promise<readonly number[]> {
  const took: number[] = [];
  await inParallel(many, parallel, async (index) => {
    const labels = { app: `web-${index % options.services}`, ...(!isMeant && { [INJECT_LABEL]: "disabled" }) };
    const pod = { metadata: { generateName: "web-", labels }, spec: { containers: [{ name: "web", image: "web" }] } };
    const startedMs = performance.now();
    const created = await client.create(`/api/v1/namespaces/${NAMESPACE}/pods`, pod, { query: { dryRun: "All" } });
    took.push(performance.now() - startedMs);
    if (isGated(created) !== isMeant) throw new Error(`a Pod ${isMeant ? "lacks" : "has"} the gate, ${parallel} parallel creations`);
  });
  return took;
}

function timesOf(took: readonly number[]): Times {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99) };
}

const minus = (one: Times, other: Times): Times => ({
  p50: Math.round((one.p50 - other.p50) * 10) / 10,
  p99: Math.round((one.p99 - other.p99) * 10) / 10,
});

async function measure(client: KubeClient, parallel: number): Promise<Row> {
  const [own, withWebhook]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    own.push(...(await create(client, options.pods / ROUNDS, parallel, false)));
    withWebhook.push(...(await create(client, options.pods / ROUNDS, parallel, true)));
  }
  const row = { parallel, own: timesOf(own), withWebhook: timesOf(withWebhook) };
  return { ...row, added: minus(row.withWebhook, row.own) };
}

await exitAfter(async () => {
  const staged = readOptions(["--cluster", options.cluster]);
  if (staged === undefined) throw new Error("no options");
  const steps: Steps = [];
  try {
    const { cluster } = await setStage(staged, steps, () => undefined);
    const { client } = cluster;
    await client.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    const services = `/api/v1/namespaces/${NAMESPACE}/services`;
    await inParallel(options.services, MAKERS, async (index) => void (await client.create(services, service(index))));
    await until(
      "the last Service is known",
      () =>
        create(client, options.services, MAKERS, true).then(
          () => true,
          () => false,
        ),
      120_000,
      1_000,
    );
    const rows: Row[] = [];
    for (const parallel of PARALLEL) rows.push(await measure(client, parallel));
    console.log(`${options.services} Services, ${options.pods} creations each; milliseconds, p50 / p99`);
    for (const { parallel, own, withWebhook, added } of rows)
      console.log(
        `${String(parallel).padStart(4)} parallel: API server alone ${own.p50} / ${own.p99}, with the webhook ${withWebhook.p50} / ${withWebhook.p99}, added ${added.p50} / ${added.p99} (limit of the p99: ${LIMIT_MS})`,
      );
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(rows, null, 2)}\n`);
    return rows.every(({ added }) => added.p99 <= LIMIT_MS);
  } finally {
    for (const step of steps.toReversed()) await step();
  }
});
