import { type Logger, pino, stdSerializers } from "pino";

export type { Logger };

/** Fields whose values never reach a log, wherever they stand one level deep. */
const SECRETS = ["token", "secretKey", "secretId", "authorization", "password"];

/** Our errors say in their message what their cause said; pino would append the causes' messages once more. The stack has them all. */
const err = (error: unknown): unknown => (error instanceof Error ? { ...stdSerializers.err(error), message: error.message } : error);

/** JSON lines; readable text on a terminal. `level` e.g. "info"; `name` is the process, e.g. "agent". */
export async function makeLogger(name: string, level: string): Promise<Logger> {
  const options = { name, level, redact: [...SECRETS, ...SECRETS.map((key) => `*.${key}`)], serializers: { err } };
  if (!process.stdout.isTTY) return pino(options);
  try {
    const { default: pretty } = await import("pino-pretty");
    return pino(options, pretty({ sync: true, ignore: "pid,hostname" }));
  } catch {
    return pino(options); // the production image leaves the pretty printer out
  }
}
