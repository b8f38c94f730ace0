import type * as z from "zod";
import { ConfigError } from "./errors.ts";

/**
 * Reads the environment by a schema. Throws ConfigError that lists every mistake with the value given, so that a wrong manifest is
 * mended in one round. Empty counts as not set: that is what a manifest with an unset template value gives.
 */
export function readEnvironment<S extends z.ZodType>(processName: string, schema: S, env: NodeJS.ProcessEnv): z.output<S> {
  const { data, error } = schema.safeParse(Object.fromEntries(Object.entries(env).filter(([, value]) => value !== "")));
  if (error === undefined) return data;
  const mistakes = error.issues.map(({ path, message }) => {
    const name = path.join(".");
    // Secrets are only ever missing, never malformed; what is shown here is what the manifest says.
    const given = env[name] === undefined || env[name] === "" ? "" : ` (got "${env[name]}")`;
    return `  ${name}: ${message}${given}`;
  });
  throw new ConfigError(`invalid configuration of the ${processName}, ${mistakes.length} mistake(s):\n${mistakes.join("\n")}`);
}
