/**
 * `npm run demo`: what has to happen outside of the harness's network namespace, from which nothing can be downloaded (a real cluster's
 * binaries), and then the demo inside of it.
 */
import { launch } from "../cluster/namespace.ts";
import { findControlPlane } from "../cluster/real/binaries.ts";
import { kubernetesMinor } from "../cluster/real/modules.ts";
import { optionsOrExit } from "./options.ts";

const args = process.argv.slice(2);
const options = optionsOrExit(args);

if (options.cluster === "real") {
  const startedMs = Date.now();
  const progress = (line: string): void => console.error(line);
  const found = await findControlPlane({ kubernetes: kubernetesMinor(options.kubernetes), build: true, progress });
  if (found.kind === "missing") {
    console.error(`no real cluster here: ${found.reason}`);
    process.exit(1);
  }
  console.error(`binaries of Kubernetes ${options.kubernetes} are ready (${Math.round((Date.now() - startedMs) / 1000)} s)`);
}
process.exitCode = await launch(["node", "test/demo/main.ts", ...args]);
