import * as z from "zod";
import { IN_STEP, MANAGED_ANNOTATION } from "../../common/names.ts";
import { parsedJson } from "../domain/intent/annotations.ts";
import { isAutoConfigName } from "../domain/intent/auto-config-name.ts";
import { type ConfigWishes, readServiceConfig } from "../domain/intent/service-config.ts";
import { Metadata } from "./object-schemas.ts";

const Owner = z.looseObject({ kind: z.string(), name: z.string(), uid: z.string() });
const Config = z.object({ metadata: Metadata.extend({ ownerReferences: z.array(Owner).nullish() }), spec: z.unknown() });
const Names = z.array(z.string());

/** A TkeServiceConfig as read: faulty sections are left out and named. */
export type ConfigRecord = {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly namespace: string;
  readonly name: string;
  readonly faults: readonly string[];
  /** Of those with a name that is given to ones that are made for their owners. */
  readonly auto?: AutoConfigObject;
} & ConfigWishes;

/** What whoever keeps a TkeServiceConfig in step has to know of it. `isOurs`: it has our mark; without it is a person's. */
export type AutoConfigObject = {
  readonly isOurs: boolean;
  readonly isDeleting: boolean;
  readonly owners: readonly Readonly<z.output<typeof Owner>>[];
  /** As the API server gave it. */
  readonly spec: unknown;
  /** Listeners and rules that it was brought in step with last; empty where nobody can read that. */
  readonly inStep: readonly string[];
};

export function decodeConfig(raw: unknown): ConfigRecord {
  const { metadata, spec } = Config.parse(raw);
  const { uid, resourceVersion, namespace, name, annotations, deletionTimestamp, ownerReferences } = metadata;
  const auto: AutoConfigObject = {
    isOurs: annotations[MANAGED_ANNOTATION] === "true",
    isDeleting: deletionTimestamp !== undefined,
    owners: ownerReferences ?? [],
    spec,
    inStep: Names.safeParse(parsedJson(annotations[IN_STEP] ?? "")).data ?? [],
  };
  const wishes = readServiceConfig(`${namespace}/${name}`, spec);
  return { uid, resourceVersion, namespace, name, ...wishes, ...(isAutoConfigName(name) && { auto }) };
}
