import { ClbApiError } from "../cloud/clb-error.ts";
import type { Reconcile } from "./worker.ts";

/** Code of a write that was not made. */
export const UNSENT = "PolicyObserve";
/** A pass that wants to write comes back so often, to see whether somebody else has done it. Milliseconds. */
const AGAIN_MS = 30_000;

/** A pass that came to a write that was not made has seen all there is to see: it did not fail. */
export const unlessUnsent =
  (reconcile: Reconcile): Reconcile =>
  async (key, signal) => {
    try {
      return await reconcile(key, signal);
    } catch (err) {
      if (!(err instanceof ClbApiError && err.call.code === UNSENT)) throw err;
      return { kind: "again", afterMs: AGAIN_MS, because: "the policy is to observe" };
    }
  };
