import { isLayer7, LISTENER_PROTOCOLS, type Listener, transportOf } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import type { Selection } from "./backends.ts";
import type { RecordedSettings, WantedListener } from "./desired-load-balancer.ts";
import { formerRules, type OwnAddress } from "./former-rules.ts";
import type { IntentPort } from "./intent-port.ts";
import { NO_TARGETS, wishOf } from "./place-wishes.ts";
import type { ServiceIntent } from "./service.ts";

/** A listener that its owner asks for no more, as it is looked after until it goes; none where nobody can tell. */
export function formerListener(
  listener: Listener,
  owner: ObjectRef,
  intent: ServiceIntent,
  selected: (port: IntentPort) => Selection,
  { settings, address }: FormerInput,
): WantedListener[] {
  const port = formerPort(listener, intent.ports);
  if (port === undefined) return formerLayer7(listener, owner, intent, selected, address);
  const { protocol, port: number } = port;
  const wish = wishOf({}, settings?.(owner, port));
  return [{ name: listener.name, owner, protocol, port: number, ...wish, former: true, ...selected(port) }];
}

/** A listener with rules that its owner asks for no more; none where it has no rules. */
function formerLayer7(
  listener: Listener,
  owner: ObjectRef,
  { ports }: ServiceIntent,
  selected: (port: IntentPort) => Selection,
  address: OwnAddress | undefined,
): WantedListener[] {
  const { name, port } = listener;
  const protocol = LISTENER_PROTOCOLS.find((one) => one === listener.protocol);
  if (protocol === undefined || !isLayer7(protocol)) return [];
  const rules = formerRules(listener, undefined, ports, selected, address);
  return [{ name, owner, protocol, port, ...NO_TARGETS, rules: [], formerRules: rules, former: true }];
}

/**
 * What a listener that its owner asks for no more was asked for, as far as can be seen from what is bound there: the port that most of its
 * targets have; where nothing is bound, that of the only port that the owner asks for. Undefined: of layer 7, or nobody can tell.
 */
function formerPort({ protocol: shown, port, targets }: Listener, present: readonly IntentPort[]): IntentPort | undefined {
  const protocol = LISTENER_PROTOCOLS.find((one) => one === shown);
  if (protocol === undefined || isLayer7(protocol)) return undefined;
  const counts = new Map<number, number>();
  for (const target of targets) counts.set(target.port, (counts.get(target.port) ?? 0) + 1);
  const [most] = [...counts].sort(([portA, countA], [portB, countB]) => countB - countA || portA - portB);
  const [only, ...others] = present.filter((one) => transportOf(one.protocol) === transportOf(protocol));
  const targetPort = most?.[0] ?? (others.length === 0 ? only?.targetPort : undefined);
  return targetPort === undefined ? undefined : { protocol, port, targetPort };
}

type FormerInput = {
  readonly settings?: (owner: ObjectRef, port: IntentPort) => RecordedSettings | undefined;
  readonly address?: OwnAddress | undefined;
};
