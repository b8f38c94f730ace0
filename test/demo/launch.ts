/**
 * `npm run demo`: what has to happen outside of the harness's network namespace, from which nothing can be downloaded (a real cluster's
 * binaries), and then the demo inside of it.
 */
import { launch, NETWORK_VARIABLE } from "../cluster/namespace.ts";
import { findControlPlane } from "../cluster/real/binaries.ts";
import { kubernetesMinor } from "../cluster/real/modules.ts";
import { findNodes } from "../cluster/real/nodes/requirements.ts";
import { type DemoOptions, optionsOrExit } from "./options.ts";

const args = process.argv.slice(2);
const options = optionsOrExit(args);

const fault = await prepare(options);
if (fault === undefined) process.exitCode = await launch(["node", "test/demo/main.ts", ...args]);
else {
  console.error(fault);
  process.exitCode = 1;
}

/** Finds or builds what the demo needs; why it cannot run here. */
async function prepare({ cluster, nodes, kubernetes }: DemoOptions): Promise<string | undefined> {
  if (cluster === "kubeconfig") {
    // A network namespace of our own would cut the demo off from that cluster.
    process.env[NETWORK_VARIABLE] = "loopback"; // oxlint-disable-line node/no-process-env -- what launch goes by
    return undefined;
  }
  if (cluster === "embedded") return undefined;
  const startedMs = Date.now();
  const progress = (line: string): void => console.error(line);
  const wanted = { kubernetes: kubernetesMinor(kubernetes), build: true, progress };
  const control = await findControlPlane(wanted);
  if (control.kind === "missing") return `no real cluster here: ${control.reason}`;
  const found = nodes === "real" ? await findNodes(wanted) : control;
  if (found.kind === "missing") return `no real nodes here: ${found.reason}`;
  console.error(`binaries of Kubernetes ${kubernetes} are ready (${Math.round((Date.now() - startedMs) / 1000)} s)`);
  return undefined;
}
