import { isDeepStrictEqual } from "node:util";
import { member } from "../../common/kubernetes/json-member.ts";
import { COORDINATOR_APP, INJECT_LABEL, WEBHOOK_CONFIGURATION, WEBHOOK_SERVICE } from "../../common/names.ts";

/** Where the API server reaches the webhook, and whom it believes. `caBundlePem`: one certificate or several, PEM. */
export type WebhookWish = {
  readonly namespace: string;
  readonly caBundlePem: string;
  /** True: nothing is injected by us; a configuration that is there stays, empty. */
  readonly retired: boolean;
};

/** Paths of the webhook; the second is called for Namespaces that ask for the gate whatever selects their Pods. */
export const MUTATE_PATH = "/mutate";
export const MUTATE_OPTED_IN_PATH = "/mutate/opted-in";

const HTTPS = 443;
/**
 * How long an API server waits for a review; whoever creates a Pod waits with it, and the Pod has no gate after that. One second is too short: it
 * is TCP's own first wait for a lost packet of a new connection (RFC 6298), and a thousand creations at once are a thousand TLS handshakes. A
 * replica that hangs is no endpoint any more within about 20 s. Kubernetes' default is 10.
 */
export const TIMEOUT_SECONDS = 5;

/**
 * the webhooks of our MutatingWebhookConfiguration, every field that the API server would fill in written out, so that two can be
 * compared. It fails open, waits for TIMEOUT_SECONDS at most, and never sees our own Namespace or kube-system. It has no matchConditions: for them
 * the API server converts each Pod once more, and that takes it about 0.5 ms of CPU, as much as our whole answer (`npm run bench:admission`). So it
 * asks for Pods on the node's network and mirrors as well, and they get no patch.
 */
export function webhooksFor({ namespace, caBundlePem, retired }: WebhookWish): readonly object[] {
  if (retired) return [];
  const webhook = (name: string, path: string, labels: readonly object[]) => ({
    name,
    clientConfig: {
      service: { namespace, name: WEBHOOK_SERVICE, path, port: HTTPS },
      caBundle: Buffer.from(caBundlePem).toString("base64"),
    },
    rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "Namespaced" }],
    failurePolicy: "Ignore",
    matchPolicy: "Equivalent",
    namespaceSelector: {
      matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["kube-system", namespace] }, ...labels],
    },
    objectSelector: { matchExpressions: [{ key: INJECT_LABEL, operator: "NotIn", values: ["disabled"] }] },
    sideEffects: "None",
    timeoutSeconds: TIMEOUT_SECONDS,
    admissionReviewVersions: ["v1"],
    reinvocationPolicy: "IfNeeded",
    matchConditions: [],
  });
  return [
    webhook("gate.clb-direct.io", MUTATE_PATH, [{ key: INJECT_LABEL, operator: "NotIn", values: ["enabled", "disabled"] }]),
    webhook("opted-in.clb-direct.io", MUTATE_OPTED_IN_PATH, [{ key: INJECT_LABEL, operator: "In", values: ["enabled"] }]),
  ];
}

/** The configuration as a whole. */
export const configurationFor = (wish: WebhookWish): object => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingWebhookConfiguration",
  metadata: { name: WEBHOOK_CONFIGURATION, labels: { "app.kubernetes.io/name": "clb-direct" } },
  webhooks: webhooksFor(wish),
});

/** The Service that leads to the replicas; ready ones only, because an API server does not route to a headless one. */
export const serviceFor = ({ namespace, port }: ServiceWish): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: WEBHOOK_SERVICE, namespace, labels: { "app.kubernetes.io/name": "clb-direct" } },
  spec: { ...servicePart, ports: [{ name: PORT_NAME, port: HTTPS, targetPort: port, protocol: "TCP" }] },
});
/** `port`: what the replicas listen on, e.g. 8443. */
export type ServiceWish = { readonly namespace: string; readonly port: number };
const servicePart = { type: "ClusterIP", selector: { app: COORDINATOR_APP } } as const;
/**
 * What the API server fills in or leaves out, and what has to stay so: `Local` leads an API server's node without a replica nowhere, and a
 * replica that is not ready does not know the Services yet, or is about to end.
 */
const SERVICE_DEFAULTS = { internalTrafficPolicy: "Cluster", publishNotReadyAddresses: false } as const;
/** Of the container's port, as the chart names it: each Pod has its own number, so that those of two configurations are reached alike. */
const PORT_NAME = "webhook";

/**
 * what is wrong with the configuration as it is, for people, e.g. ["caBundle of gate.clb-direct.io"]; empty: nothing. `present`: as
 * the API server gives it; undefined: there is none.
 */
export function configurationFaults(present: unknown, wish: WebhookWish): readonly string[] {
  if (present === undefined) return wish.retired ? [] : ["it does not exist"];
  const listed = member(present, "webhooks");
  const there: readonly unknown[] = Array.isArray(listed) ? listed : [];
  const wanted = webhooksFor(wish);
  const faults = wanted.flatMap((one, at) => webhookFaults(there[at], one));
  return there.length > wanted.length ? [...faults, "webhooks that are not ours"] : faults;
}

function webhookFaults(present: unknown, wanted: object): readonly string[] {
  const name = String(member(wanted, "name"));
  if (present === undefined) return [`${name} is missing`];
  return Object.entries(wanted).flatMap(([field, value]) => {
    const there: unknown = member(present, field);
    if (isDeepStrictEqual(there, value) || (there === undefined && isDeepStrictEqual(value, []))) return [];
    return [field === "clientConfig" ? `${clientFault(there, value)} of ${name}` : `${field} of ${name}`];
  });
}

const clientFault = (present: unknown, wanted: unknown): string =>
  isDeepStrictEqual(member(present, "service"), member(wanted, "service")) ? "caBundle" : "clientConfig";

/** Whether nothing is wrong with the configuration but a caBundle: it leads to the webhook, and the API server does not believe who answers there. */
export function lacksTrustOnly(present: unknown, wish: WebhookWish): boolean {
  const listed = member(present, "webhooks");
  if (!Array.isArray(listed) || configurationFaults(present, wish).length === 0) return false;
  const caBundle = Buffer.from(wish.caBundlePem).toString("base64");
  const trusting = listed.map((one: unknown) => ({ ...Object(one), clientConfig: { ...Object(member(one, "clientConfig")), caBundle } }));
  return configurationFaults({ webhooks: trusting }, wish).length === 0;
}

/** What is wrong with the webhook's Service; fields that we do not set are somebody else's. */
export function serviceFaults(present: unknown, { port }: Pick<ServiceWish, "port">): readonly string[] {
  if (present === undefined) return ["it does not exist"];
  const spec = member(present, "spec");
  const read = (field: string): unknown => member(spec, field);
  const listed = read("ports");
  const ports: readonly unknown[] = Array.isArray(listed) ? listed : [];
  const hasPort = ports.some((one) => {
    const of = (field: string): unknown => member(one, field);
    const leads = of("targetPort") === port || of("targetPort") === PORT_NAME;
    return of("port") === HTTPS && leads && (of("protocol") ?? "TCP") === "TCP";
  });
  return [
    ...(isDeepStrictEqual(read("selector"), servicePart.selector) ? [] : ["selector"]),
    ...(hasPort && ports.length === 1 ? [] : ["ports"]),
    ...((read("type") ?? servicePart.type) === servicePart.type ? [] : ["type"]),
    ...Object.entries(SERVICE_DEFAULTS).flatMap(([field, value]) => ((read(field) ?? value) === value ? [] : [field])),
  ];
}

/**
 * The merge patch that makes the Service as it has to be. A merge keeps what it does not name: labels that somebody added to the selector are
 * taken out by name. Its cluster address is the API server's.
 */
export function servicePatch(present: unknown, wish: ServiceWish): object {
  const others = Object.keys(Object(member(member(present, "spec"), "selector"))).map((label) => [label, null] as const);
  const spec = { externalName: null, externalIPs: null, ...SERVICE_DEFAULTS, ...Object(member(serviceFor(wish), "spec")) };
  return { spec: { ...spec, selector: { ...Object.fromEntries(others), ...servicePart.selector } } };
}
