/**
 * Finds or builds the binaries of a real cluster, before anything enters the harness's network namespace, from which no module can be
 * downloaded: `node test/cluster/real/prepare.ts [--kubernetes 1.34] [--nodes]`; with --tools instead Helm, for the chart's tests. Prints
 * their paths; exit code 1 with the reason.
 */
import { parseArgs } from "node:util";
import { prepareHelm } from "../../../deploy/tools/helm.ts";
import { findBinaries } from "./binaries.ts";
import { CONTROL_PLANE, DEFAULT_MINOR, kubernetesMinor, NODE } from "./modules.ts";

const { values } = parseArgs({
  options: {
    kubernetes: { type: "string", default: DEFAULT_MINOR },
    nodes: { type: "boolean", default: false },
    tools: { type: "boolean", default: false },
  },
});
const found = values.tools
  ? prepareTools()
  : await findBinaries(values.nodes ? [...CONTROL_PLANE, ...NODE] : CONTROL_PLANE, {
      kubernetes: kubernetesMinor(values.kubernetes),
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

function prepareTools() {
  const helm = prepareHelm(process.env);
  return helm.kind === "found" ? ({ kind: "found", binaries: { helm: helm.file } } as const) : helm;
}
