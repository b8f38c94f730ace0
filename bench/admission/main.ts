/**
 * `npm run bench:admission`: what the webhook adds to the creation of a Pod, with 2 000 Services of ours in the cluster: the same Pods, as dry
 * runs, opted out by their label, meant for a control that thinks nothing (control.ts), and meant for ours. On a real control plane, with all of
 * it on this machine: where two cores carry creators, API server and webhook, any webhook adds what the API server itself does for it, times the
 * creations that wait for the same cores. So the control is created with twice: the goal is missed where ours adds more than it and than the control explains.
 *
 * An API server keeps 25 idle connections to a webhook (client-go, idleConnsPerHost) and resumes no TLS session: of more creations at a time it opens
 * and closes connections all the while, at 200 more than one for two reviews, and each handshake costs both ends about as much as the review.
 */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import { LOAD_BALANCER_CLASS } from "../../common/names.ts";
import { TIMEOUT_SECONDS } from "../../coordinator/admission/webhook-objects.ts";
import { issueAuthority, issueServing } from "../../coordinator/tls/certificate.ts";
import { argumentsOrExit, checkJsonFile, exitAfter, positive } from "../../deploy/tools/arguments.ts";
import { nodeFlags } from "../../deploy/tools/render.ts";
import { type RunningProcess, startProcess, until } from "../../test/cluster/process.ts";
import { readOptions } from "../../test/demo/options.ts";
import type { Steps } from "../../test/demo/parts.ts";
import { type Stage, setStage } from "../../test/demo/stage.ts";
import { cpuSecondsOf } from "./cpu.ts";
import { CONTROL_LABEL, type Create, type Created, inParallel, makeCreate, NAMESPACE, PER_CLIENT } from "./creations.ts";
import { print } from "./print.ts";
import { between, type Cpu, faultsOf, type Inside, KINDS, type Kind, type Row, type Times, timesOf } from "./rows.ts";

const USAGE = `usage: npm run bench:admission -- [options]
  --cluster real     or embedded: the API server
  --services 2000    Services of ours, one of which selects each Pod
  --pods 2000        creations of each kind and parallelism, at least
  --rows 1,20,200,1024  only some: how many Pods are created at a time
  --json FILE        writes the rows as JSON too
Exit code 1 if a limit is exceeded or a Pod lacks the gate, 2 for a mistake in the options.`;

/** What is created: so many at a time, in so many rounds; the kinds in turns, so that what changes meanwhile meets all. `waves`: creations of a kind and round, by parallel ones. */
const ROWS = [
  { parallel: 1, rounds: 8, waves: 1 },
  { parallel: 20, rounds: 8, waves: 1 },
  { parallel: 200, rounds: 8, waves: 5 },
  { parallel: 1_024, rounds: 4, waves: 1 }, // all of them at once
] as const;
type Load = (typeof ROWS)[number];
const BURST = 1_024;
/** Created at once, when the Services are made. */
const MAKERS = 20;
const CONTROL_PORT = 18_443;
const CORES = availableParallelism();

const options = argumentsOrExit(USAGE, (args) => {
  const { values } = parseArgs({
    args,
    options: {
      cluster: { type: "string", default: "real" },
      services: { type: "string", default: "2000" },
      pods: { type: "string", default: "2000" },
      rows: { type: "string", default: ROWS.map(({ parallel }) => parallel).join() },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  checkJsonFile(values.json);
  const { cluster, json, help } = values;
  if (cluster !== "real" && cluster !== "embedded") throw new RangeError(`--cluster must be real or embedded, got "${cluster}"`);
  const rows = values.rows.split(",").map(Number);
  const strange = rows.filter((one) => !ROWS.some(({ parallel }) => parallel === one));
  if (strange.length > 0) throw new RangeError(`--rows ${values.rows}: known are ${ROWS.map(({ parallel }) => parallel).join()}`);
  return { cluster, json, help, rows, services: positive("services", values.services), pods: positive("pods", values.pods) };
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

/** Starts the control and has the API server call it for the Pods that are meant for it. */
async function startControl({ plan, directory, cluster: { client } }: Stage, create: Create, steps: Steps): Promise<RunningProcess> {
  const authority = await issueAuthority(Date.now());
  const { certPem, keyPem } = await issueServing(authority, [], [plan.client], Date.now());
  const script = "bench/admission/control.ts";
  const env = { CERT_PEM: certPem, KEY_PEM: keyPem };
  const args = [plan.client, String(CONTROL_PORT)];
  const control = startProcess({ name: "control", script, args, env, logFile: join(directory, "control.log") });
  steps.push(() => control.stop());
  const url = `https://${plan.client}:${CONTROL_PORT}/`;
  const webhook = {
    name: "control.bench.example.com",
    clientConfig: { url, caBundle: Buffer.from(authority.certPem).toString("base64") },
    rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "Namespaced" }],
    objectSelector: { matchLabels: { [CONTROL_LABEL]: "true" } },
    failurePolicy: "Ignore",
    timeoutSeconds: TIMEOUT_SECONDS,
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
    reinvocationPolicy: "IfNeeded",
  };
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  await client.create(path, { metadata: { name: "bench-control" }, webhooks: [webhook] });
  const isCalled = (): Promise<boolean> =>
    create("control", 0).then(
      () => true,
      () => false,
    );
  await until("the control is called", isCalled, 120_000, 1_000);
  return control;
}

type InsideControl = Times & { readonly connections: number };

/** What the control says of the time since it was asked last. */
async function insideOf(control: RunningProcess): Promise<InsideControl> {
  const lines = (): readonly string[] => readFileSync(control.logFile, "utf8").split("\n").slice(0, -1);
  const before = lines().length;
  control.signal("SIGUSR2");
  const text = await until("the control says how long it took", () => (lines().length > before ? lines().at(-1) : undefined));
  return JSON.parse(text) as InsideControl;
}

/** A Pod of that Service gets the gate. */
const untilKnown = (create: Create, index: number): Promise<unknown> =>
  until(
    `Service web-${index} is known`,
    () =>
      create("webhook", index).then(
        () => true,
        () => false,
      ),
    300_000,
    1_000,
  );

/** What our webhook's process says of itself. */
async function readInside({ product }: Stage): Promise<Inside> {
  const text = await (await fetch(`${product.opsUrl}/metrics`)).text();
  const values = (name: string): readonly (readonly [labels: string, value: number])[] =>
    [...text.matchAll(new RegExp(`^clb_direct_admission_${name}(\\{.*\\})? (\\S+)$`, "gm"))].map(([, labels = "", value]) => [
      labels,
      Number(value),
    ]);
  return {
    reviews: values("review_seconds_count")[0]?.[1] ?? 0,
    connections: values("connections_total")[0]?.[1] ?? 0,
    buckets: values("review_seconds_bucket").map(([labels, count]) => [
      Number((/le="([^"]+)"/.exec(labels)?.[1] ?? "").replace("+Inf", "Infinity")),
      count,
    ]),
  };
}

/** Seconds of CPU until now. */
type Spent = { readonly api: number; readonly webhooks: number; readonly creators: number };

function spentBy({ processes, product }: Stage, control: RunningProcess): Spent {
  const { user, system } = process.cpuUsage();
  const api = processes.find(({ name }) => name === "cluster")?.pid ?? -1;
  return {
    api: cpuSecondsOf(api),
    webhooks: cpuSecondsOf(product.coordinator()?.pid ?? -1) + cpuSecondsOf(control.pid),
    creators: (user + system) / 1e6,
  };
}

/** What one kind has come to in all rounds. */
class Tally {
  readonly #took: number[] = [];
  #late = 0;
  readonly #seconds = { api: 0, webhook: 0, creators: 0 };

  add(created: readonly Created[], before: Spent, after: Spent): void {
    this.#took.push(...created.map(({ tookMs }) => tookMs));
    this.#late += created.filter(({ isLate }) => isLate).length;
    this.#seconds.api += after.api - before.api;
    this.#seconds.webhook += after.webhooks - before.webhooks;
    this.#seconds.creators += after.creators - before.creators;
  }

  get times(): Times {
    return timesOf(this.#took);
  }

  get late(): number {
    return this.#late;
  }

  get cpu(): Cpu {
    const each = (seconds: number): number => (seconds * 1_000) / this.#took.length;
    return { api: each(this.#seconds.api), webhook: each(this.#seconds.webhook), creators: each(this.#seconds.creators) };
  }
}

type Benched = { readonly stage: Stage; readonly control: RunningProcess; readonly create: Create };

async function measure({ stage, control, create }: Benched, { parallel, rounds, waves }: Load): Promise<Row> {
  const many = parallel === BURST ? BURST : Math.max(Math.ceil(options.pods / rounds), waves * parallel);
  const createAll = (kind: Kind): Promise<readonly Created[]> => inParallel(many, parallel, (index) => create(kind, index));
  for (const kind of KINDS) await createAll(kind); // connects, and is not counted
  await insideOf(control); // what was before
  const tallies = { alone: new Tally(), control: new Tally(), webhook: new Tally(), again: new Tally() };
  const spans: [Inside, Inside][] = [];
  for (let round = 0; round < rounds; round++)
    for (const kind of [...KINDS.slice(round % KINDS.length), ...KINDS.slice(0, round % KINDS.length)]) {
      const insideBefore = await readInside(stage);
      const before = spentBy(stage, control);
      const created = await createAll(kind);
      tallies[kind].add(created, before, spentBy(stage, control));
      if (kind === "webhook") spans.push([insideBefore, await readInside(stage)]);
    }
  const ofEach = <T>(of: (tally: Tally) => T): Record<Kind, T> => ({
    alone: of(tallies.alone),
    control: of(tallies.control),
    webhook: of(tallies.webhook),
    again: of(tallies.again),
  });
  const { connections: connectionsControl, ...insideControl } = await insideOf(control);
  return {
    parallel,
    created: many * rounds,
    times: ofEach(({ times }) => times),
    cpu: ofEach(({ cpu }) => cpu),
    late: ofEach(({ late }) => late),
    insideControl,
    connectionsControl,
    ...between(summed(spans.map(([before]) => before)), summed(spans.map(([, after]) => after))),
  };
}

const summed = (all: readonly Inside[]): Inside =>
  all.reduce((one, other) => ({
    reviews: one.reviews + other.reviews,
    connections: one.connections + other.connections,
    buckets: one.buckets.map(([limit, count], at) => [limit, count + (other.buckets[at]?.[1] ?? 0)]),
  }));

await exitAfter(async () => {
  const staged = readOptions(["--cluster", options.cluster]);
  if (staged === undefined) throw new Error("no options");
  const steps: Steps = [];
  try {
    const programs = { coordinator: { script: "coordinator/main.ts", flags: nodeFlags("coordinator") } };
    const stage = await setStage(staged, steps, () => undefined, programs);
    const { client, clock } = stage.cluster;
    await client.create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    const services = `/api/v1/namespaces/${NAMESPACE}/services`;
    await inParallel(options.services, MAKERS, (index) => client.create(services, service(index)));
    const createBy = async (parallel: number): Promise<Create> => {
      const env = { KUBECONFIG: stage.ground.kubeconfigFile };
      const clients = await Promise.all(Array.from({ length: Math.ceil(parallel / PER_CLIENT) }, () => makeKubeClient({ clock, env })));
      steps.push(() => Promise.all(clients.map((one) => one.close())).then(() => undefined));
      return makeCreate(clients, options.services);
    };
    const create = await createBy(MAKERS);
    await inParallel(options.services, MAKERS, (index) => untilKnown(create, index));
    const control = await startControl(stage, create, steps);
    const rows: Row[] = [];
    for (const load of ROWS.filter(({ parallel }) => options.rows.includes(parallel)))
      rows.push(await measure({ stage, control, create: await createBy(load.parallel) }, load));
    print(rows, { services: options.services, cores: CORES });
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(rows, null, 2)}\n`);
    const faults = rows.flatMap(faultsOf);
    for (const fault of faults) console.log(fault);
    return faults.length === 0;
  } finally {
    for (const step of steps.toReversed()) await step();
  }
});
