/** The inside of `npm run proof:install` (launch.ts), in the harness's network namespace. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { findHelm } from "../../deploy/tools/helm.ts";
import { isGated } from "../cluster/injected.ts";
import { exampleFile, loadManifests } from "../cluster/manifests.ts";
import { until } from "../cluster/process.ts";
import { isReady, type Pod } from "../cluster/simulated/objects.ts";
import { type Load, type LoadResult, startLoad } from "../demo/load.ts";
import { applyAsWritten, toldOfPods } from "../demo/not-injected.ts";
import { killCoordinator, podsAt, roll } from "./actions.ts";
import { byHandText } from "./by-hand.ts";
import { type Counts, startCreations } from "./creations.ts";
import { layProofGround, type ProofGround, type Steps } from "./ground.ts";
import { type Helm, makeHelm, settingsFor } from "./helm.ts";
import { leftBehind } from "./left-behind.ts";
import { memoryOf } from "./memory.ts";
import { NAMESPACE, RELEASE } from "./names.ts";

const { values } = parseArgs({
  options: {
    directory: { type: "string" },
    "image-mib": { type: "string" },
    "limit-seconds": { type: "string" },
    "by-hand": { type: "boolean", default: false },
    json: { type: "string" },
  },
});
/** Namespace of the example. */
const EXAMPLE = "demo";
const REQUESTS_PER_SECOND = 200;
/** Of the example. */
const REPLICAS = 6;
const LIMIT_MS = 180_000;
const startedMs = performance.now();
let said = "nothing";
const say = (text: string): void => {
  said = text;
  console.log(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);
};

/** Rejects when the time is over, where it is limited, or when somebody ends us: what was put up is taken down all the same. */
function overdue(seconds: number | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    const late = (why: string): void => reject(new Error(`${why}; the last that was done: ${said}`));
    if (seconds !== undefined) setTimeout(() => late("the proof hangs: its time is over"), seconds * 1000).unref();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => late(signal));
  });
}

type Proof = {
  requests: number;
  failed: number;
  causes: Record<string, number>;
  installSeconds: number;
  rolloutSeconds: number;
  upgradeSeconds: number;
  agentMiB: number;
  coordinatorMiB: number;
  imageMiB: number;
  /** Pods created, twenty a second, by what befell the webhook's replicas meanwhile. */
  creations: Record<string, Counts>;
};

/** Seconds that a step takes. */
async function timed(step: () => Promise<unknown>): Promise<number> {
  const fromMs = performance.now();
  await step();
  return (performance.now() - fromMs) / 1000;
}

async function perform(ground: ProofGround): Promise<Proof> {
  const { admin, key } = ground;
  await admin.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "clb-direct-cloud" }, stringData: { ...key } };
  await admin.create(`/api/v1/namespaces/${NAMESPACE}/secrets`, secret);
  const helm = makeHelm({ ...ground, directory: values.directory ?? "", settings: settingsFor(ground) });
  const { upgrade } = helm;
  const installSeconds = await timed(() => upgrade("1"));
  say(`helm upgrade --install --wait: ${installSeconds.toFixed(1)} s`);
  await helm.run("test", RELEASE);
  say("helm test: somebody leads, all agents are acknowledged");

  await applyAsWritten({ client: admin }, await loadManifests(exampleFile("web.yaml")), REPLICAS);
  const vip = await until("all Pods of the example are ready, and its Service has an address", () => servedAt(admin), LIMIT_MS);
  say(`deploy/examples/web.yaml is served at ${vip}`);
  const event = await toldOfPods({ client: admin });
  if (event === undefined) throw new Error("Pods that were there before their Service have the gate");
  say(`Event PodsNotInjected: ${event}`);
  await roll(admin, EXAMPLE);
  if (await toldOfPods({ client: admin })) throw new Error("after a rollout Pods have no gate");
  // Those from before had no hook: what is sent to them in the moment after their end is not what this proof is about.
  await until("the load balancer sends to nobody but the Pods that live", () => sendsToLiving(ground), LIMIT_MS);
  const load = startLoad({ host: vip, port: 80, rate: REQUESTS_PER_SECOND, localAddress: ground.plan.client });
  try {
    const rolloutSeconds = await timed(() => roll(admin, EXAMPLE));
    say(`rollout of six Pods: ${rolloutSeconds.toFixed(1)} s, ${told(load)}`);
    const memory = await memoryOf(admin, NAMESPACE);
    for (const { pod, container, workingSet, rss, file } of memory)
      say(
        `${pod} ${container}: working set ${workingSet.toFixed(1)} MiB, RSS ${rss.toFixed(1)} MiB, ${file.toFixed(1)} MiB of it pages of files`,
      );
    const creations: Record<string, Counts> = {};
    const creating = async (what: string, step: () => Promise<unknown>): Promise<void> => {
      const { over } = startCreations(admin, podsAt(EXAMPLE), { app: "web" });
      await step();
      creations[what] = await over();
      const { created, bare, refused } = creations[what];
      say(`Pods created at 20 a second during ${what}: ${created}, ${bare} without the gate, ${refused} refused`);
    };
    let upgradeSeconds = 0;
    await creating("helm upgrade", async () => void (upgradeSeconds = await timed(() => upgrade("2"))));
    say(`helm upgrade to a second build: ${upgradeSeconds.toFixed(1)} s, ${told(load)}`);
    await creating("helm rollback", () => helm.run("rollback", RELEASE, "1", "--wait", "--timeout", "3m"));
    await creating("the upgrade once more", () => upgrade("2"));
    await creating("SIGKILL of one coordinator", () => killCoordinator(admin));
    await roll(admin, EXAMPLE);
    say(`a rollout after it: ${told(load)}`);
    const result = await load.stop();
    await retire(ground, helm);
    const most = (name: string): number =>
      Math.max(...memory.filter(({ container }) => container === name).map(({ workingSet }) => workingSet));
    const imageMiB = Number(values["image-mib"]);
    const sizes = { agentMiB: most("agent"), coordinatorMiB: most("coordinator"), imageMiB };
    return { ...counted(result), installSeconds, rolloutSeconds, upgradeSeconds, ...sizes, creations };
  } finally {
    await load.stop();
  }
}

/**
 * What is not allowed: a Pod that is refused, ever; one without the gate while replicas are replaced in order. A replica that is killed takes the
 * reviews with it that it was about to answer, and those that API servers send it until its endpoint is gone: at most the creations of five seconds.
 */
function creationFaults(creations: Readonly<Record<string, Counts>>): readonly string[] {
  return Object.entries(creations).flatMap(([what, { created, bare, refused }]) => {
    const allowed = what.startsWith("SIGKILL") ? 100 : 0;
    return created > 0 && refused === 0 && bare <= allowed
      ? []
      : [`${what}: ${created} Pods created, ${bare} without the gate (${allowed} are allowed), ${refused} refused`];
  });
}

type CloudState = {
  readonly loadBalancers: readonly { readonly listeners: readonly { readonly targets: readonly { readonly ip: string }[] }[] }[];
};

async function sendsToLiving({ admin, cloud }: ProofGround): Promise<boolean> {
  const { items } = await admin.list<Pod>("/api/v1/namespaces/demo/pods");
  const { loadBalancers } = (await (await fetch(`${cloud.adminUrl}/state`)).json()) as CloudState;
  const targets = loadBalancers.flatMap(({ listeners }) => listeners).flatMap((listener) => listener.targets);
  const living = new Set(items.map(({ status }) => status?.podIP));
  return targets.length === living.size && targets.every(({ ip }) => living.has(ip));
}

/** Helm asks first, and says what is in the way. */
async function refusedUninstall(helm: Helm): Promise<void> {
  const refusal = await helm.run("uninstall", RELEASE).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  if (refusal === undefined) throw new Error("helm uninstall went on although a Service has our finalizer");
  if (!refusal.includes("demo/web")) throw new Error(`helm uninstall was refused without naming the Service: ${refusal}`);
  say("helm uninstall is refused while Service demo/web is there, and names it");
}

/** By the words of docs/install.md: gates open, the user's Services go, then the release. */
async function retire({ admin, cloud }: ProofGround, helm: Helm): Promise<void> {
  await helm.upgrade("2", "--set", "retire=true");
  const configuration = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/clb-direct";
  const isEmptied = async (): Promise<boolean> =>
    ((await admin.get<{ readonly webhooks?: readonly unknown[] }>(configuration)).webhooks ?? []).length === 0;
  await until("the new leader has emptied the webhook's configuration", isEmptied, LIMIT_MS);
  await roll(admin, EXAMPLE);
  const gated = (await admin.list<Pod>("/api/v1/namespaces/demo/pods")).items.filter(isGated);
  if (gated.length > 0)
    throw new Error(`after retire=true Pods still get the gate: ${gated.map(({ metadata }) => metadata.name).join(", ")}`);
  const byHand = { spec: { template: { spec: { readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }] } } } };
  await admin.patch("/apis/apps/v1/namespaces/demo/deployments/web", byHand, "merge");
  await roll(admin, EXAMPLE);
  const { items } = await admin.list<Pod>("/api/v1/namespaces/demo/pods");
  const reasons = new Set(items.map(({ status }) => status?.conditions?.find(({ type }) => type === DEFAULT_GATE_TYPE)?.reason));
  if (!reasons.has("Retired")) throw new Error(`after retire=true the gates say ${[...reasons].join(", ")}`);
  say(
    "helm upgrade --set retire=true: new Pods get no gate, those that have one see it open with reason Retired, the load balancer goes on",
  );
  await refusedUninstall(helm);
  await admin.delete("/api/v1/namespaces/demo/services/web");
  const gone = (path: string) => async (): Promise<boolean> =>
    admin.get(path).then(
      () => false,
      () => true,
    );
  const seconds = await timed(() => until("Service demo/web is gone", gone("/api/v1/namespaces/demo/services/web"), LIMIT_MS));
  say(`Service demo/web deleted: gone after ${seconds.toFixed(1)} s`);
  await admin.delete("/api/v1/namespaces/demo");
  const uninstall = await timed(() => helm.run("uninstall", RELEASE, "--wait", "--timeout", "2m"));
  say(`helm uninstall: ${uninstall.toFixed(1)} s`);
  const left = await leftBehind(admin, NAMESPACE, cloud.adminUrl);
  if (left.length > 0) throw new Error(`left behind: ${left.join(", ")}`);
  say("nothing is left behind, in the cluster or in the cloud");
}

type Service = { readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } } };

async function servedAt(admin: KubeClient): Promise<string | undefined> {
  const { items } = await admin.list<Pod>("/api/v1/namespaces/demo/pods");
  const { status } = await admin.get<Service>("/api/v1/namespaces/demo/services/web");
  return items.length === REPLICAS && items.every(isReady) ? status?.loadBalancer?.ingress?.[0]?.ip : undefined;
}

const told = (load: Load): string => {
  const { requests, failed, causes } = counted(load.result());
  return `${requests} requests, ${failed} failed${failed > 0 ? `: ${JSON.stringify(causes)}` : ""}`;
};

function counted({ requests, failures }: LoadResult): Pick<Proof, "requests" | "failed" | "causes"> {
  const causes: Record<string, number> = {};
  for (const { cause } of failures) causes[cause] = (causes[cause] ?? 0) + 1;
  return { requests, failed: failures.length, causes };
}

/** The ground is laid, all else is the person's; until Ctrl-C. */
async function leaveToPerson(laid: ProofGround): Promise<void> {
  const helm = findHelm(process.env);
  console.log(`\n${byHandText(laid, helm.kind === "found" ? helm.file : "helm", process.pid)}\n`);
  const ended = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ended.resolve());
  await ended.promise;
}

function tell(proof: Proof): void {
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(proof, null, 2)}\n`);
  console.log(JSON.stringify(proof, null, 2));
  const faults = creationFaults(proof.creations);
  for (const fault of faults) console.error(fault);
  process.exitCode = proof.failed === 0 && faults.length === 0 ? 0 : 1;
}

const steps: Steps = [];
let ground: ProofGround | undefined;
try {
  if (values.directory === undefined) throw new Error("start it by npm run proof:install");
  const byHand = values["by-hand"];
  const late = overdue(byHand ? undefined : Number(values["limit-seconds"] ?? "1200"));
  const images = ["1", "2"].map((tag) => join(values.directory ?? "", `image-${tag}.tar`));
  ground = await Promise.race([layProofGround(join(values.directory, "run"), images, steps), late]);
  say(`Kubernetes ${ground.version}, two real nodes with kube-proxy and DNS`);
  if (byHand) await leaveToPerson(ground);
  else tell(await Promise.race([perform(ground), late]));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (ground !== undefined) console.error(await stateOf(ground.admin).catch(String));
  process.exitCode = 1;
} finally {
  for (const step of steps.toReversed()) await step().catch((error: unknown) => console.error(`clean-up: ${String(error)}`));
}
process.exit(process.exitCode); // what hung may hang still

/** What a person would look at first: our Pods, their Events, their last words. */
async function stateOf(admin: KubeClient): Promise<string> {
  type State = Pod & { status?: { containerStatuses?: unknown } };
  const { items: pods } = await admin.list<State>(`/api/v1/namespaces/${NAMESPACE}/pods`);
  type Event = { involvedObject: { kind: string; name: string }; reason: string; message: string };
  const { items: events } = await admin.list<Event>(`/api/v1/namespaces/${NAMESPACE}/events`);
  return [
    ...pods.map(({ metadata, status }) => `${metadata.name}: ${JSON.stringify(status?.containerStatuses)}`),
    ...events.slice(-30).map(({ involvedObject: { kind, name }, reason, message }) => `${kind} ${name} ${reason}: ${message}`),
  ].join("\n");
}
