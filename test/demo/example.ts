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
 * Whether new Pods get gate and hook by the webhook: an API server that is not ours, or on loopback addresses, cannot reach it. There the gate
 * and a preStop sleep are written into the template, as users do who want no webhook.
 */
export const hasWebhook = ({ cluster, withoutGates, withoutAdmission }: DemoOptions, { kind }: Pick<AddressPlan, "kind">): boolean =>
  cluster !== "kubeconfig" && kind === "namespace" && !withoutGates && !withoutAdmission;

/** Longer than the emulated cloud takes to make weight 0 effective, and than the load's connections live. */
const SLEEP = { preStop: { sleep: { seconds: 8 } } };
const GATES = [{ conditionType: DEFAULT_GATE_TYPE }];

/** The example for the network at hand, less what the options take out. */
export async function exampleManifests(options: DemoOptions, plan: AddressPlan): Promise<readonly Manifest[]> {
  const shipped = await loadManifests(exampleFile(options.ingress ? "ingress.yaml" : "web.yaml"));
  const text = JSON.stringify(shipped)
    .replaceAll(/"port":80(?=[,}])/g, `"port":${plan.servicePort}`)
    .replaceAll(/"replicas":\d+/g, `"replicas":${options.replicas}`)
    .replaceAll(/"maxSurge":\d+/g, `"maxSurge":${JSON.stringify(options.surge)}`);
  const probed = options.nodes === "real" ? text.replaceAll('"image":', `"readinessProbe":${JSON.stringify(PROBE)},"image":`) : text;
  const checked = options.withoutChecks ? probed.replaceAll('"healthCheck":{"enable":true', '"healthCheck":{"enable":false') : probed;
  const isPlain = hasWebhook(options, plan) || options.withoutGates || options.withoutAdmission;
  const withGates = isPlain ? checked : checked.replaceAll('"containers":', `"readinessGates":${JSON.stringify(GATES)},"containers":`);
  const isHooked = hasWebhook(options, plan) || options.withoutGates || options.withoutHold;
  const withHooks = isHooked ? withGates : withGates.replaceAll('"image":', `"lifecycle":${JSON.stringify(SLEEP)},"image":`);
  return JSON.parse(withHooks) as Manifest[];
}
