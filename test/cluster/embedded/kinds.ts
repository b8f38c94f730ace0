import { isIP } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { isRaw, type KubeObject, type Raw, type Status } from "./objects.ts";
import { type Cause, wrong } from "./status.ts";

/**
 * What is filled in where it is missing, e.g. { spec: { replicas: 1 } }: a list stands for every item of a list that is there, a function
 * is asked with the object around it.
 */
export type Template = { readonly [field: string]: Template | readonly [Template] | string | number | null | ((around: Raw) => unknown) };

/** What one kind does differently; everything else is generic. */
export type Rules = {
  readonly defaults: Template;
  /** The status of every new object, whatever was sent. */
  readonly status?: Status & { readonly qosClass?: string };
  /** Corrects what defaults cannot say, before `causes` looks for mistakes. */
  readonly fit: (object: KubeObject, old: KubeObject | undefined) => void;
  readonly causes: (object: KubeObject, old: KubeObject | undefined) => Cause[];
};

/** Changes `target`. */
export function fill(target: Raw, template: Template): void {
  for (const [field, one] of Object.entries(template)) {
    const wanted = typeof one === "function" ? one(target) : one;
    if (Array.isArray(wanted)) {
      for (const item of Array.isArray(target[field]) ? target[field] : []) if (isRaw(item)) fill(item, wanted[0] as Template);
    } else if (isRaw(wanted)) {
      const inner = (target[field] ??= {});
      if (isRaw(inner)) fill(inner, wanted as Template);
    } else if (target[field] === undefined && wanted !== undefined) target[field] = wanted;
  }
}

const CONTAINERS: readonly [Template] = [{ imagePullPolicy: "IfNotPresent", resources: {}, ports: [{ protocol: "TCP" }] }];
const NAMES = { restartPolicy: "Always", dnsPolicy: "ClusterFirst", schedulerName: "default-scheduler" };
const POD_SPEC = { ...NAMES, containers: CONTAINERS, initContainers: CONTAINERS, securityContext: {}, terminationGracePeriodSeconds: 30 };

/** What the names of label keys, finalizers and conditions look like, e.g. "example.com/gate". */
export const QUALIFIED = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** Pod spec without what may change: image, deadline, tolerations. */
const fixedPart = ({ spec = {} }: KubeObject): object => {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...fixed } = spec as Raw & typeof spec;
  const frozen = (list: typeof spec.containers = []) => list.map(({ image: _image, ...rest }) => rest);
  return { ...fixed, containers: frozen(spec.containers), initContainers: frozen(spec.initContainers) };
};

export const pod: Partial<Rules> = {
  defaults: { spec: { ...POD_SPEC, serviceAccountName: "default" }, status: { conditions: [{ lastProbeTime: null }] } },
  status: { phase: "Pending", qosClass: "BestEffort" },
  causes(object, old) {
    const causes = object.spec?.containers?.length ? [] : [wrong.required("spec.containers")];
    for (const [index, { type }] of (object.status?.conditions ?? []).entries()) {
      if (!QUALIFIED.test(type)) causes.push(wrong.invalid(`status.conditions[${index}].type`, type, "a qualified name is needed"));
    }
    if (old === undefined || isDeepStrictEqual(fixedPart(object), fixedPart(old))) return causes;
    const may = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`";
    return [...causes, wrong.forbidden("spec", `pod updates may not change fields other than ${may}`)];
  },
};

export const service: Partial<Rules> = {
  defaults: {
    spec: {
      type: "ClusterIP",
      sessionAffinity: "None",
      internalTrafficPolicy: "Cluster",
      externalTrafficPolicy: ({ type }) => (type === "LoadBalancer" || type === "NodePort" ? "Cluster" : undefined),
      allocateLoadBalancerNodePorts: ({ type }) => type === "LoadBalancer" || undefined,
      ports: [{ protocol: "TCP", targetPort: ({ port }) => port }],
    },
    status: { loadBalancer: { ingress: [{ ipMode: ({ ip }) => (ip === undefined ? undefined : "VIP") }] } },
  },
  status: {},
  /** What only some types of Service have goes with the type. */
  fit({ spec = {}, status = {} }, old) {
    if (spec.type !== "LoadBalancer" && spec.type !== "NodePort") delete spec.externalTrafficPolicy;
    if (spec.type === "LoadBalancer") return;
    delete (spec as Raw)["allocateLoadBalancerNodePorts"];
    if (spec.loadBalancerClass === old?.spec?.loadBalancerClass) delete spec.loadBalancerClass;
    status.loadBalancer = {};
  },
  causes({ spec = {}, status = {} }, old) {
    const portless = spec.clusterIP === "None" || spec.type === "ExternalName";
    const causes = spec.ports?.length || portless ? [] : [wrong.required("spec.ports")];
    const [field, now] = ["spec.loadBalancerClass", spec.loadBalancerClass];
    if (spec.type === "LoadBalancer" && old?.spec?.type === "LoadBalancer" && now !== old.spec.loadBalancerClass) {
      causes.push(wrong.invalid(field, now ?? null, "may not change once set"));
    } else if (spec.type !== "LoadBalancer" && now !== undefined) {
      causes.push(wrong.forbidden(field, "may only be used when `type` is 'LoadBalancer'"));
    }
    for (const [index, { ip = "", ipMode }] of (status.loadBalancer?.ingress ?? []).entries()) {
      const at = `status.loadBalancer.ingress[${index}]`;
      if (ip && isIP(ip) === 0) causes.push(wrong.invalid(`${at}.ip`, ip, "must be a valid IP address"));
      const fits = ipMode === undefined || (ip && ["VIP", "Proxy"].includes(ipMode));
      if (!fits) causes.push(wrong.invalid(`${at}.ipMode`, ipMode, "VIP and Proxy are known, with an ip only"));
    }
    return causes;
  },
};

/** What a person's manifest meets first: paths begin with "/", each has a type, and a rule has some. */
export const ingress: Partial<Rules> = {
  status: {},
  causes({ spec = {} }) {
    const { rules = [], defaultBackend } = spec as { rules?: IngressRule[]; defaultBackend?: unknown };
    const causes =
      rules.length > 0 || defaultBackend ? [] : [wrong.invalid("spec", "{}", "either `defaultBackend` or `rules` must be specified")];
    for (const [index, { host = "", http }] of rules.entries()) {
      const at = `spec.rules[${index}]`;
      if (/[^a-z0-9.*-]/.test(host)) causes.push(wrong.invalid(`${at}.host`, host, "a lowercase RFC 1123 subdomain is needed"));
      for (const [position, { path = "", pathType }] of (http?.paths ?? []).entries()) {
        const field = `${at}.http.paths[${position}]`;
        if (pathType === undefined) causes.push(wrong.required(`${field}.pathType`, "pathType must be specified"));
        if (!path.startsWith("/") && (path !== "" || pathType !== "ImplementationSpecific"))
          causes.push(wrong.invalid(`${field}.path`, path, "must be an absolute path"));
      }
    }
    return causes;
  },
};
type IngressRule = {
  readonly host?: string;
  readonly http?: { readonly paths?: readonly { readonly path?: string; readonly pathType?: string }[] };
};

const selected: Rules["causes"] = ({ spec }) => (spec?.selector ? [] : [wrong.required("spec.selector")]);
const LIMITS = { maxSurge: "25%", maxUnavailable: "25%" };
const STRATEGY: Template = { type: "RollingUpdate", rollingUpdate: ({ type }) => (type === "RollingUpdate" ? LIMITS : undefined) };
const HISTORY = { progressDeadlineSeconds: 600, revisionHistoryLimit: 10 };
const TEMPLATE = { replicas: 1, template: { spec: POD_SPEC } };
export const deployment = { defaults: { spec: { ...TEMPLATE, ...HISTORY, strategy: STRATEGY } }, status: {}, causes: selected };
export const replicaSet = { defaults: { spec: TEMPLATE }, status: { replicas: 0 }, causes: selected };

export const namespace: Partial<Rules> = {
  status: { phase: "Active" },
  fit({ metadata }) {
    metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
  },
};

export const secret: Partial<Rules> = {
  defaults: { type: "Opaque" },
  fit(object) {
    for (const [key, text] of Object.entries(object.stringData ?? {})) (object.data ??= {})[key] = Buffer.from(text).toString("base64");
    delete object.stringData;
  },
};

export const endpointSlice: Partial<Rules> = {
  causes({ endpoints = [] }) {
    const why = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    const refused = (address: string, field: string) => (/^(127\.|::1$)/.test(address) ? [wrong.invalid(field, address, why)] : []);
    return endpoints.flatMap(({ addresses = [] }, at) =>
      addresses.flatMap((address, index) => refused(address, `endpoints[${at}].addresses[${index}]`)),
    );
  },
};

export const lease: Partial<Rules> = {
  causes({ spec: { leaseDurationSeconds: seconds = 1 } = {} }) {
    return seconds > 0 ? [] : [wrong.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")];
  },
};

export const event: Partial<Rules> = {
  causes({ involvedObject: { namespace: home = "default" } = {}, metadata }) {
    return home === metadata.namespace ? [] : [wrong.invalid("involvedObject.namespace", home, "does not match event.namespace")];
  },
};
