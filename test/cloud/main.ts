import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { networkKind } from "../cluster/network.ts";
import { banner } from "./cli/banner.ts";
import { readFlags, USAGE } from "./cli/flags.ts";
import { type StartOptions, startCloud } from "./cli/start.ts";
import { parseFaultScript } from "./faults/script.ts";
import { type ApiKey, TEST_KEY } from "./runtime/options.ts";
import { readScenario } from "./scenario/scenario.ts";

/** The account that it begins with where nobody gives another one. */
const DEFAULT_ACCOUNT = new URL("scenario/default.yaml", import.meta.url);

function keyFrom(env: NodeJS.ProcessEnv): ApiKey {
  const { TENCENTCLOUD_SECRET_ID: secretId, TENCENTCLOUD_SECRET_KEY: secretKey } = env;
  return secretId !== undefined && secretKey !== undefined ? { secretId, secretKey } : TEST_KEY;
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

/** Writes the CA to the file, or to a temporary one; `remove` takes the temporary one away. */
async function writeCa(caPem: string, file: string | undefined): Promise<{ caFile: string; remove: () => Promise<void> }> {
  const folder = file === undefined ? await mkdtemp(join(tmpdir(), "clb-direct-cloud-")) : undefined;
  const caFile = file ?? join(folder ?? "", "ca.pem");
  await writeFile(caFile, caPem);
  return { caFile, remove: async () => (folder === undefined ? undefined : rm(folder, { recursive: true, force: true })) };
}

/** What the command line says, or the end of the process: 0 after --help, 2 with the mistake and the usage. */
function flagsOrExit(args: readonly string[]): ReturnType<typeof readFlags> {
  let flags: ReturnType<typeof readFlags>;
  try {
    flags = readFlags(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return process.exit(2);
  }
  if (!flags.help) return flags;
  console.log(USAGE);
  return process.exit(0);
}

async function main(): Promise<void> {
  const flags = flagsOrExit(process.argv.slice(2));
  const faults = flags.faultsFile === undefined ? [] : parseFaultScript(await readFile(flags.faultsFile, "utf8"), flags.faultsFile);
  const account = flags.scenarioFile ?? fileURLToPath(DEFAULT_ACCOUNT);
  const plan = readScenario(await readFile(account, "utf8"), account, Date.now());
  plan.options.network?.globalRouterCidrs.push(...flags.backendCidrs);
  const key = keyFrom(process.env);
  const vipCidr = networkKind() === "namespace" ? "198.18.0.0/16" : "127.198.0.0/16";
  const options: StartOptions = { vipCidr, ...plan.options, ...flags.options, keys: [key] };
  const stopAsked = askedToStop(flags.exitWithParent);
  const started = await startCloud(options);
  plan.prepare(started.cloud);
  started.cloud.faults.replace(faults);
  const ca = started.tls === undefined ? undefined : await writeCa(started.tls.caPem, flags.caFile);
  const { endpoint, adminUrl, tls, metadata } = started;
  const addresses = {
    endpoint,
    adminUrl,
    secretId: key.secretId,
    pid: process.pid,
    ...(tls !== undefined && { tlsEndpoint: tls.endpoint, caFile: ca?.caFile }),
    metadata: Object.fromEntries(metadata),
  };
  console.log(
    flags.json ? JSON.stringify(addresses) : banner({ started, options, key, account: relative("", account), caFile: ca?.caFile }),
  );
  await stopAsked;
  await started.stop();
  await ca?.remove();
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
