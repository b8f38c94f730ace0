/** What is said when the demo keeps running: how to look at it from another terminal. */
import { TEST_KEY } from "../cloud/runtime/options.ts";
import { enterCommand } from "../cluster/namespace.ts";
import { NAMESPACE } from "./example.ts";
import type { DemoOptions } from "./options.ts";
import type { Stage } from "./stage.ts";

const GATE = "GATE:.status.conditions[?(@.type=='cloud.tencent.com/load-balancer-backendgroup-ready')].status";

/** Commands to copy; each enters the network namespace of this process first, where there is one. */
export function keepText(options: DemoOptions, { plan, ground, product, cloud, directory }: Stage): string {
  const inside = plan.kind === "namespace" ? `${enterCommand(process.pid)} ` : "";
  const dryRun = environment({
    KUBECONFIG: ground.kubeconfigFile,
    CLB_ENDPOINT: cloud.endpoint,
    CLB_PROTOCOL: "http://",
    CLB_REGION: "ap-guangzhou",
    TENCENTCLOUD_SECRET_ID: TEST_KEY.secretId,
    TENCENTCLOUD_SECRET_KEY: TEST_KEY.secretKey,
  });
  const lines = [
    "everything keeps running until Ctrl-C; from another terminal, in this folder:",
    `  ${inside}kubectl --kubeconfig ${ground.kubeconfigFile} -n ${NAMESPACE} get pods -o custom-columns="NAME:.metadata.name,IP:.status.podIP,${GATE}"`,
    `  ${inside}env KUBECONFIG=${ground.kubeconfigFile} npm run explain -- --url ${product.explainUrl} ${NAMESPACE}`,
    `  ${inside}env ${dryRun} npm run coordinator -- --once --observe`,
    `  logs, which Ctrl-C deletes: ${directory}`,
  ];
  if (options.cluster === "embedded")
    lines.push(
      "  the embedded API server is not a whole one: give `kubectl apply -f` and `create -f` --validate=false; see docs/compatibility.md",
    );
  return lines.join("\n");
}

const environment = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
