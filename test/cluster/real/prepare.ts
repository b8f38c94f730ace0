/**
 * `npm run real:prepare`: finds or builds the binaries of a real cluster, before anything enters the harness's network namespace, from which no
 * module can be downloaded.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { argumentsOrExit } from "../../../deploy/tools/arguments.ts";
import { build } from "../../../deploy/tools/build.ts";
import { ARCHITECTURES } from "../../../deploy/tools/debian.ts";
import { prepareHealthProbe } from "../../../deploy/tools/health-probe.ts";
import { prepareHelm } from "../../../deploy/tools/helm.ts";
import { makeImage } from "../../../deploy/tools/image.ts";
import { findBinaries } from "./binaries.ts";
import { CONTROL_PLANE, DEFAULT_MINOR, kubernetesMinor, NODE, PROXY } from "./modules.ts";

const USAGE = `usage: npm run real:prepare -- [options]
  --kubernetes 1.36|1.34  version of the control plane and of the nodes (default ${DEFAULT_MINOR})
  --nodes                 kubelet and containerd as well
  --proxy                 kube-proxy as well
  --tools                 nothing of these, but Helm and what the image is made of
Finds what is there, builds the rest with Go, and prints where each lies. Exit code 1 with the reason where something cannot be had, 2 for a mistake in the
options.`;

const values = argumentsOrExit(USAGE, (args) => {
  const { values: given } = parseArgs({
    args,
    options: {
      kubernetes: { type: "string", default: DEFAULT_MINOR },
      nodes: { type: "boolean", default: false },
      proxy: { type: "boolean", default: false },
      tools: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return { ...given, kubernetes: kubernetesMinor(given.kubernetes) };
});
const found = values.tools
  ? await prepareTools()
  : await findBinaries([...CONTROL_PLANE, ...(values.nodes ? NODE : []), ...(values.proxy ? PROXY : [])], {
      kubernetes: values.kubernetes,
      build: true,
      progress: (line) => process.stderr.write(`${line}\n`),
    });
if (found.kind === "found")
  process.stdout.write(
    Object.values(found.binaries)
      .map((file) => `${file}\n`)
      .join(""),
  );
else {
  process.stderr.write(`${found.reason}\n`);
  process.exitCode = 1;
}

/** Helm, and what the image is made of: once made, it is in the cache. */
async function prepareTools() {
  const directory = mkdtempSync(join(tmpdir(), "clb-direct-tools-"));
  try {
    const [name, application] = ["clb-direct:tools", join(directory, "dist")];
    await build(application);
    await makeImage({ name, directory: join(directory, "image"), application, architectures: ARCHITECTURES, env: process.env });
  } catch (error) {
    process.stderr.write(`no image: ${(error as Error).message}\n`); // its tests are skipped
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const noProbe = prepareHealthProbe(process.env);
  if (noProbe !== undefined) process.stderr.write(`no grpc-health-probe: ${noProbe}\n`);
  const helm = prepareHelm(process.env);
  return helm.kind === "found" ? ({ kind: "found", binaries: { helm: helm.file } } as const) : helm;
}
