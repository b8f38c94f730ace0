import { hostname } from "node:os";
import * as z from "zod";
import { readEnvironment } from "../common/environment.ts";
import {
  COORDINATOR_SERVICE,
  DEFAULT_GATE_TYPE,
  DEFAULT_NAMESPACE,
  EXPLAIN_PORT,
  HEALTH_PORT,
  OPS_PORT,
  STREAM_PORT,
  TKE_INGRESS_CLASS,
  WEBHOOK_PORT,
  WEBHOOK_SERVICE,
} from "../common/names.ts";
import { DRAIN_WISHES } from "./domain/admission/drain-mode.ts";
import { ADMISSION_MODES } from "./domain/admission/mode.ts";
import { CALL_LIMITS } from "./domain/call.ts";
import { POLICIES, RETIRE } from "./domain/safety/policy.ts";

const required = (hint: string) => z.string(`is missing; ${hint}`);
/** What the API server takes for a condition's type; with another one every Pod that gets the gate would be refused. */
const QUALIFIED_NAME = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
/** As all regions are called; what stands in deploy/install.yaml to be replaced is none. */
const REGION = /^[a-z0-9]+(-[a-z0-9]+)+$/;
/** A whole number of that range; the message is the fix. */
const whole = (min: number, max: number) => {
  const fix = `use a whole number from ${min} to ${max}`;
  return z.coerce.number(fix).int(fix).min(min, fix).max(max, fix);
};
const port = whole(1, 65_535);
const milliseconds = whole;
const RESYNC_PERIOD = milliseconds(1_000, 3_600_000);
const RESYNC_DEFAULT_MS = 60_000;

/** docs/operations.md explains each key. */
export const ENVIRONMENT = z.object({
  /** Region of the load balancers, e.g. "ap-guangzhou". */
  CLB_REGION: required("e.g. ap-guangzhou").regex(REGION, "use the name of a region, e.g. ap-guangzhou"),
  /** Where the CLB API is; inside a VPC without Internet "clb.internal.tencentcloudapi.com". */
  CLB_ENDPOINT: z.string().min(1).default("clb.tencentcloudapi.com"),
  /** Where the VPC API is; default: beside the CLB API, e.g. "vpc.tencentcloudapi.com". */
  VPC_ENDPOINT: z.string().min(1).optional(),
  /** Where the API of the certificate service is; default: beside the CLB API, e.g. "ssl.tencentcloudapi.com". */
  SSL_ENDPOINT: z.string().min(1).optional(),
  CLB_PROTOCOL: z.enum(["https://", "http://"]).default("https://"),
  /** A synchronous batch call lasts as long as its task. Source: clb-api.md §3.3. */
  CLB_TIMEOUT_SECONDS: whole(1, 600).default(60),
  /** Calls per second and action; the cloud's limit is 20. */
  CLB_CALLS_PER_SECOND: whole(1, 1_000).default(20),
  /** Rules per CreateRule; the cloud documents no limit (clb-api.md §9), more rules make fewer writes. */
  CLB_RULES_PER_CALL: whole(1, 50).default(CALL_LIMITS.rules),
  TENCENTCLOUD_SECRET_ID: required("mount it from the Secret with the cloud's key"),
  TENCENTCLOUD_SECRET_KEY: required("mount it from the Secret with the cloud's key"),
  /** Only with temporary credentials. */
  TENCENTCLOUD_SESSION_TOKEN: z.string().optional(),
  /** VPC in which load balancers are created; default: the account's. */
  VPC_ID: z.string().optional(),

  /** Part of every mark in the cloud; default: first 8 hex digits of the UID of Namespace kube-system. */
  CLUSTER_ID: z
    .string()
    .regex(/^[0-9a-z]{1,16}$/, "use 1 to 16 lower-case letters and digits")
    .optional(),
  OWNERSHIP: z.enum(["class", "annotation"]).default("class"),
  /** Classes of Ingresses that are TKE's own, comma list: with OWNERSHIP=annotation those with direct access are ours. */
  INGRESS_CLASSES: z.string().default(TKE_INGRESS_CLASS),
  /** Ingresses without a class count as TKE's, as with TKE. */
  CLASSLESS_INGRESSES: z.enum(["true", "false"]).default("false"),
  /** What it may do: everything; all but take away; nothing. */
  POLICY: z.enum(POLICIES).default("enforce"),
  /** Before it is uninstalled: gates open; with `keep-traffic` finalizers come off as well, and nothing is removed at the load balancers. */
  RETIRE: z.enum(RETIRE).default("off"),
  GATE_TYPE: z.string().regex(QUALIFIED_NAME, "use a qualified name, e.g. example.com/ready").default(DEFAULT_GATE_TYPE),
  /** Seconds after which a gate opens although the load balancer does not send to its Pod; default: never, for that is what a gate is for. */
  GATE_EXPIRY: whole(60, 604_800).optional(),
  /** Bind Pods of GlobalRouter where TKE's own word (`GlobalRouteDirectAccess`) cannot be read. */
  GLOBAL_ROUTER_DIRECT_ACCESS: z.enum(["true", "false"]).default("false"),
  /** How long a negative verdict of an agent may delay a bind, never longer; 0: not at all. */
  VERDICT_DELAY_MS: milliseconds(0, 30_000).default(30_000),
  /** Bind a Pod at weight 0 as soon as its ports answer, before its containers are ready: one write more, a shorter way to the gate. */
  EARLY_BIND: z.enum(["true", "false"]).default("false"),
  /** Namespace of our own objects. */
  POD_NAMESPACE: z.string().min(1).default(DEFAULT_NAMESPACE),
  /** Identity of this replica; default: the host's name. */
  POD_NAME: z.string().min(1).default(hostname()),

  LISTEN_HOST: z.string().min(1).default("0.0.0.0"),
  STREAM_PORT: port.default(STREAM_PORT),
  OPS_PORT: port.default(OPS_PORT),
  HEALTH_PORT: port.default(HEALTH_PORT),
  EXPLAIN_PORT: port.default(EXPLAIN_PORT),
  WEBHOOK_PORT: port.default(WEBHOOK_PORT),
  /** Whether Pods get the readiness gate when they are created: by our webhook, or not by us. */
  ADMISSION: z.enum(ADMISSION_MODES).default("webhook"),
  /** How the webhook keeps Pods from SIGTERM until nothing is sent to them; a Service may say otherwise (`clb-direct.io/drain-mode`). */
  DRAIN_MODE: z.enum(DRAIN_WISHES).default("auto"),
  /** Names and addresses in the serving certificate besides those of our Service, comma list, e.g. "10.244.1.200,localhost". */
  SERVING_NAMES: z.string().default(""),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),

  /** How long weight 0 lasts before a target is unbound. */
  DRAIN_MS: milliseconds(0, 3_600_000).default(30_000),
  /** How long a node may be without an agent before its Pods are watched from here. */
  AGENT_GRACE_MS: milliseconds(100, 600_000).default(10_000),
  /** Every load balancer is re-read at least this often, to notice what others changed; default RESYNC_DEFAULT_MS. */
  RESYNC_MS: RESYNC_PERIOD.optional(),
  /** The former name of RESYNC_MS, for one version. */
  AUDIT_MS: RESYNC_PERIOD.optional(),
  /** Pause between two DescribeTargetHealth while a check window is open; longer where CLB_CALLS_PER_SECOND does not allow it. */
  HEALTH_POLL_MS: milliseconds(50, 10_000).default(50),
  /** DescribeTargetHealth while nobody waits. */
  HEALTH_IDLE_MS: milliseconds(1_000, 3_600_000).default(30_000),
  /** Keepalive pings on agent streams: a frozen peer is noticed after the sum of both. */
  KEEPALIVE_MS: milliseconds(100, 600_000).default(10_000),
  KEEPALIVE_TIMEOUT_MS: milliseconds(100, 600_000).default(5_000),
  /** Longest shutdown; below the default grace period of a Pod, 30 s. */
  SHUTDOWN_MS: milliseconds(100, 600_000).default(20_000),
  /** Product and cloud run this many times as fast, for rehearsals; certificates and signatures stay in real time. */
  TIME_SCALE: z.coerce.number("use a number above 0").positive("use a number above 0").default(1),
});

export const ENVIRONMENT_KEYS = ENVIRONMENT.keyof().options;

const FORMER_NAME = "AUDIT_MS is the former name of RESYNC_MS and goes with the next version: set RESYNC_MS";

/** Reads the environment once. Throws ConfigError that lists every mistake. */
export function readConfig(env: NodeJS.ProcessEnv) {
  const data = readEnvironment("coordinator", ENVIRONMENT, env);
  const service = `${COORDINATOR_SERVICE}.${data.POD_NAMESPACE}`;
  const extra = data.SERVING_NAMES.split(",").flatMap((name) => name.trim() || []);
  const isAddress = (name: string): boolean => /^[\d.]+$|:/.test(name);
  return {
    region: data.CLB_REGION,
    cloud: {
      endpoint: data.CLB_ENDPOINT,
      vpcEndpoint: data.VPC_ENDPOINT ?? data.CLB_ENDPOINT.replace(/^clb\./, "vpc."),
      sslEndpoint: data.SSL_ENDPOINT ?? data.CLB_ENDPOINT.replace(/^clb\./, "ssl."),
      protocol: data.CLB_PROTOCOL,
      timeoutSeconds: data.CLB_TIMEOUT_SECONDS,
      credential: {
        secretId: data.TENCENTCLOUD_SECRET_ID,
        secretKey: data.TENCENTCLOUD_SECRET_KEY,
        token: data.TENCENTCLOUD_SESSION_TOKEN,
      },
    },
    callsPerSecond: data.CLB_CALLS_PER_SECOND,
    rulesPerCall: data.CLB_RULES_PER_CALL,
    vpcId: data.VPC_ID,
    clusterId: data.CLUSTER_ID,
    ownership: data.OWNERSHIP,
    ingressClasses: data.INGRESS_CLASSES.split(",").flatMap((name) => name.trim() || []),
    classlessIngresses: data.CLASSLESS_INGRESSES === "true",
    policy: data.RETIRE === "keep-traffic" && data.POLICY === "enforce" ? "no-unbind" : data.POLICY,
    retire: data.RETIRE,
    gateType: data.GATE_TYPE,
    gateExpiryMs: data.GATE_EXPIRY === undefined ? undefined : data.GATE_EXPIRY * 1000,
    globalRouterDirectAccess: data.GLOBAL_ROUTER_DIRECT_ACCESS === "true",
    verdictDelayMs: data.VERDICT_DELAY_MS,
    earlyBind: data.EARLY_BIND === "true",
    namespace: data.POD_NAMESPACE,
    replica: data.POD_NAME,
    listenHost: data.LISTEN_HOST,
    streamPort: data.STREAM_PORT,
    opsPort: data.OPS_PORT,
    healthPort: data.HEALTH_PORT,
    explainPort: data.EXPLAIN_PORT,
    webhookPort: data.WEBHOOK_PORT,
    admission: data.ADMISSION,
    drainMode: data.DRAIN_MODE,
    servingNames: {
      dns: [
        `${service}.svc`,
        `${service}.svc.cluster.local`,
        `${WEBHOOK_SERVICE}.${data.POD_NAMESPACE}.svc`,
        ...extra.filter((name) => !isAddress(name)),
      ],
      ip: extra.filter(isAddress),
    },
    logLevel: data.LOG_LEVEL,
    drainMs: data.DRAIN_MS,
    agentGraceMs: data.AGENT_GRACE_MS,
    resyncMs: data.RESYNC_MS ?? data.AUDIT_MS ?? RESYNC_DEFAULT_MS,
    healthPollMs: data.HEALTH_POLL_MS,
    healthIdleMs: data.HEALTH_IDLE_MS,
    keepalive: { timeMs: data.KEEPALIVE_MS, timeoutMs: data.KEEPALIVE_TIMEOUT_MS },
    shutdownMs: data.SHUTDOWN_MS,
    timeScale: data.TIME_SCALE,
    /** Sentences for the log. */
    warnings: data.AUDIT_MS === undefined ? [] : [FORMER_NAME],
  } as const;
}
