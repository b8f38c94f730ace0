import { AUTO_CONFIG_SUFFIXES } from "../../../common/names.ts";
import { keysOf } from "./annotation-keys.ts";

type OwnerKind = keyof typeof AUTO_CONFIG_SUFFIXES;

/** "web-auto-service-config": the TkeServiceConfig that is made for an owner. Source: tke-contract.md §3. */
const autoConfigName = (kind: OwnerKind, owner: string): string => `${owner}${AUTO_CONFIG_SUFFIXES[kind]}`;

/** The name is one that nobody else may give. */
export const isAutoConfigName = (name: string): boolean => Object.values(AUTO_CONFIG_SUFFIXES).some((suffix) => name.endsWith(suffix));

/** The fix of a name that a person gives and must not; undefined: the name is good. */
export const configNameFault = (name: string): string | undefined =>
  isAutoConfigName(name)
    ? `names with this end are those of TkeServiceConfigs that are made by themselves: name one of your own, or use tke-service-config-auto: "true" instead`
    : undefined;

/** The TkeServiceConfig of an owner whose annotations have been judged: the one that is made for it, or that it names. */
export function configNameOf(
  kind: OwnerKind,
  { name, annotations }: { readonly name: string; readonly annotations: Readonly<Record<string, string>> },
): string | undefined {
  const { config, configAuto } = keysOf(kind);
  return annotations[configAuto] === "true" ? autoConfigName(kind, name) : annotations[config];
}
