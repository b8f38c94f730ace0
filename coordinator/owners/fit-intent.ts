import { OWNER_TAG } from "../../common/names.ts";
import { KEYS } from "../domain/intent/annotation-keys.ts";
import { type ServiceIntent, type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";

/** What a Service asks for, at the load balancer that it has: the family of addresses is its own, and of a user's one less is changed. */
export function fitIntent(
  intent: ServiceIntent,
  { annotations, uid }: Pick<ServiceRecord, "annotations" | "uid">,
  facts: LoadBalancerFacts | undefined,
): ServiceIntent {
  if (facts === undefined) return intent;
  const isIpv6 = annotations[KEYS.mixTargetPrefer] === undefined && facts.order?.["AddressIPVersion"] === "IPv6FullChain";
  const fitted: ServiceIntent = isIpv6 ? { ...intent, family: "ipv6" } : intent;
  if (facts.tags[OWNER_TAG] === uid || fitted.settings?.passToTarget === undefined) return fitted;
  const { passToTarget: _told, ...settings } = fitted.settings;
  return { ...fitted, settings };
}

/** Of a user's load balancer `pass-to-target` is not changed; that it is otherwise is told. Undefined: there is nothing to tell. */
export function passToTargetProblem({ settings }: ServiceIntent, service: ServiceRecord, facts: LoadBalancerFacts): Problem | undefined {
  const [wanted, has] = [settings?.passToTarget, facts.settings?.passToTarget];
  if (facts.tags[OWNER_TAG] === service.uid || wanted === undefined || has === undefined || wanted === has) return undefined;
  const message = `Service ${service.namespace}/${service.name}: annotation ${KEYS.passToTarget} is "${wanted}", and load balancer ${facts.loadBalancerId}, which is yours, has ${has}: it is not changed; change it in the console, or correct the annotation`;
  return { object: serviceRef(service), type: "Warning", reason: "NotHonoured", message };
}
