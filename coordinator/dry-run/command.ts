import { parseArgs } from "node:util";
import { makeClock } from "../../common/clock.ts";
import { ConfigError } from "../../common/errors.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import { makeSdkTransport } from "../cloud/transport.ts";
import { readConfig } from "../config.ts";
import { makeConsoleLog } from "./console-log.ts";
import { planOnce } from "./plan-once.ts";
import { planTable } from "./plan-table.ts";

export const USAGE = `usage: npm run coordinator [-- --once --observe]
  --observe  write nothing, whatever POLICY says
  --once     with --observe: read everything once, print what would be done, and end: 0 nothing, 2 something, or something that a
             person has to mend, 1 it could not be read`;

type Arguments = { readonly once: boolean; readonly observe: boolean; readonly help: boolean };

/** What the command line asks for. Throws a ConfigError with the mistake and the usage. */
export function readArguments(args: readonly string[]): Arguments {
  const options = {
    once: { type: "boolean", default: false },
    observe: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    if (values.once && !values.observe) throw new TypeError("--once needs --observe: only a dry run is made once");
    return values;
  } catch (cause) {
    throw new ConfigError(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`, { cause });
  }
}

/** `--once --observe`: prints the plan. Resolves with the exit code: 0 nothing is to be done, 2 something is. */
export async function once(env: NodeJS.ProcessEnv): Promise<number> {
  const config = readConfig(env);
  const clock = makeClock();
  // The table has stdout for itself.
  const log = makeConsoleLog(config.logLevel === "info" ? "warn" : config.logLevel, (line) => process.stderr.write(line));
  for (const warning of config.warnings) log.warn(warning);
  const client = await makeKubeClient({ clock, env, userAgent: "clb-direct-coordinator" });
  try {
    const transport = makeSdkTransport({ region: config.region, ...config.cloud });
    const rows = await planOnce({ client, transport, clock, log, settings: config });
    process.stdout.write(planTable(rows));
    return rows.length === 0 ? 0 : 2;
  } finally {
    await client.close();
  }
}
