import { keysOf } from "../domain/intent/annotation-keys.ts";
import type { IntentPort } from "../domain/intent/intent-port.ts";
import { intentOf, type OwnerIntent } from "../domain/intent/owner-intent.ts";
import { tunedInVain } from "../domain/intent/service-config.ts";
import { type ObjectRef, type Problem, tkeCode } from "../domain/problem.ts";
import type { EventReason } from "../domain/reasons.ts";
import type { Intents } from "../state/intents.ts";
import type { ConfigRecord } from "../state/watched-objects.ts";
import { nameOf } from "./wording.ts";

export type ConfigProblemsDeps = {
  readonly intents: Pick<Intents, "get" | "all">;
  readonly config: (namespace: string, name: string) => ConfigRecord | undefined;
};

/** What is wrong with the TkeServiceConfig that the owner names, and what of it is without effect. */
export function configProblems(deps: ConfigProblemsDeps, service: ObjectRef): Problem[] {
  const name = configNameOf(deps.intents.get(service.uid));
  if (name === undefined) return [];
  const config = deps.config(service.namespace, name);
  const warn = (reason: EventReason, message: string): Problem => ({ object: service, type: "Warning", reason, message });
  if (config !== undefined)
    return [...config.faults.map((fault) => warn("InvalidServiceConfig", fault)), ...vainSections(deps, service, config)];
  const kind = service.kind === "Ingress" ? "Ingress" : "Service";
  const message = tkeCode(
    "E4043",
    `${nameOf(service)}: annotation ${keysOf(kind).config} names TkeServiceConfig "${name}", which does not exist in namespace ${service.namespace}: create it or correct the name`,
    kind,
  );
  return [warn("ServiceConfigMissing", message)];
}

/** Several owners may name one TkeServiceConfig, each for listeners of its own: what fits none of them is told. */
function vainSections({ intents }: ConfigProblemsDeps, service: ObjectRef, config: ConfigRecord): Problem[] {
  const own = intents.get(service.uid);
  if (tunedInVain(config, portsOf(own)).length === 0) return [];
  const users = [...intents.all].filter((owner) => owner.ref.namespace === service.namespace && configNameOf(owner) === config.name);
  return tunedInVain(config, users.flatMap(portsOf)).map((section) => {
    const message = `TkeServiceConfig ${service.namespace}/${config.name}: section ${section} of spec.loadBalancer has no effect: nothing that names it has such a listener or rule: correct it by protocol, port, domain and url, where specify-protocol counts`;
    return { object: service, type: "Normal", reason: "NoEffect", message };
  });
}

const portsOf = (owner: OwnerIntent | undefined): readonly IntentPort[] => (owner && intentOf(owner)?.ports) ?? [];

const configNameOf = (owner: OwnerIntent | undefined): string | undefined => owner && intentOf(owner)?.configName;
