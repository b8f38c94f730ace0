import { ClbCall, type ClbCallDeps } from "./clb-call.ts";
import { makeClbReads } from "./clb-reads.ts";
import { makeClbWrites } from "./clb-writes.ts";

/** One method per action in use. Every method rejects with ClbApiError, or with the signal's reason. Writes resolve when their task is over. */
export type ClbApi = ReturnType<typeof makeClbApi>;

export function makeClbApi(deps: ClbCallDeps) {
  const clb = new ClbCall(deps);
  return { ...makeClbReads(clb), ...makeClbWrites(clb) };
}
