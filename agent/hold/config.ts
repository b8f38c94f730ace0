import { isIP } from "node:net";
import * as z from "zod";
import { readEnvironment } from "../../common/environment.ts";
import { HOLD_PORT } from "../../common/names.ts";
import { parsePrefix } from "../domain/address.ts";

const address = (fix: string) => z.string().refine((text) => isIP(text) !== 0, fix);

/** docs/operations.md explains each key. */
export const ENVIRONMENT = z.object({
  /** The socket in a folder that only this Pod has; the agent connects to it. */
  HOLD_SOCKET: z.string("is missing; e.g. /run/clb-direct/hold.sock"),
  /** The node's own address, over which the rule is proven: status.hostIP. */
  NODE_IP: address("use an address, e.g. from status.hostIP").optional(),
  /** Where the hold server listens; default: 127.0.0.1 and ::1. For tests with several nodes in one network. */
  HOLD_HOST: address("use an address, e.g. 127.0.0.1").optional(),
  /** Of the calls and of the server; the hooks in Pods have it as well. */
  HOLD_PORT: z.coerce.number().int().min(1).max(65_535).default(HOLD_PORT),
  /** `off`: no rule, calls come straight to HOLD_HOST. For simulated nodes on a machine without nft. */
  HOLD_RULE: z.enum(["on", "off"]).default("on"),
  /** The load balancers' health checks come from there: their packets do not say that a Pod is sent to, nor does a check that is over. */
  HOLD_IGNORED_SOURCES: z
    .string()
    .default("100.64.0.0/10")
    .transform((text) => text.split(",").filter((range) => range !== ""))
    .refine((ranges) => ranges.every((range) => parsePrefix(range) !== undefined), "use ranges of addresses, e.g. 100.64.0.0/10,fd00::/64"),
  /** Folder of this Pod alone where `hold-started`, `hold-ready` and `hold-alive` appear, for the kubelet's probes; default: none. */
  STATE_DIRECTORY: z.string().optional(),
  /** Where `nft` and `conntrack` are looked for. */
  PATH: z.string().default(""),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
});

export const ENVIRONMENT_KEYS = ENVIRONMENT.keyof().options;

export type HoldConfig = ReturnType<typeof readHoldConfig>;

/** Environment -> configuration. Throws ConfigError that lists every mistake. */
export function readHoldConfig(env: NodeJS.ProcessEnv = process.env) {
  const data = readEnvironment("hold server", ENVIRONMENT, env);
  return {
    socket: data.HOLD_SOCKET,
    nodeAddress: data.NODE_IP,
    host: data.HOLD_HOST,
    port: data.HOLD_PORT,
    hasRule: data.HOLD_RULE === "on",
    ignored: data.HOLD_IGNORED_SOURCES,
    stateDirectory: data.STATE_DIRECTORY,
    path: data.PATH,
    logLevel: data.LOG_LEVEL,
  } as const;
}
