/** Where the demo's Pods run, as far as the demo starts it: the embedded API server or a real one, with simulated or real nodes. */
import { join } from "node:path";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { AddressPlan } from "../cluster/network.ts";
import { firstJson } from "../cluster/process.ts";
import { nodeNetwork, planWithRealNodes } from "../cluster/real/nodes/addresses.ts";
import type { ReadyLine } from "../cluster/real/nodes/main.ts";
import { redirectFault } from "../cluster/simulated/hold-address.ts";
import type { DemoOptions } from "./options.ts";
import { flagsOf, type Ground, type GroundDeps } from "./parts.ts";

const NODES = ["node-a", "node-b"] as const;
/** A real control plane with two real nodes takes 10 s on two idle cores. */
const READY_MS = 120_000;

/** Addresses that the cloud may bind; none: the cloud's own default, our Pod range. */
export function backendRanges({ cluster, nodes }: Pick<DemoOptions, "cluster" | "nodes">, plan: AddressPlan): readonly string[] {
  if (cluster === "kubeconfig") return ["0.0.0.0/0"];
  return nodes === "real" ? [nodeNetwork(plan, NODES).range] : [];
}

/** A cluster of our own; settles when Pods can be created. */
export function layGround(options: DemoOptions, deps: GroundDeps): Promise<Ground> {
  return options.nodes === "real" ? layRealNodes(options, deps) : laySimulatedNodes(options, deps);
}

async function layRealNodes({ kubernetes }: DemoOptions, deps: GroundDeps): Promise<Ground> {
  const { plan, start, say } = deps;
  const kubeconfigFile = join(deps.directory, "kubeconfig");
  const flags = { slot: String(plan.slot), kubernetes, kubeconfig: kubeconfigFile, nodes: NODES.join(",") };
  const line = await firstJson<ReadyLine>(start("cluster", "test/cluster/real/nodes/main.ts", flagsOf(flags)), READY_MS);
  say(`Kubernetes ${line.version}: etcd, kube-apiserver, controller manager, scheduler at ${line.url}`);
  say(`real nodes ${line.nodes.map(({ name, address }) => `${name} (${address})`).join(", ")}: kubelet, containerd, real containers`);
  const prefixes = new Map(line.nodes.map(({ name, enter }) => [name, enter]));
  const enter = (node: string): readonly string[] => prefixes.get(node) ?? [];
  return {
    ...(await own(line, kubeconfigFile, deps)),
    install: "everything",
    plan: planWithRealNodes(plan, nodeNetwork(plan, NODES)),
    enter,
  };
}

type ApiLine = Ground["apiServer"] & { readonly version?: string; readonly kubelets?: Readonly<Record<string, string>> };

async function laySimulatedNodes(options: DemoOptions, deps: GroundDeps): Promise<Ground> {
  const { plan, start, say } = deps;
  const real = options.cluster === "real";
  const kubeconfigFile = join(deps.directory, "kubeconfig");
  const nodes = NODES.join(",");
  const process = real
    ? start(
        "cluster",
        "test/cluster/real/main.ts",
        flagsOf({ slot: String(plan.slot), kubernetes: options.kubernetes, kubeconfig: kubeconfigFile, nodes }),
      )
    : start("cluster", "test/cluster/embedded/main.ts", flagsOf({ host: plan.apiServer, kubeconfig: kubeconfigFile }));
  const line = await firstJson<ApiLine>(process, READY_MS);
  const what = real ? `Kubernetes ${line.version}: etcd, kube-apiserver, controller manager, scheduler` : "embedded Kubernetes API server";
  say(`${what} at ${line.url}`);
  const kubelets = Object.entries(line.kubelets ?? {}).map((pair) => pair.join("="));
  const left = real ? { controllers: "", kubelets: kubelets.join(",") } : {}; // what the real one does itself is left to it
  const flags = { kubeconfig: kubeconfigFile, slot: String(plan.slot), nodes, ...left };
  await firstJson(start("nodes", "test/cluster/simulated/main.ts", flagsOf(flags)));
  const fault = redirectFault(plan.kind);
  say(`simulated nodes ${NODES.join(", ")}${fault === undefined ? "" : `; preStop calls go straight to the hold servers (${fault})`}`);
  return { ...(await own(line, kubeconfigFile, deps)), install: real ? "everything" : "accounts", plan };
}

/** What every cluster has that the demo started itself. */
async function own(
  apiServer: Ground["apiServer"],
  kubeconfigFile: string,
  { steps }: GroundDeps,
): Promise<Omit<Ground, "install" | "plan">> {
  const clock = makeClock();
  const client = await makeKubeClient({ clock, env: { KUBECONFIG: kubeconfigFile }, userAgent: "demo" });
  steps.push(() => client.close());
  const cluster = { client, clock, log: pino({ level: "silent" }) };
  return { cluster, apiServer, kubeconfigFile, nodes: NODES, agents: NODES, checkPods: () => Promise.resolve() };
}
