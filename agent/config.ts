import { isIP } from "node:net";
import * as z from "zod";
import { readEnvironment } from "../common/environment.ts";
import { COORDINATOR_SERVICE, DEFAULT_GATE_TYPE, DEFAULT_NAMESPACE, HEALTH_PORT, OPS_PORT } from "../common/names.ts";

/** Where coordinators are, e.g. { host: "clb-direct-coordinator.clb-direct.svc", port: 9443 }; a name may stand for several. */
export type Endpoint = { readonly host: string; readonly port: number };

/** A whole number of that range; the message is the fix. */
const whole = (min: number, max: number) => {
  const fix = `use a whole number from ${min} to ${max}`;
  return z.coerce.number(fix).int(fix).min(min, fix).max(max, fix);
};
const port = (preset: number) => whole(0, 65_535).default(preset);
const milliseconds = (preset: number) => whole(10, 3_600_000).default(preset);
const required = (hint: string) => z.string(`is missing; ${hint}`);

/** docs/operations.md explains each key. */
export const ENVIRONMENT = z.object({
  NODE_NAME: required("set it from spec.nodeName"),
  /** `dns:///<name>:<port>` or a comma list `<host>:<port>,<host>:<port>`; IPv6 addresses in brackets. */
  COORDINATOR_ADDRESS: required("e.g. dns:///clb-direct-coordinator.clb-direct.svc:9443").transform(parseEndpoints),
  /** The name that the coordinator's certificate must carry: the links go to addresses, not to names. Default: the name in COORDINATOR_ADDRESS. */
  COORDINATOR_SERVER_NAME: z.string().min(1).optional(),
  CA_BUNDLE_FILE: required("mount ConfigMap clb-direct-ca-bundle, e.g. /etc/clb-direct/ca/ca.crt"),
  TOKEN_FILE: required('mount a projected ServiceAccount token with audience "clb-direct", e.g. /var/run/secrets/clb-direct/token'),
  GATE_TYPE: z.string().min(1).default(DEFAULT_GATE_TYPE),
  /** Where `ip` is looked for. */
  PATH: z.string().default(""),
  /** Folder of this Pod alone where `started` and `ready` appear, for the kubelet's probes; default: none. */
  STATE_DIRECTORY: z.string().optional(),
  /** The socket of the hold server in the same Pod; default: there is none. */
  HOLD_SOCKET: z.string().optional(),
  /** Of the ops and the health port. */
  LISTEN_HOST: z.string().min(1).default("0.0.0.0"),
  OPS_PORT: port(OPS_PORT),
  HEALTH_PORT: port(HEALTH_PORT),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
  /** A frozen coordinator is noticed after the sum of both at most (toolchain.md §7). */
  KEEPALIVE_MS: milliseconds(10_000),
  KEEPALIVE_TIMEOUT_MS: milliseconds(5_000),
  /** How long both ends may disagree unnoticed; one hash over the node's Pods each time. */
  DIGEST_INTERVAL_MS: milliseconds(60_000),
  /** A difference without acknowledgement for so long is followed by a snapshot; well above a coordinator's worst pause, well below the agent grace of 10 s. */
  ACK_TIMEOUT_MS: milliseconds(5_000),
  /** The metadata service of the node (tke-contract.md §9); "" asks nobody. */
  METADATA_URL: z
    .union([z.literal(""), z.url("use an address like http://metadata.tencentyun.com, or nothing")])
    .default("http://metadata.tencentyun.com"),
  /** 4 runs four times as fast; for demos and tests, together with a cloud of the same scale. */
  TIME_SCALE: z.coerce.number().positive().max(1_000).default(1),
});

export const ENVIRONMENT_KEYS = ENVIRONMENT.keyof().options;

export type AgentConfig = ReturnType<typeof readConfig>;

/** Environment -> configuration. Throws ConfigError that lists every mistake. */
export function readConfig(env: NodeJS.ProcessEnv = process.env) {
  const data = readEnvironment("agent", ENVIRONMENT, env);
  return {
    nodeName: data.NODE_NAME,
    coordinators: data.COORDINATOR_ADDRESS,
    serverName: data.COORDINATOR_SERVER_NAME ?? nameIn(data.COORDINATOR_ADDRESS),
    caBundleFile: data.CA_BUNDLE_FILE,
    tokenFile: data.TOKEN_FILE,
    gateType: data.GATE_TYPE,
    path: data.PATH,
    stateDirectory: data.STATE_DIRECTORY,
    holdSocket: data.HOLD_SOCKET,
    listenHost: data.LISTEN_HOST,
    opsPort: data.OPS_PORT,
    healthPort: data.HEALTH_PORT,
    logLevel: data.LOG_LEVEL,
    keepaliveMs: data.KEEPALIVE_MS,
    keepaliveTimeoutMs: data.KEEPALIVE_TIMEOUT_MS,
    digestIntervalMs: data.DIGEST_INTERVAL_MS,
    ackTimeoutMs: data.ACK_TIMEOUT_MS,
    metadataUrl: data.METADATA_URL,
    timeScale: data.TIME_SCALE,
    /** For the Kubernetes client, which finds the cluster by it. */
    env,
  } as const;
}

/** In whatever Namespace the coordinators are, their certificate has the name by which they are found. */
function nameIn(endpoints: readonly Endpoint[]): string {
  const name = endpoints.find(({ host }) => isIP(host) === 0)?.host;
  return name ?? `${COORDINATOR_SERVICE}.${DEFAULT_NAMESPACE}.svc`;
}

function parseEndpoints(text: string, context: z.RefinementCtx): readonly Endpoint[] {
  const parts = text.startsWith("dns:///") ? [text.slice("dns:///".length)] : text.split(",");
  const endpoints = parts.map((part) => parseEndpoint(part.trim()));
  const wrong = parts.filter((_, index) => endpoints[index] === undefined);
  if (wrong.length > 0)
    context.addIssue(
      `${wrong.map((part) => `"${part}"`).join(", ")} is not <host>:<port>; use dns:///<name>:<port> or a comma list of <host>:<port>`,
    );
  return endpoints.filter((endpoint) => endpoint !== undefined);
}

function parseEndpoint(text: string): Endpoint | undefined {
  const [, v6, name, digits] = /^(?:\[([^\]]+)\]|([^:/\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? name;
  const number = Number(digits);
  if (host === undefined || (v6 !== undefined && isIP(v6) !== 6) || !(number >= 1 && number <= 65_535)) return undefined;
  return { host, port: number };
}
