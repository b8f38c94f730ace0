import type { Clock } from "../../common/clock.ts";
import type { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import { type ClbApiError, isThrottled } from "../cloud/clb-error.ts";
import type { Call } from "../domain/call.ts";
import { callItems } from "../domain/plan/call-items.ts";
import { type Lanes, workOf } from "./lanes.ts";
import type { RefusedItems } from "./refused-items.ts";

type Deps = { readonly refusedItems: RefusedItems; readonly lanes: Lanes; readonly clock: Clock; readonly log: Logger };

/** So many failures of one lane in a row are believed to pass at once; of the cloud's, they delay the whole load balancer, which keeps the order of the lanes. */
const PASSING_FAILURES = 2;
/** A longer wait is never the other lanes' wait, nor that of a drain or a conflict: the Pods behind these sleep for seconds before they end. */
const LONG_MS = 5_000;
/** A drain or a conflict is tried again so soon, whatever the error says, as long as it may pass at once. */
const URGENT_RETRY_MS = 500;
const CLAIM_RETRY_MS = 1_000;

/** After a call that failed waits what it is about: items that were refused, else its lane, else (throws `err`) the load balancer for a moment. */
export function pauseAfterFailedCall({ refusedItems, lanes, clock, log }: Deps, id: string, call: Call, err: ClbApiError): void {
  if (isThrottled(err.call.code)) return; // the rate limit says when the next call of this action goes; nothing else waits for that
  const items = callItems(call);
  const first = items[0]?.key;
  const giveWayMs = refusedItems.failed(id, call, err, clock.now());
  if (giveWayMs !== undefined) {
    log.warn({ err, loadBalancerId: id, lane: call.lane, items: items.length, first }, "call refused, what is bad in it is left out");
    if (giveWayMs > 0) lanes.pause(id, workOf(call), clock.now() + giveWayMs);
    return;
  }
  const askedMs = err.remedy.kind === "retryAfter" ? err.remedy.delayMs : 1_000;
  const mayPass = lanes.failed(id, workOf(call)) <= PASSING_FAILURES;
  if (mayPass && askedMs <= LONG_MS) throw err;
  const isUrgent = call.lane === "drain" || call.lane === "conflict";
  const soonMs = isUrgent ? Math.min(askedMs, mayPass ? URGENT_RETRY_MS : LONG_MS) : askedMs;
  const waitMs = Math.max(soonMs, lanes.restMs(id, workOf(call), clock.now()));
  log.warn({ err, loadBalancerId: id, lane: call.lane, items: items.length, first, waitMs }, "call failed, the other lanes go on");
  lanes.pause(id, workOf(call), clock.now() + waitMs);
}

/** A claim could not be stored, and nothing was asked of the cloud: only what needs the claim waits, from the first failure on. */
export function pauseAfterFailedClaim(
  { lanes, clock, log }: Omit<Deps, "refusedItems">,
  id: string,
  lane: "bind" | "adopt",
  err: KubeApiError,
): void {
  const soonMs = lanes.failed(id, lane) <= PASSING_FAILURES ? CLAIM_RETRY_MS : LONG_MS;
  const waitMs = Math.max(soonMs, lanes.restMs(id, lane, clock.now()));
  log.warn({ err, loadBalancerId: id, lane, waitMs }, "addresses not claimed, the other lanes go on");
  lanes.pause(id, lane, clock.now() + waitMs);
}
