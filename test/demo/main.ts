/** `npm run demo`: a rollout behind an emulated load balancer, under load, with every part a process of its own. */
import { readFile, writeFile } from "node:fs/promises";
import type { JournalEntry } from "../cloud/journal/journal.ts";
import { PROFILES } from "../cloud/runtime/options.ts";
import { until } from "../cluster/process.ts";
import type { Cluster } from "../cluster/simulated/cluster.ts";
import { type Board, startBoard } from "./board.ts";
import { performDenied } from "./denied.ts";
import { exampleManifests, hasWebhook, NAMESPACE } from "./example.ts";
import { changeCertificate, INGRESS_APPS, INGRESS_PATH, ingressRoutes } from "./ingress.ts";
import { keepText } from "./keep.ts";
import { type Failure, type Load, type LoadResult, startLoad } from "./load.ts";
import { applyAsWritten, toldOfPods } from "./not-injected.ts";
import { type DemoOptions, optionsOrExit } from "./options.ts";
import { Refusal, type Steps } from "./parts.ts";
import { type PodWatch, watchPods } from "./pods.ts";
import { type Stage, setStage } from "./stage.ts";
import { brokenBackend, nameVictim, type Summary, summarize, summaryText } from "./summary.ts";

/** How long the first six Pods and a rollout may take before the demo gives up; the slow profile needs minutes for many Pods. */
const LIMIT_MS = { fast: 180_000, tke2020: 900_000 } as const;
/** Load before and after the rollout, so that its edges are seen. */
const EDGE_MS = 2_000;

async function main(): Promise<number> {
  const options = optionsOrExit(process.argv.slice(2));
  const interrupted = Promise.withResolvers<never>();
  interrupted.promise.catch(() => undefined); // raced below; whoever lost interest must not see it as unhandled
  // Not once: a second Ctrl-C, or the launcher passing on what the terminal sent to everybody, must not cut the clean-up short.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupted.reject(new Interrupted(signal)));
  const startedMs = Date.now();
  let stage: Stage | undefined;
  const steps: Steps = [];
  let [isInterrupted, isClean] = [false, true];
  try {
    const run = async (): Promise<number> => {
      stage = await setStage(options, steps, say);
      if (options.deny !== undefined) return await performDenied(options, stage, say);
      const summary = await perform(options, stage);
      console.log(`\n${summaryText(summary)}\n\nthe whole demo took ${Math.round((Date.now() - startedMs) / 1000)} s`);
      if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(summary, null, 2)}\n`);
      if (options.keep) {
        console.log(`\n${keepText(options, stage)}`);
        await interrupted.promise;
      }
      return summary.failed === 0 ? 0 : 1;
    };
    return await Promise.race([run(), interrupted.promise]);
  } catch (error) {
    isInterrupted = error instanceof Interrupted;
    if (isInterrupted) return 130;
    console.error(error instanceof Error ? error.message : error);
    if (error instanceof Refusal) return 1;
    for (const { name, logFile } of stage?.processes ?? [])
      console.error(`--- ${name}: ${(await readFile(logFile, "utf8").catch(() => "")).slice(-1_000)}`);
    return 1;
  } finally {
    for (const step of steps.toReversed())
      await step().catch((error: unknown) => {
        isClean = false;
        console.error(`clean-up: ${String(error)}`);
      });
    if (isInterrupted && isClean) console.log("\ninterrupted: everything is stopped, nothing is left");
  }
}

class Interrupted extends Error {}

async function perform(options: DemoOptions, stage: Stage): Promise<Summary> {
  const { cluster, product, plan } = stage;
  const limitMs = LIMIT_MS[options.profile];
  const watch = await watchPods(cluster, NAMESPACE);
  let load: Load | undefined;
  let board: Board | undefined;
  try {
    await applyAsWritten(cluster, await exampleManifests(options, plan), options.replicas);
    say(`applied deploy/examples/${options.ingress ? "ingress" : "web"}.yaml: ${podsOf(options)} Pods${whatIsMissing(options)}`);
    const loadText = (): string => {
      const result = load?.result();
      return result === undefined ? "no load yet" : `${result.requests} requests, ${result.failures.length} failed`;
    };
    board = startBoard(product, NAMESPACE, loadText);
    const vip = await until("an address in the status", () => addressOf(cluster, options), limitMs);
    await until(
      "every Pod ready and the load balancer sending to all of them",
      async () => {
        await stage.ground.checkPods();
        return await settled(stage, watch, podsOf(options));
      },
      limitMs,
    );
    if (hasWebhook(options, plan)) {
      const told = await toldOfPods(cluster);
      if (told !== undefined) {
        say(`\nEvent PodsNotInjected: ${told}\n\nso it is done:`);
        await rollOut(stage, watch, options, limitMs);
      }
    }
    load = startLoad({
      host: vip,
      port: plan.servicePort,
      rate: options.rate,
      localAddress: plan.kind === "namespace" ? plan.client : undefined,
      ...(options.ingress && { routes: await ingressRoutes(stage.directory) }),
    });
    await pause(EDGE_MS);
    const rolling = rollOut(stage, watch, options, limitMs);
    if (options.ingress) await changeCertificateAmid(stage, rolling);
    const rolloutSeconds = await rolling;
    await pause(EDGE_MS);
    const result = await load.stop();
    await board.stop();
    if (options.ingress) say(`\n${result.certificates.size} certificates were shown, one after the other`);
    if (options.ingress && result.certificates.size < 2) throw new Error("the new certificate was never shown");
    return await conclude(options, stage, watch, result, rolloutSeconds);
  } finally {
    await board?.stop();
    await load?.stop();
    await watch.stop();
  }
}

/** Of all Deployments of the example. */
const podsOf = ({ ingress, replicas }: DemoOptions): number => (ingress ? INGRESS_APPS.length * replicas : replicas);
/** Into the rollout. */
const AMID_MS = 4_000;

async function changeCertificateAmid({ cluster }: Stage, rolling: Promise<unknown>): Promise<void> {
  rolling.catch(() => undefined); // awaited by the caller
  await pause(AMID_MS);
  await changeCertificate(cluster);
  say("the Secret names another certificate");
}

function whatIsMissing({ withoutGates, withoutAdmission, withoutHold }: DemoOptions): string {
  const missing = [...(withoutGates || withoutAdmission ? ["gate"] : []), ...(withoutGates || withoutHold ? ["hold"] : [])];
  return missing.length === 0 ? "" : `, without ${missing.join(" and ")}`;
}

async function conclude(options: DemoOptions, stage: Stage, watch: PodWatch, load: LoadResult, rolloutSeconds: number): Promise<Summary> {
  const journal = await readJournal(stage);
  const pods = [...watch.pods.values()];
  const failures = await Promise.all(
    load.failures.map(async (failure) => nameVictim(failure, brokenBackend(failure, journal) ?? (await backendOf(stage, failure)), pods)),
  );
  const { busyAfterReturnMs } = PROFILES[options.profile].batchTargets;
  return summarize({ load, failures, pods, journal, busyAfterReturnMs, rolloutSeconds });
}

async function addressOf({ client }: Cluster, { ingress }: DemoOptions): Promise<string | undefined> {
  const path = ingress ? INGRESS_PATH : `/api/v1/namespaces/${NAMESPACE}/services/web`;
  const service = await client.get<{ status?: { loadBalancer?: { ingress?: { ip?: string }[] } } }>(path);
  return service.status?.loadBalancer?.ingress?.[0]?.ip;
}

type Targets = { readonly targets: readonly { readonly ip: string; readonly weight: number; readonly health: string }[] };
type State = { loadBalancers: { listeners: (Targets & { readonly rules: readonly Targets[] })[] }[] };

/** Addresses that the cloud sends to. */
async function serving(stage: Stage): Promise<Set<string>> {
  const state = await admin<State>(stage, "/state");
  const targets = state.loadBalancers.flatMap(({ listeners }) =>
    listeners.flatMap(({ targets: own, rules }) => [...own, ...rules.flatMap((rule) => rule.targets)]),
  );
  return new Set(targets.filter(({ weight, health }) => weight > 0 && (health === "Alive" || health === "Close")).map(({ ip }) => ip));
}

async function settled(stage: Stage, watch: PodWatch, replicas: number): Promise<boolean> {
  const ready = [...watch.pods.values()].filter(({ readyMs, terminatingMs }) => readyMs !== undefined && terminatingMs === undefined);
  if (ready.length !== replicas) return false;
  const sent = await serving(stage);
  // Also to nobody else: a Pod without a preStop hook is gone before the load balancer knows.
  return sent.size === ready.length && ready.every(({ ip }) => ip !== undefined && sent.has(ip));
}

/** Replaces every Pod; returns how long it took. */
async function rollOut(stage: Stage, watch: PodWatch, options: DemoOptions, limitMs: number): Promise<number> {
  const before = new Set([...watch.pods.values()].filter(({ goneMs }) => goneMs === undefined).map(({ name }) => name));
  const startedMs = performance.now();
  for (const app of options.ingress ? INGRESS_APPS : ["web"]) await restart(stage.cluster, app);
  say("rollout started (as kubectl rollout restart)");
  await until("the rollout's end", () => rolledOut(stage, watch, before, podsOf(options)), limitMs);
  return (performance.now() - startedMs) / 1000;
}

/** New Pods serve, and every old one is gone from cluster and load balancer. */
async function rolledOut(stage: Stage, watch: PodWatch, before: ReadonlySet<string>, replicas: number): Promise<boolean> {
  const old = [...watch.pods.values()].filter(({ name, goneMs }) => before.has(name) && goneMs === undefined);
  return old.length === 0 && (await settled(stage, watch, replicas));
}

/** As `kubectl rollout restart` does. */
async function restart({ client }: Cluster, app: string): Promise<void> {
  const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
  await client.patch(
    `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${app}`,
    { spec: { template: { metadata: { annotations } } } },
    "merge",
  );
}

async function readJournal(stage: Stage): Promise<readonly JournalEntry[]> {
  const entries: JournalEntry[] = [];
  for (;;) {
    const page = await admin<{ entries: JournalEntry[]; lastSeq: number }>(stage, `/journal?since=${entries.at(-1)?.seq ?? 0}`);
    entries.push(...page.entries);
    if (page.entries.length === 0 || (entries.at(-1)?.seq ?? 0) >= page.lastSeq) return entries;
  }
}

/** The address that the load balancer had chosen for this connection; undefined if the port has been used again since. */
async function backendOf(stage: Stage, { localPort, atMs }: Failure): Promise<string | undefined> {
  if (localPort === undefined) return undefined;
  const { connections } = await admin<{ connections: { backend: string; openedMs: number }[] }>(
    stage,
    `/connections?clientPort=${localPort}`,
  );
  return connections.find(({ openedMs }) => openedMs <= atMs)?.backend;
}

async function admin<T>(stage: Stage, page: string): Promise<T> {
  const response = await fetch(`${stage.cloud.adminUrl}${page}`, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`GET ${stage.cloud.adminUrl}${page}: ${response.status}`);
  return (await response.json()) as T;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const say = (text: string): void => console.log(text);

process.exit(await main());
