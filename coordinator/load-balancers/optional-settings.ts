import { type ClbApiError, isArrears, isDenied, isGone, isLocked, isQuota } from "../cloud/clb-error.ts";
import type { NewListeners } from "../domain/call.ts";

/** A listener that goes without some of what was wished for it, e.g. { settings: ["scheduler LEAST_CONN"] } are left out of `create`. */
export type LeftOut = { readonly create: NewListeners; readonly settings: readonly string[] };

/** Codes that speak of a setting, or may: what an account or a protocol does not have is refused by any of them. Source: clb-api.md §1.6. */
const OF_SETTINGS = /^(InvalidParameter|InvalidParameterValue|FailedOperation|UnsupportedOperation|UnknownParameter)(\.|$)/;
/** These speak of the port, which is not optional. Source: clb-api.md §1.6. */
const OF_PORT = /PortCheckFailed|ProtocolCheckFailed|Duplicate/;

/** The refusal may be about a setting that the listener can go without. */
export function mayBeSetting({ ambiguous, call: { code } }: ClbApiError): boolean {
  if (ambiguous || isLocked(code) || isGone(code) || isQuota(code) || isDenied(code) || isArrears(code)) return false;
  return OF_SETTINGS.test(code) && !OF_PORT.test(code);
}

/** It may also be about nothing at all, and be over: the same is asked for once more before anything is left out. */
export const mayPass = ({ call: { code } }: ClbApiError): boolean => code === "FailedOperation";

/** The same listener without one optional setting after the other, at last without all; none where nothing optional is asked for. */
export function fewerSettings(create: NewListeners): readonly LeftOut[] {
  const { healthCheck, scheduler, settings, ...bare } = create;
  const check = Object.entries(healthCheck).map(([name, value]) => `healthCheck ${name} ${value}`);
  const spread = [
    ...(scheduler === undefined ? [] : [`scheduler ${scheduler}`]),
    ...Object.entries(settings ?? {}).map(([name, value]) => `${name} ${value}`),
  ];
  const ways: LeftOut[] = [];
  if (check.length > 0) ways.push({ create: { ...create, healthCheck: {} }, settings: check });
  if (spread.length > 0) ways.push({ create: { ...bare, healthCheck }, settings: spread });
  if (ways.length > 1) ways.push({ create: { ...bare, healthCheck: {} }, settings: [...check, ...spread] });
  return ways;
}
