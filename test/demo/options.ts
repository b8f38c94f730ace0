import { parseArgs } from "node:util";

export const USAGE = `usage: npm run demo -- [options]
  --profile fast|tke2020   how long the emulated cloud takes (default fast)
  --replicas N             Pods of the example, 1 to 60 (default 6)
  --rate N                 requests per second through the load balancer, 1 to 2000 (default 300)
  --without-gates          take the ReadinessGate and the preStop sleep out of the example: shows what they are for
  --without-sleep          take only the preStop sleep out
  --keep                   leave everything running afterwards, and say how to look at it
  --json FILE              write the summary as JSON`;

export type DemoOptions = {
  readonly profile: "fast" | "tke2020";
  readonly replicas: number;
  readonly rate: number;
  readonly withoutGates: boolean;
  readonly withoutSleep: boolean;
  readonly keep: boolean;
  readonly json: string | undefined;
};

/** Throws an Error that names the option, its value and what would do. Undefined: help was asked for. */
export function readOptions(args: readonly string[]): DemoOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      profile: { type: "string", default: "fast" },
      replicas: { type: "string", default: "6" },
      rate: { type: "string", default: "300" },
      "without-gates": { type: "boolean", default: false },
      "without-sleep": { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const number = (option: "replicas" | "rate", max: number): number => {
    const value = Number(values[option]);
    if (!Number.isInteger(value) || value < 1 || value > max)
      throw new RangeError(`--${option} must be a whole number from 1 to ${max}, got "${values[option]}"`);
    return value;
  };
  const { profile } = values;
  if (profile !== "fast" && profile !== "tke2020") throw new RangeError(`--profile must be fast or tke2020, got "${profile}"`);
  return {
    profile,
    replicas: number("replicas", 60),
    rate: number("rate", 2_000),
    withoutGates: values["without-gates"],
    withoutSleep: values["without-sleep"],
    keep: values.keep,
    json: values.json,
  };
}
