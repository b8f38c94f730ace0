import type { Clock } from "../../../common/clock.ts";
import type { CallFaults, SentAs } from "../faults/effects.ts";
import type { FaultyCall } from "../faults/faults.ts";
import { CloudError } from "../model/errors.ts";
import type { Caller } from "../runtime/call.ts";
import type { Profile } from "../runtime/options.ts";
import type { Random } from "../runtime/random.ts";
import { makeRateLimit } from "../runtime/rate-limit.ts";
import type { Service } from "../services/index.ts";

/** One call; `isWrite` and `faults` are filled in on its way, for the journal. */
export type Asked = {
  readonly service: string;
  readonly action: string;
  readonly request: unknown;
  readonly caller: Caller;
  readonly requestId: string;
  readonly loadBalancerIds: readonly string[];
  isWrite: boolean;
  faults: readonly string[];
};

export type AnswerPorts = {
  readonly services: ReadonlyMap<string, Service>;
  readonly faultsOf: (call: FaultyCall) => CallFaults;
  readonly clock: Clock;
  readonly random: Random;
  readonly stopped: AbortSignal;
  readonly apiLatencyMs: Profile["apiLatencyMs"];
  /** Calls per second of an action that belongs to no service. */
  readonly otherPerSecond: number;
};

/** Order of the checks: clb-api.md §8.3 (the signature came before, in the HTTP shell). Rejects with CloudError or TransportFault. */
export function makeAnswer(ports: AnswerPorts): (asked: Asked) => Promise<object & SentAs> {
  const { services, clock } = ports;
  const rateLimit = makeRateLimit();

  return async (asked) => {
    const { service, action, request, caller, requestId, loadBalancerIds } = asked;
    const offered = services.get(service);
    const row = offered !== undefined && Object.hasOwn(offered.actions, action) ? offered.actions[action] : undefined;
    asked.isWrite = row?.isWrite ?? false;
    rateLimit(`${service}.${action} ${caller.region} ${caller.name}`, offered?.perSecond ?? ports.otherPerSecond, clock.now());
    const faults = ports.faultsOf({ service, action, caller: caller.name, isWrite: asked.isWrite, loadBalancerIds });
    asked.faults = faults.kinds;
    faults.cutOff();
    const latencyMs = latencyOf(asked, ports) + faults.delayMs;
    if (latencyMs > 0) await clock.sleep(latencyMs, ports.stopped); // even a sleep of 0 costs a timer
    faults.refuse();
    if (row === undefined) throw new CloudError("InvalidAction", `The action ${action} of ${service} is not known.`);
    row.check(request);
    return faults.answer(await row.run(request, { action, requestId, account: faults.account(), faults: faults.onWrite }));
  };
}

function latencyOf({ action, isWrite }: Asked, { apiLatencyMs, random }: Pick<AnswerPorts, "apiLatencyMs" | "random">): number {
  const { byAction = {}, write, default: other, jitterPct } = apiLatencyMs;
  const middle = byAction[action] ?? (isWrite ? write : other);
  return middle * (1 + ((random() * 2 - 1) * jitterPct) / 100);
}
