import { randomBytes } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { DrainWish, LandingNode } from "../domain/admission/drain-mode.ts";
import { DrainModes, type DrainModesDeps } from "./drain-modes.ts";
import { makeHasSleep } from "./has-sleep.ts";
import type { HookFor } from "./review.ts";

/** By what the mode of a Pod's hook is chosen. */
export type DrainsDeps = {
  readonly nodes: { readonly records: ReadonlyMap<string, LandingNode> };
  readonly holds: { readonly proofOf: DrainModesDeps["proofOf"] };
  readonly client: Pick<KubeClient, "get">;
  /** How long a Pod sleeps that is not held. */
  readonly drainTimes: { readonly sleepSeconds: number };
};

export type HooksDeps = {
  /** Undefined: no Pod gets a hook. */
  readonly drains?: DrainsDeps;
  readonly drainMode: DrainWish;
  readonly clock: Clock;
  readonly log: Logger;
};

/** The hook of each Pod: its mode, and a token of its own. */
export function hooksBy({ drains, drainMode: wish, clock, log }: HooksDeps): HookFor | undefined {
  if (drains === undefined) return undefined;
  const { nodes, holds, drainTimes } = drains;
  const modes = new DrainModes({
    wish,
    nodes: () => nodes.records.values(),
    proofOf: (node) => holds.proofOf(node),
    hasSleep: makeHasSleep({ client: drains.client, clock }),
    clock,
    log,
  });
  return (pod, selecting) => {
    const { mode, because, isLess } = modes.of(pod, selecting);
    const why = isLess ? { because } : {};
    switch (mode) {
      case "hold":
        return { mode, token: randomBytes(16).toString("base64url"), ...why };
      case "sleep":
        return { mode, seconds: drainTimes.sleepSeconds, ...why };
      case "none":
        return { mode, ...why };
      default:
        return mode satisfies never;
    }
  };
}
