/** Everything that the demo needs around it: cloud, cluster and product, each part a process of its own. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_KEY } from "../cloud/runtime/options.ts";
import { type AddressPlan, claimSlot } from "../cluster/network.ts";
import { firstJson, type RunningProcess, startProcess } from "../cluster/process.ts";
import { makeProduct, type Product, type ProductOptions } from "../cluster/product.ts";
import type { Cluster } from "../cluster/simulated/cluster.ts";
import { instanceOf, writeAccount } from "./account.ts";
import { borrowCluster } from "./borrowed.ts";
import { hasWebhook } from "./example.ts";
import { backendRanges, layGround } from "./ground.ts";
import type { DemoOptions } from "./options.ts";
import { flagsOf, type Ground, type Start, type Steps } from "./parts.ts";

export type Stage = {
  readonly plan: AddressPlan;
  readonly directory: string;
  readonly cloud: { readonly endpoint: string; readonly adminUrl: string };
  readonly cluster: Cluster;
  readonly ground: Ground;
  readonly product: Product;
  readonly processes: readonly RunningProcess[];
};

const DIRECTORY_PREFIX = "clb-direct-demo-";

/** What the emulated cloud prints; `metadata`: by instance, e.g. "ins-node0001" -> "http://10.244.1.202:41236/latest/meta-data/". */
type StartedLine = { readonly endpoint: string; readonly adminUrl: string; readonly metadata: Readonly<Record<string, string>> };

/** What demos left that were killed: folders named by a process that is no more. */
async function sweep(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(DIRECTORY_PREFIX) ? Number(name.slice(DIRECTORY_PREFIX.length).split("-")[0]) : Number.NaN;
    if (Number.isInteger(pid) && !existsSync(`/proc/${pid}`)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Starts everything; what must be undone is in `steps` as soon as it exists, so that an interrupted start leaves nothing behind. */
export async function setStage(
  options: DemoOptions,
  steps: Steps,
  say: (text: string) => void,
  programs?: ProductOptions["programs"],
): Promise<Stage> {
  const { plan, release } = await claimSlot();
  steps.push(release);
  await sweep();
  const directory = await mkdtemp(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
  steps.push(() => rm(directory, { recursive: true, force: true }));
  const processes: RunningProcess[] = [];
  const start: Start = (name, script, args) => {
    const all = [...args, "--json", "--exit-with-parent"];
    const running = startProcess({ name, script, args: all, env: {}, logFile: join(directory, `${name}.log`) });
    processes.push(running);
    steps.push(() => running.stop());
    return running;
  };

  const deps = { plan, directory, start, steps, say };
  const borrowed = options.cluster === "kubeconfig" ? await borrowCluster(deps) : undefined; // before anything is started for it
  say(`addresses: ${addresses(options, plan)}`);
  const scenario = options.scenario ?? (await writeAccount(options, plan, directory));
  const flags = {
    host: plan.cloud,
    port: "0",
    profile: options.profile,
    "vip-cidr": plan.vipRange,
    ...(scenario !== undefined && { scenario }),
  };
  const ranges = backendRanges(options, plan).flatMap((range) => ["--backend-cidr", range]);
  const cloudProcess = start("cloud", "test/cloud/main.ts", [...flagsOf(flags), ...ranges]);
  const cloud = await firstJson<StartedLine>(cloudProcess);
  say(`emulated cloud (profile ${options.profile}) at http://${cloud.endpoint}`);

  const ground = borrowed ?? (await layGround(options, deps));
  const { cluster, nodes, agents } = ground;
  // The default of an installation: only what is addressed to us. The cluster of --cluster kubeconfig may have other Services.
  const admission = hasWebhook(options, ground.plan) ? {} : { ADMISSION: "off" };
  const drains = options.withoutHold ? { DRAIN_MODE: "none" } : {};
  const coordinatorEnv = { OWNERSHIP: options.ingress ? "annotation" : "class", ...admission, ...drains, ...ground.coordinatorEnv };
  const product = makeProduct({
    ...ground,
    coordinatorEnv,
    // On a node of the cloud the agent finds it by its name; where the nodes are none of the account's there is none.
    agentEnvOf: (node) => ({ METADATA_URL: cloud.metadata[instanceOf(nodes.indexOf(node))] ?? "" }),
    cloudEndpoint: cloud.endpoint,
    keys: [TEST_KEY],
    directory,
    holds: options.cluster !== "kubeconfig",
    ...(programs !== undefined && { programs }),
  });
  steps.push(() => product.stop(), ground.leave ?? (() => Promise.resolve()));
  processes.push(await product.startCoordinator());
  for (const node of agents) processes.push(await product.startAgent(node));
  const missing = nodes.length - agents.length;
  say(
    `coordinator (${product.opsUrl}) and ${agents.length} agents are ready${missing > 0 ? `; ${missing} nodes are other machines: the coordinator watches their Pods itself` : ""}`,
  );
  return { plan: ground.plan, directory, cloud, cluster, ground, product, processes };
}

function addresses({ cluster, nodes }: DemoOptions, plan: AddressPlan): string {
  if (cluster === "kubeconfig") return `Pods as the cluster gives them, VIPs ${plan.vipRange} (loopback, high ports)`;
  const pods = nodes === "real" ? backendRanges({ cluster, nodes }, plan).join(", ") : `${plan.podAddresses[0]} …`;
  return `Pods ${pods}, VIPs ${plan.vipRange}${plan.kind === "loopback" ? " (no network namespace here: loopback, high ports)" : ""}`;
}
