import { tkeCode } from "./problem.ts";
import type { FaultReason } from "./reasons.ts";

/**
 * A call that the cloud refuses, e.g. { action: "CreateListener", code: "UnauthorizedOperation", words: "you are not authorized …", cause:
 * "denied" }. `denied`: the key may not make it; `failing`: refused for another reason; `unanswered`: no answer comes.
 */
export type RefusedCall = {
  readonly action: string;
  readonly code: string;
  readonly words: string;
  readonly cause: "denied" | "failing" | "unanswered";
};

/** What is said of it. `at` is whom it holds up, e.g. "Service shop/web, load balancer lb-1". */
export function refusedCall(at: string, call: RefusedCall): { readonly reason: FaultReason; readonly message: string } {
  if (call.cause === "denied") return accessDenied(at, call);
  const { action, code, words } = call;
  const said = `${at}: clb:${action} has failed for more than a minute: ${code}: ${words}. ${hintOf(call)}It is tried again every 30 s at last`;
  return { reason: "CloudCallFailed", message: tkeCode("E5003", said) };
}

function hintOf({ code, cause }: RefusedCall): string {
  if (cause === "unanswered") return "The cloud's API cannot be reached from the coordinator. ";
  if (/ResourceInOperating/.test(code))
    return "Another writer keeps the load balancer locked: see who changes it in the console or by another tool. ";
  if (code.startsWith("RequestLimitExceeded")) return "Others use up the account's calls per second for this action. ";
  return "";
}

/** What is said of it. `at` is whom it holds up, e.g. "Service shop/web, load balancer lb-1". */
export function accessDenied(
  at: string,
  { action, code, words }: Pick<RefusedCall, "action" | "code" | "words">,
): { readonly reason: "CloudAccessDenied"; readonly message: string } {
  const { fix, tke } = fixOf(code, action);
  const message = `${at}: the cloud denies clb:${action}: ${code}: ${words}. ${fix}; it is tried again at least every 30 s`;
  return { reason: "CloudAccessDenied", message: tke === undefined ? message : tkeCode(tke, message) };
}

/** `tke`: TKE's code for the same cause. Source: tke-contract.md §7. */
function fixOf(code: string, action: string): { readonly fix: string; readonly tke?: string } {
  if (/UnauthorizedOperation/.test(code)) return { tke: "E4007", fix: `Allow clb:${action} in the policy (CAM) of the coordinator's key` };
  if (/Region/.test(code)) return { fix: "Correct CLB_REGION of the coordinator" };
  if (/SignatureExpire/.test(code)) return { fix: "Correct the clock of the coordinator's Node" };
  return { fix: "The coordinator's key is wrong, revoked or expired: correct Secret clb-direct-cloud" };
}

/** TKE's code where a certificate is why the cloud refuses a listener or rule; undefined: it is not. Source: tke-contract.md §2. */
export function certificateCode(refusal: string): "E4036" | "E4038" | "E4039" | undefined {
  if (!/certificate/i.test(refusal)) return undefined;
  if (/expired/i.test(refusal)) return "E4039";
  if (/not ?found|not exist|NotExist/i.test(refusal)) return "E4036";
  return /type|kind/i.test(refusal) ? "E4038" : undefined;
}
