/** The inside of `npm run bench:path` (main.ts), in the harness's network namespace. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { exitAfter } from "../../deploy/tools/arguments.ts";
import { applyManifests, type Manifest } from "../../test/cluster/manifests.ts";
import { until } from "../../test/cluster/process.ts";
import { findBinaries } from "../../test/cluster/real/binaries.ts";
import { ADMIN } from "../../test/cluster/real/certificates.ts";
import { PROXY } from "../../test/cluster/real/modules.ts";
import { APPLICATION_IMAGES } from "../../test/cluster/real/nodes/configuration.ts";
import { type ProxyMode, startKubeProxies } from "../../test/cluster/real/nodes/kube-proxy.ts";
import { findNodes } from "../../test/cluster/real/nodes/requirements.ts";
import { makeNamespace, startTestNodes, type TestNodes } from "../../test/cluster/real/nodes/testing.ts";
import { isReady, type Pod } from "../../test/cluster/simulated/objects.ts";
import { type Ask, listingOf, makeAsk, type Told, type Tracked, trackedOf } from "./asking.ts";
import { claimsOf, faultOf, PATHS, type Path, type Row, speedOf, tableOf } from "./rows.ts";

type Order = {
  readonly modes: readonly ProxyMode[];
  readonly pods: readonly number[];
  readonly requests: number;
  readonly rounds: number;
  readonly json?: string;
};

const NAMESPACE = "path";
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const APP_PORT = 8080;
const PORTS: Readonly<Record<Exclude<Path, "Pod">, number>> = { NodePort: 30_080, "NodePort, Local": 30_081 };
const LIMIT_MS = 180_000;
/** At a time, where requests per second are counted. */
const TOGETHER = 8;
const SESSIONS = 10;
const SESSION_REQUESTS = 100;
/** Connections whose entries are counted. */
const TRACED = 200;

/** The asking node is the last one; it has Pods of the Service, too, which are not asked directly. */
type Ground = {
  readonly started: TestNodes;
  readonly ask: Ask;
  readonly enter: { readonly here: readonly string[]; readonly there: readonly string[] };
  readonly client: string;
  readonly askedNode: string;
  /** Names of the nodes: the asked one, the asking one. */
  readonly names: readonly [string, string];
};

function groundOf(started: TestNodes, application: string): Ground {
  const [there, here] = started.nodes.nodes;
  if (there === undefined || here === undefined) throw new Error("two nodes are needed");
  const enter = { here: started.nodes.enter(here.name), there: started.nodes.enter(there.name) };
  const ask = makeAsk(enter.here, application);
  return { started, ask, enter, client: here.address, askedNode: there.address, names: [there.name, here.name] };
}

const service = (name: string, externalTrafficPolicy: string, nodePort: number): Manifest => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: NAMESPACE },
  spec: { type: "NodePort", externalTrafficPolicy, selector: { app: "web" }, ports: [{ port: 80, targetPort: APP_PORT, nodePort }] },
});

const pod = (index: number, nodeName: string | undefined): Manifest => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: `web-${index}`, namespace: NAMESPACE, labels: { app: "web" } },
  spec: {
    nodeName,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "web",
        image: APPLICATION_IMAGES[0],
        imagePullPolicy: "Never",
        env: [{ name: "STARTUP_SECONDS", value: "0" }],
        readinessProbe: { httpGet: { path: "/", port: APP_PORT }, periodSeconds: 10 },
      },
    ],
  },
});

/** Makes Pods up to `count`; all that there are. */
async function deploy(admin: KubeClient, names: readonly string[], from: number, count: number): Promise<readonly Pod[]> {
  const added = Array.from({ length: count - from }, (_, index) => pod(from + index, names[(from + index) % names.length]));
  await applyManifests(admin, added);
  return await until(
    `${count} Pods are ready`,
    async () => {
      const { items } = await admin.list<Pod>(PODS);
      return items.length === count && items.every(isReady) && items;
    },
    LIMIT_MS,
    250,
  );
}

type Targets = Readonly<Record<Path, readonly string[]>>;

/** As many for each path: a kept connection that is asked in turn with others is as cold on one path as on another. */
function targetsOf({ askedNode, names }: Ground, pods: readonly Pod[]): Targets {
  const there = pods.filter(({ spec }) => spec.nodeName === names[0]).map(({ status }) => `${status?.podIP}:${APP_PORT}`);
  return {
    Pod: there,
    NodePort: there.map(() => `${askedNode}:${PORTS.NodePort}`),
    "NodePort, Local": there.map(() => `${askedNode}:${PORTS["NodePort, Local"]}`),
  };
}

/** Until each NodePort leads to all Pods that it should lead to. */
async function untilProxied({ ask }: Ground, targets: Targets, pods: number): Promise<void> {
  const isComplete = async (path: Path, expected: number): Promise<boolean> => {
    const told = await ask({ targets: targets[path], kept: false, workers: 4, requests: 20 * pods });
    return told.failed === 0 && Object.keys(told.pods).length === expected;
  };
  const both = async (): Promise<boolean> => (await isComplete("NodePort", pods)) && (await isComplete("NodePort, Local", pods / 2));
  await until("kube-proxy leads to the Pods", () => both().catch(() => false), LIMIT_MS, 500);
}

/**
 * By path, round by round, so that what else the machine does meets all of them; each round begins with another path, because whoever comes first in one
 * finds the processors as the pause before left them. A first round, which is not counted, brings Pods and client up to speed.
 */
async function measurePaths(ground: Ground, targets: Targets, { requests, rounds }: Order): Promise<ReadonlyMap<Path, Measured>> {
  const measured = new Map(PATHS.map((path) => [path, emptyMeasured()]));
  for (let round = 0; round <= rounds; round++)
    for (const path of [...PATHS.slice(round % PATHS.length), ...PATHS.slice(0, round % PATHS.length)])
      for (const kind of ["fresh", "kept"] as const) {
        const order = { targets: targets[path], kept: kind === "kept", requests };
        const alone = await ground.ask({ ...order, workers: 1 });
        const together = await ground.ask({ ...order, workers: TOGETHER });
        if (round === 0) continue;
        measured.get(path)?.[kind].alone.push(alone);
        measured.get(path)?.[kind].together.push(together);
      }
  return measured;
}

type Measured = Readonly<Record<"fresh" | "kept", { readonly alone: Told[]; readonly together: Told[] }>>;
const emptyMeasured = (): Measured => ({ fresh: { alone: [], together: [] }, kept: { alone: [], together: [] } });

async function trace(
  { ask, enter, askedNode }: Ground,
  targets: readonly string[],
): Promise<{ readonly told: Told; readonly tracked: Tracked }> {
  const hereBefore = await listingOf(enter.here);
  const told = await ask({ targets, kept: false, workers: 1, requests: TRACED });
  const [there, here] = [await listingOf(enter.there), await listingOf(enter.here)];
  return { told, tracked: trackedOf({ links: told.links, askedNode, there, hereBefore, here }) };
}

/** A load balancer with persistence sends all of a session to one of its backends. */
async function sessionsAt({ ask }: Ground, targets: readonly string[]): Promise<readonly Told[]> {
  const told: Told[] = [];
  for (let session = 0; session < SESSIONS; session++)
    told.push(await ask({ targets: [targets[session % targets.length] ?? ""], kept: false, workers: 1, requests: SESSION_REQUESTS }));
  return told;
}

async function rowsOf(ground: Ground, mode: ProxyMode, pods: readonly Pod[], order: Order): Promise<readonly Row[]> {
  const targets = targetsOf(ground, pods);
  await untilProxied(ground, targets, pods.length);
  const rows: Row[] = [];
  for (const [path, { fresh, kept }] of await measurePaths(ground, targets, order)) {
    const { told, tracked } = await trace(ground, targets[path]);
    const sessions = await sessionsAt(ground, targets[path]);
    const all = [...fresh.alone, ...fresh.together, ...kept.alone, ...kept.together, told, ...sessions];
    rows.push({
      mode,
      pods: pods.length,
      path,
      fresh: speedOf(fresh.alone, fresh.together),
      kept: speedOf(kept.alone, kept.together),
      requests: all.reduce((sum, { requests }) => sum + requests, 0),
      failed: all.reduce((sum, { failed }) => sum + failed, 0),
      sources: [...new Set(all.flatMap(({ sources }) => Object.keys(sources)))],
      tracked,
      sessions: sessions.map((one) => Object.keys(one.pods).length),
    });
  }
  return rows;
}

async function main(): Promise<boolean> {
  const order = JSON.parse(process.argv[2] ?? "{}") as Order;
  const [proxy, found] = [await findBinaries(PROXY), await findNodes()];
  if (proxy.kind === "missing") throw new Error(proxy.reason);
  if (found.kind === "missing") throw new Error(found.reason);
  const directory = mkdtempSync(join(tmpdir(), "clb-direct-path-"));
  const started = await startTestNodes();
  try {
    const { admin, cluster, nodes } = started;
    const ground = groundOf(started, found.binaries.application);
    const kubeconfig = await cluster.kubeconfigFile(ADMIN);
    await makeNamespace(admin, NAMESPACE);
    await applyManifests(admin, [service("web", "Cluster", PORTS.NodePort), service("web-local", "Local", PORTS["NodePort, Local"])]);
    console.log(`Kubernetes ${cluster.version}; ${ground.names[1]} (${ground.client}) asks ${ground.names[0]} (${ground.askedNode})`);
    const rows: Row[] = [];
    let made = 0;
    for (const count of order.pods.toSorted((one, other) => one - other)) {
      const pods = await deploy(admin, ground.names, made, count);
      made = count;
      for (const mode of order.modes) {
        const stop = startKubeProxies({ nodes, binary: proxy.binaries["kube-proxy"], kubeconfig, mode, directory });
        rows.push(...(await rowsOf(ground, mode, pods, order)));
        console.log(`${count} Pods, ${mode}: done; load ${loadavg()[0]?.toFixed(1)}`);
        await stop();
      }
    }
    if (order.json !== undefined) writeFileSync(order.json, `${JSON.stringify({ rows }, null, 2)}\n`);
    console.log(`\n${tableOf(rows, ground.client)}\n\n${claimsOf(rows, ground.client).join("\n")}`);
    const fault = faultOf(rows, ground.client);
    if (fault !== undefined) console.error(fault);
    return fault === undefined;
  } finally {
    await started.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

await exitAfter(main);
