import { keysOf } from "../domain/intent/annotation-keys.ts";
import { isAutoConfigName } from "../domain/intent/auto-config-name.ts";
import { type ConfigMisfit, misfits } from "../domain/intent/config-fit.ts";
import { intentOf, type OwnerIntent } from "../domain/intent/owner-intent.ts";
import { tunedInVain, wishKey } from "../domain/intent/service-config.ts";
import type { LoadBalancerOrder } from "../domain/load-balancer.ts";
import { type ObjectRef, type Problem, tkeCode } from "../domain/problem.ts";
import type { EventReason } from "../domain/reasons.ts";
import type { ConfigRecord } from "../state/config-objects.ts";
import type { Intents } from "../state/intents.ts";
import { nameOf } from "./wording.ts";

export type ConfigProblemsDeps = {
  readonly intents: Pick<Intents, "get" | "askedThrough">;
  readonly config: (namespace: string, name: string) => ConfigRecord | undefined;
};

/** What is wrong with the TkeServiceConfigs that these owners of a load balancer name, and what of them is without effect; `order`: its kind. */
export function configProblems(deps: ConfigProblemsDeps, owners: readonly ObjectRef[], order: LoadBalancerOrder | undefined): Problem[] {
  const vain = new Map<ConfigRecord, readonly string[]>(); // looked at once for all of the owners: thousands may name one
  const problems: Problem[] = [];
  for (const owner of owners) {
    const intent = intentOfOwner(deps.intents.get(owner.uid));
    const name = intent?.configName;
    if (intent === undefined || name === undefined) continue;
    const config = deps.config(owner.namespace, name);
    // One that is made for its owner: it is being made, or whoever makes it says why not.
    if (config === undefined) {
      if (!isAutoConfigName(name)) problems.push(missing(owner, name));
      continue;
    }
    let sections = vain.get(config);
    if (sections === undefined) {
      sections = withoutLeaving(config, tunedInVain(config, deps.intents.askedThrough(owner.namespace, name)));
      vain.set(config, sections);
    }
    for (const fault of config.faults) problems.push(warn(owner, "InvalidServiceConfig", fault));
    for (const one of sections) problems.push(inVain(owner, config, one));
    const asked = { has: (key: string) => intent.ports.some(({ protocol, port }) => wishKey(protocol, port) === key) };
    for (const one of misfits(config, order, asked)) problems.push(misfit(owner, config, one));
  }
  return problems;
}

/** What is about to be taken out of one that we keep in step is nobody's mistake. */
function withoutLeaving({ auto }: ConfigRecord, sections: readonly string[]): readonly string[] {
  const leaving = new Set(auto?.isOurs ? auto.inStep : []);
  return sections.filter((section) => !leaving.has(section.replace(/^\w+ /, "")));
}

const warn = (object: ObjectRef, reason: EventReason, message: string): Problem => ({ object, type: "Warning", reason, message });

function missing(owner: ObjectRef, name: string): Problem {
  const kind = owner.kind === "Ingress" ? "Ingress" : "Service";
  const message = `${nameOf(owner)}: annotation ${keysOf(kind).config} names TkeServiceConfig "${name}", which does not exist in namespace ${owner.namespace}: create it or correct the name`;
  return warn(owner, "ServiceConfigMissing", tkeCode("E4043", message, kind));
}

/** Several owners may name one TkeServiceConfig, each for listeners of its own: what fits none of them is told. */
function inVain(owner: ObjectRef, config: ConfigRecord, section: string): Problem {
  const message = `TkeServiceConfig ${owner.namespace}/${config.name}: section ${section} of spec.loadBalancer has no effect: nothing that names it has such a listener or rule: correct it by protocol, port, domain and url, where specify-protocol counts`;
  return { object: owner, type: "Normal", reason: "NoEffect", message };
}

function misfit(owner: ObjectRef, { name }: ConfigRecord, { reason, what }: ConfigMisfit): Problem {
  const message = `TkeServiceConfig ${owner.namespace}/${name}: ${what}`;
  return { object: owner, type: reason === "NoEffect" ? "Normal" : "Warning", reason, message };
}

const intentOfOwner = (owner: OwnerIntent | undefined) => owner && intentOf(owner);
