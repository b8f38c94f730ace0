import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { makeClock } from "../../../common/clock.ts";
import { isRange } from "../model/ranges.ts";
import { PROFILES } from "../runtime/options.ts";
import type { StartOptions } from "./start.ts";

export const USAGE = `usage: npm run cloud -- [options]
  --host 127.0.0.1             where the API listens
  --port 8080                  API port; 0 takes a free one
  --admin-port 0               port of the admin pages
  --scenario scenario.yaml     the account to begin with; else test/cloud/scenario/default.yaml. Former name, for one version: --seed
  --profile fast|tke2020       how long things take; wins over the scenario
  --vip-cidr 127.198.0.0/16    addresses of load balancers; must be local, as this default is on Linux (in a namespace: 198.18.0.0/16)
  --backend-cidr 10.244.0.0/16 addresses that may be bound beside those of the scenario's ENIs; may be repeated
  --tls                        serve HTTPS as well, under any host name, with a CA of its own
  --tls-port 8443              its port; 443 where a hosts entry is to lead unmodified clients here
  --ca-file ca.pem             where to write that CA; else a temporary file, gone at the end
  --metadata-port 0            metadata service of the first node, the next port for the next one; 0 takes free ones
  --time-scale 1               20: everything twenty times as fast
  --random-seed 1              same seed, same jitter
  --no-data-plane              open no listener ports
  --faults faults.yaml         what is to go wrong (docs/emulated-cloud.md); more on the admin page /faults
  --json                       print one line of JSON with the addresses instead of the banner
  --exit-with-parent           end when standard input ends
TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY set the accepted key.
Exit code 2 for a mistake in the options, 1 for any other error.`;

const FLAGS = {
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "8080" },
  "admin-port": { type: "string", default: "0" },
  scenario: { type: "string" },
  /** The former name of `scenario`, for one version. */
  seed: { type: "string" },
  profile: { type: "string" },
  "vip-cidr": { type: "string" },
  "backend-cidr": { type: "string", multiple: true },
  tls: { type: "boolean", default: false },
  "tls-port": { type: "string" },
  "ca-file": { type: "string" },
  "metadata-port": { type: "string", default: "0" },
  "time-scale": { type: "string", default: "1" },
  "random-seed": { type: "string", default: "1" },
  faults: { type: "string" },
  "no-data-plane": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "exit-with-parent": { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

const TLS_PORT = "8443";

/** What the command line says. Throws a TypeError or RangeError that names the flag. */
export function readFlags(args: readonly string[]) {
  const { values } = parseArgs({ args: [...args], options: FLAGS });
  const number = (flag: "port" | "admin-port" | "tls-port" | "metadata-port" | "time-scale" | "random-seed", max: number): number => {
    const given = values[flag] ?? TLS_PORT;
    const value = given === "" ? NaN : Number(given);
    if (flag === "time-scale" && !(value > 0 && value <= max))
      throw new RangeError(`--${flag} must be above 0 and at most ${max}, got "${given}"`);
    if (!(value >= 0 && value <= max) || (flag !== "time-scale" && !Number.isInteger(value)))
      throw new RangeError(`--${flag} must be a whole number from 0 to ${max}, got "${given}"`);
    return value;
  };
  for (const flag of ["tls-port", "ca-file"] as const)
    if (values[flag] !== undefined && !values.tls) throw new TypeError(`--${flag} says how HTTPS is served; add --tls`);
  for (const range of values["backend-cidr"] ?? [])
    if (!isRange(range)) throw new RangeError(`--backend-cidr must be an IPv4 range, e.g. 10.244.0.0/16, got "${range}"`);
  const { profile, "vip-cidr": vipCidr, scenario: scenarioFile = values.seed } = values;
  for (const [flag, file] of Object.entries({ scenario: scenarioFile, faults: values.faults }))
    if (file !== undefined && !existsSync(file)) throw new RangeError(`--${flag} ${file}: there is no such file`);
  if (profile !== undefined && profile !== "fast" && profile !== "tke2020")
    throw new RangeError(`--profile must be one of ${Object.keys(PROFILES).join(", ")}, got "${profile}"`);
  const options: StartOptions = {
    host: values.host,
    port: number("port", 65_535),
    adminPort: number("admin-port", 65_535),
    metadataPort: number("metadata-port", 65_535),
    ...(values.tls && { tlsPort: number("tls-port", 65_535) }),
    ...(profile !== undefined && { profile }),
    ...(vipCidr !== undefined && { vipCidr }),
    clock: makeClock(number("time-scale", 1000)),
    seed: number("random-seed", 2 ** 32 - 1),
    dataPlane: !values["no-data-plane"],
  };
  return {
    options,
    scenarioFile,
    backendCidrs: values["backend-cidr"] ?? [],
    caFile: values["ca-file"],
    faultsFile: values.faults,
    json: values.json,
    exitWithParent: values["exit-with-parent"],
    help: values.help,
  };
}
