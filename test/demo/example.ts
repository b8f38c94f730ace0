/** The example as shipped, fitted to where the demo runs. */
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { exampleFile, loadManifests, type Manifest } from "../cluster/manifests.ts";
import type { AddressPlan } from "../cluster/network.ts";
import type { DemoOptions } from "./options.ts";

/** Of the example's Deployment, Service and configuration. */
export const NAMESPACE = "demo";

/** Simulated Pods are ready when they listen, without being asked. */
const PROBE = { httpGet: { path: "/", port: "http" }, periodSeconds: 1 };

/**
 * Whether new Pods get the gate by the webhook: an API server that is not ours, or on loopback addresses, cannot reach it. There the gate is
 * written into the template, as users do who want no webhook.
 */
export const hasWebhook = ({ cluster, withoutGates, withoutAdmission }: DemoOptions, { kind }: Pick<AddressPlan, "kind">): boolean =>
  cluster !== "kubeconfig" && kind === "namespace" && !withoutGates && !withoutAdmission;

const GATES = [{ conditionType: DEFAULT_GATE_TYPE }];

/** The example for the network at hand, less what the options take out. */
export async function exampleManifests(options: DemoOptions, plan: AddressPlan): Promise<readonly Manifest[]> {
  const shipped = await loadManifests(exampleFile(options.ingress ? "ingress.yaml" : "web.yaml"));
  const text = JSON.stringify(shipped)
    .replaceAll(/"port":80(?=[,}])/g, `"port":${plan.servicePort}`)
    .replaceAll(/"replicas":\d+/g, `"replicas":${options.replicas}`)
    .replaceAll(/"maxSurge":\d+/g, `"maxSurge":${JSON.stringify(options.surge)}`);
  const probed =
    options.nodes === "real" ? text.replaceAll('"lifecycle":', `"readinessProbe":${JSON.stringify(PROBE)},"lifecycle":`) : text;
  const checked = options.withoutChecks ? probed.replaceAll('"healthCheck":{"enable":true', '"healthCheck":{"enable":false') : probed;
  const isPlain = hasWebhook(options, plan) || options.withoutGates || options.withoutAdmission;
  const withGates = isPlain ? checked : checked.replaceAll('"containers":', `"readinessGates":${JSON.stringify(GATES)},"containers":`);
  const sleep = /,?"lifecycle":\{"preStop":\{"sleep":\{"seconds":\d+\}\}\}/g;
  return JSON.parse(options.withoutGates || options.withoutSleep ? withGates.replaceAll(sleep, "") : withGates) as Manifest[];
}
