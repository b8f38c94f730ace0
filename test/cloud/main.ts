import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { makeClock } from "../../common/clock.ts";
import { networkKind } from "../cluster/network.ts";
import { parseFaultScript } from "./fault-script.ts";
import { type ApiKey, PROFILES, TEST_KEY } from "./options.ts";
import { type StartedCloud, type StartOptions, startCloud } from "./start.ts";

const USAGE = `usage: npm run cloud -- [options]
  --host 127.0.0.1             where the API listens
  --port 8080                  API port; 0 takes a free one
  --admin-port 0               port of the admin pages
  --profile fast|tke2020       how long things take
  --vip-cidr 127.198.0.0/16    addresses of load balancers; must be local, as this default is on Linux (in a namespace: 198.18.0.0/16)
  --backend-cidr 10.244.0.0/16 addresses that may be bound; may be repeated
  --time-scale 1               20: everything twenty times as fast
  --random-seed 1              same seed, same jitter
  --no-data-plane              open no listener ports
  --faults faults.yaml         what is to go wrong (docs/emulated-cloud.md); more on the admin page /faults
  --json                       print one line of JSON with the addresses instead of the banner
  --exit-with-parent           end when standard input ends
TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY set the accepted key.`;

const FLAGS = {
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "8080" },
  "admin-port": { type: "string", default: "0" },
  profile: { type: "string", default: "fast" },
  "vip-cidr": { type: "string", default: networkKind() === "namespace" ? "198.18.0.0/16" : "127.198.0.0/16" },
  "backend-cidr": { type: "string", multiple: true },
  "time-scale": { type: "string", default: "1" },
  "random-seed": { type: "string", default: "1" },
  faults: { type: "string" },
  "no-data-plane": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "exit-with-parent": { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

/** Throws a TypeError or RangeError that names the flag. */
function readFlags(args: readonly string[]) {
  const { values } = parseArgs({ args: [...args], options: FLAGS });
  const number = (flag: "port" | "admin-port" | "time-scale" | "random-seed", max: number): number => {
    const value = Number(values[flag]);
    if (!(value >= 0 && value <= max)) throw new RangeError(`--${flag} must be a number from 0 to ${max}, got "${values[flag]}"`);
    return value;
  };
  const { profile } = values;
  if (profile !== "fast" && profile !== "tke2020")
    throw new RangeError(`--profile must be one of ${Object.keys(PROFILES).join(", ")}, got "${profile}"`);
  const options: StartOptions = {
    host: values.host,
    port: number("port", 65_535),
    adminPort: number("admin-port", 65_535),
    profile,
    vipCidr: values["vip-cidr"],
    ...(values["backend-cidr"] !== undefined && { backendCidrs: values["backend-cidr"] }),
    clock: makeClock(number("time-scale", 1000)),
    seed: number("random-seed", 2 ** 32 - 1),
    dataPlane: !values["no-data-plane"],
  };
  return { options, faultsFile: values.faults, json: values.json, exitWithParent: values["exit-with-parent"], help: values.help };
}

function keyFrom(env: NodeJS.ProcessEnv): ApiKey {
  const { TENCENTCLOUD_SECRET_ID: secretId, TENCENTCLOUD_SECRET_KEY: secretKey } = env;
  return secretId !== undefined && secretKey !== undefined ? { secretId, secretKey } : TEST_KEY;
}

function banner({ endpoint, adminUrl }: StartedCloud, options: StartOptions, key: ApiKey): string {
  const profile = typeof options.profile === "string" ? options.profile : "of its own";
  const secretKey = key === TEST_KEY ? key.secretKey : "(as in TENCENTCLOUD_SECRET_KEY)";
  return `Emulated Tencent Cloud (clb, tag), profile ${profile}
  API       http://${endpoint}
  admin     ${adminUrl}/state, /journal?since=0, /counts, /faults
  VIPs      ${options.vipCidr}
  SecretId  ${key.secretId}
  SecretKey ${secretKey}
Point an SDK at it, e.g. in Node:
  new Client({ credential: { secretId, secretKey }, region: "ap-guangzhou",
               profile: { httpProfile: { protocol: "http://", endpoint: "${endpoint}" } } })
Ctrl-C ends it.`;
}

/** Resolves when somebody wants this process to end. */
function askedToStop(exitWithParent: boolean): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve()).once("SIGINT", () => resolve());
    process.once("disconnect", () => resolve()); // the parent's IPC channel, if there is one
    if (exitWithParent)
      process.stdin
        .once("end", () => resolve())
        .once("close", () => resolve())
        .resume();
  });
}

async function main(): Promise<void> {
  const { options, faultsFile, json, exitWithParent, help } = readFlags(process.argv.slice(2));
  if (help) {
    console.log(USAGE);
    return;
  }
  const faults = faultsFile === undefined ? [] : parseFaultScript(await readFile(faultsFile, "utf8"), faultsFile);
  const key = keyFrom(process.env);
  const stopAsked = askedToStop(exitWithParent);
  const started = await startCloud({ ...options, keys: [key] });
  started.cloud.faults.replace(faults);
  const { endpoint, adminUrl } = started;
  console.log(json ? JSON.stringify({ endpoint, adminUrl, secretId: key.secretId, pid: process.pid }) : banner(started, options, key));
  await stopAsked;
  await started.stop();
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  process.exit(1);
}
