/** Rows of `npm run proof:rollout`, apart from what makes them: its options are read before that is loaded. */

/**
 * `product`: a user's plain Pods, all else comes from the webhook; `no-hold`: gates, and a preStop of the user's own that does nothing;
 * `sleep-5`: gates, and the usual sleep; `no-gate`: Pods that are left alone; `late-service`: plain Pods that were there before their
 * Service, first rollout; `agents-killed`: as `product`, with the agents and hold servers of both nodes killed in the middle; `holds-hang`:
 * as `product`, with the hold servers of both nodes stopped (SIGSTOP) in the middle.
 */
export const MODES = ["product", "no-hold", "sleep-5", "no-gate", "late-service", "agents-killed", "holds-hang"] as const;
export type Mode = (typeof MODES)[number];
