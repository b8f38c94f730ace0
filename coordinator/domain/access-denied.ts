import { tkeCode } from "./problem.ts";

/** A call that the key may not make, e.g. { action: "CreateListener", code: "UnauthorizedOperation", words: "you are not authorized …" }. */
export type DeniedCall = { readonly action: string; readonly code: string; readonly words: string };

/** What is said of it. `at` is whom it holds up, e.g. "Service shop/web, load balancer lb-1". */
export function accessDenied(
  at: string,
  { action, code, words }: DeniedCall,
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
