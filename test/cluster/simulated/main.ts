/**
 * The simulated cluster as a process: `node test/cluster/simulated/main.ts --kubeconfig FILE --slot 3 [--nodes node-a,node-b]
 * [--controllers deployments,scheduler,garbage] [--kubelets node-a=FILE,node-b=FILE] [--json] [--exit-with-parent]`. With --json it prints one line when it is ready:
 * {"ready":true,"nodes":[{"name":"node-a","address":"10.244.3.210"}]}.
 */
import { parseArgs } from "node:util";
import { pino } from "pino";
import { makeClock } from "../../../common/clock.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { addressPlan } from "../network.ts";
import { untilSchedulable } from "../real/schedulable.ts";
import { startSimulatedCluster } from "./start.ts";

const CONTROLLERS = ["deployments", "scheduler", "garbage"] as const;

const { values } = parseArgs({
  options: {
    kubeconfig: { type: "string" },
    slot: { type: "string" },
    nodes: { type: "string", default: "node-a,node-b" },
    controllers: { type: "string", default: CONTROLLERS.join(",") },
    kubelets: { type: "string", default: "" },
    json: { type: "boolean", default: false },
    "exit-with-parent": { type: "boolean", default: false },
  },
});
if (values.kubeconfig === undefined || values.slot === undefined) throw new Error("--kubeconfig FILE and --slot NUMBER are needed");

const asked = values.controllers.split(",");
const unknown = asked.filter((name) => name !== "" && !CONTROLLERS.some((known) => known === name));
if (unknown.length > 0) throw new Error(`--controllers has ${unknown.join(", ")}; known are ${CONTROLLERS.join(", ")}`);

const nodes = values.nodes.split(",").filter((name) => name !== "");
const plan = addressPlan(Number(values.slot));
const clock = makeClock();
const log = pino({ name: "simulated", level: process.env["LOG_LEVEL"] ?? "error" }, process.stderr);
const client = await makeKubeClient({ clock, env: { ...process.env, KUBECONFIG: values.kubeconfig }, userAgent: "simulated-cluster" });
const controllers = CONTROLLERS.filter((name) => asked.includes(name));
const kubeconfigs = new Map(
  values.kubelets.split(",").map((pair): [string, string] => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
);
const kubelets: KubeClient[] = [];
/** Each kubelet as itself where it has a kubeconfig. */
const kubeletClient = async (nodeName: string): Promise<KubeClient> => {
  const KUBECONFIG = kubeconfigs.get(nodeName);
  if (KUBECONFIG === undefined) return client;
  const own = await makeKubeClient({ clock, env: { KUBECONFIG }, userAgent: "simulated-kubelet" });
  kubelets.push(own);
  return own;
};
const cluster = await startSimulatedCluster({ client, clock, log, nodes, plan, controllers, kubeletClient });
if (!controllers.includes("scheduler")) await untilSchedulable(client, nodes);

const stop = (): void => {
  void cluster
    .stop()
    .then(() => Promise.all([client, ...kubelets].map((one) => one.close())))
    .then(() => process.exit(0));
};
process.once("SIGTERM", stop).once("SIGINT", stop);
// The parent holds the other end of stdin: however it ends, this process reads the end of it.
if (values["exit-with-parent"]) process.stdin.once("end", stop).resume();

const described = nodes.map((name, index) => ({ name, address: plan.nodeAddress(index) }));
process.stdout.write(values.json ? `${JSON.stringify({ ready: true, nodes: described })}\n` : `simulated nodes: ${nodes.join(", ")}\n`);
