/** What a case under test/manifests/ may say: what a person writes, and what comes of it. */
import { readFileSync } from "node:fs";
import * as z from "zod";
import { parseScript } from "../cloud/input/yaml-script.ts";

const Labels = z.record(z.string(), z.string());
const Pod = z.strictObject({
  name: z.string(),
  labels: Labels.default({ app: "web" }),
  annotations: Labels.default({}),
  ip: z.string().optional(),
  /** IPv6, besides or instead. */
  ipv6: z.string().optional(),
  ready: z.boolean().default(true),
  hostNetwork: z.boolean().default(false),
  ports: z.array(z.record(z.string(), z.unknown())).default([{ name: "http", containerPort: 8080 }]),
});
/** Compared in part: of objects what is named, of lists all items, "/…/" is a pattern. */
const Expected = z.strictObject({
  /** In the cloud's own words, oldest first; each with `Listeners`, and those with `Targets` as "web-1:8080=10". Default: none but those given. */
  loadBalancers: z.array(z.unknown()).optional(),
  /** By name; "absent" stands for null. */
  services: z.record(z.string(), z.unknown()).default({}),
  configs: z.record(z.string(), z.unknown()).default({}),
  ingresses: z.record(z.string(), z.unknown()).default({}),
  /** "Service/web Warning NotSupported /words/", all of them and no others, once each. */
  events: z.array(z.string()).default([]),
  /** Value of the Pods' gates, e.g. { web-1: "True" }. */
  gates: z.record(z.string(), z.string()).default({}),
});
const Stage = z.strictObject({
  /** Merged into objects that exist, created otherwise. */
  apply: z.array(z.looseObject({ kind: z.string(), metadata: z.looseObject({ name: z.string() }) })).default([]),
  pods: z.array(Pod).default([]),
  /** "Service/web". */
  delete: z.array(z.string()).default([]),
  expect: Expected,
});
const Case = z.strictObject({
  title: z.string(),
  /** Load balancers of the user. */
  given: z.array(z.looseObject({ id: z.string() })).default([]),
  certificates: z.array(z.string()).default([]),
  settings: z.record(z.string(), z.unknown()).default({}),
  /** False where who comes first decides what comes about. */
  anyOrder: z.boolean().default(true),
  stages: z.array(Stage).min(1),
});
export type Case = z.output<typeof Case>;
export type Stage = Case["stages"][number];
export type PodOfCase = z.output<typeof Pod>;
export type Expected = z.output<typeof Expected>;

/** Throws TypeError with the line of each mistake. */
export const readCase = (file: string): Case => parseScript(readFileSync(file, "utf8"), Case, file);

/** Every difference between what is and what should be, as a path and two values. */
export function differences(expected: unknown, actual: unknown, at: string): string[] {
  if (typeof expected === "string" && expected.length > 1 && expected.startsWith("/") && expected.endsWith("/"))
    return new RegExp(expected.slice(1, -1)).test(String(actual)) ? [] : [`${at}: ${show(actual)} does not match ${expected}`];
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return [`${at}: ${show(actual)} instead of a list`];
    if (actual.length !== expected.length) return [`${at}: ${actual.length} items instead of ${expected.length}: ${show(actual)}`];
    return expected.flatMap((item, index) => differences(item, actual[index], `${at}[${index}]`));
  }
  if (typeof expected === "object" && expected !== null) {
    if (typeof actual !== "object" || actual === null) return [`${at}: ${show(actual)} instead of ${show(expected)}`];
    return Object.entries(expected).flatMap(([key, value]) => differences(value, Reflect.get(actual, key), `${at}.${key}`));
  }
  return (expected ?? null) === (actual ?? null) ? [] : [`${at}: ${show(actual)} instead of ${show(expected)}`];
}

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 600) ?? "nothing";
