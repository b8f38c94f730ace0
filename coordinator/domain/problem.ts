import type { EventReason } from "./reasons.ts";

/** An object of the cluster that an Event can be about. */
export type ObjectRef = {
  /** A Node has no Namespace: Events about it are kept in "default". */
  readonly kind: "Service" | "Ingress" | "Pod" | "Node";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
};

/**
 * Something a person must know. `reason` is stable; `message` names object, field, value and fix and
 * holds nothing that changes from one pass to the next, because the same message is told once.
 */
export type Problem = {
  readonly object: ObjectRef;
  readonly type: "Warning" | "Normal";
  readonly reason: EventReason;
  readonly message: string;
};

/** TKE's text form, which runbooks grep for; what lies with the cloud or is only a warning is tried again. Source: tke-contract.md §7. */
export const tkeCode = (code: string, message: string, kind: "Service" | "Ingress" = "Service"): string =>
  `${kind}ErrorCode{Code:"${code}",Message:"${message}",Retry:${/^(E5|W|E4000)/.test(code)}}`;
