/** The example as shipped, fitted to where the demo runs. */
import { exampleFile, loadManifests, type Manifest } from "../cluster/manifests.ts";
import type { AddressPlan } from "../cluster/network.ts";
import type { DemoOptions } from "./options.ts";

/** Of the example's Deployment, Service and configuration. */
export const NAMESPACE = "demo";

/** Simulated Pods are ready when they listen, without being asked. */
const PROBE = { httpGet: { path: "/", port: "http" }, periodSeconds: 1 };

/** The example for the network at hand, less what the options take out. */
export async function exampleManifests(options: DemoOptions, plan: AddressPlan): Promise<readonly Manifest[]> {
  const shipped = await loadManifests(exampleFile("web.yaml"));
  const text = JSON.stringify(shipped)
    .replaceAll(/"port":80(?=[,}])/g, `"port":${plan.servicePort}`)
    .replaceAll(/"replicas":\d+/g, `"replicas":${options.replicas}`)
    .replaceAll(/"maxSurge":\d+/g, `"maxSurge":${JSON.stringify(options.surge)}`);
  const probed =
    options.nodes === "real" ? text.replaceAll('"lifecycle":', `"readinessProbe":${JSON.stringify(PROBE)},"lifecycle":`) : text;
  const checked = options.withoutChecks ? probed.replaceAll('"healthCheck":{"enable":true', '"healthCheck":{"enable":false') : probed;
  const withGates = options.withoutGates ? checked.replaceAll(/"readinessGates":\[[^\]]*\],?/g, "") : checked;
  const sleep = /,?"lifecycle":\{"preStop":\{"sleep":\{"seconds":\d+\}\}\}/g;
  return JSON.parse(options.withoutGates || options.withoutSleep ? withGates.replaceAll(sleep, "") : withGates) as Manifest[];
}
