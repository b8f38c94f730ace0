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

const TOKEN_BYTES = 16;
/** Drawn at once: a draw of its own for each Pod costs more than the rest of its hook. */
const TOKENS_DRAWN = 256;

/** Tokens, each one used once, e.g. "Jq3xw0Vb2yQm8h1oXr5cZA". */
function makeTokens(): () => string {
  let drawn = Buffer.alloc(0);
  return () => {
    if (drawn.length === 0) drawn = randomBytes(TOKENS_DRAWN * TOKEN_BYTES);
    const token = drawn.toString("base64url", 0, TOKEN_BYTES);
    drawn = drawn.subarray(TOKEN_BYTES);
    return token;
  };
}

/** The hook of each Pod: its mode, and a token of its own. */
export function hooksBy({ drains, drainMode: wish, clock, log }: HooksDeps): HookFor | undefined {
  if (drains === undefined) return undefined;
  const { nodes, holds, drainTimes } = drains;
  const hasSleep = makeHasSleep({ client: drains.client, clock });
  hasSleep(); // asks: the first Pod shall not have to do without a sleep because nobody has answered yet
  const modes = new DrainModes({
    wish,
    nodes: () => nodes.records.values(),
    proofOf: (node) => holds.proofOf(node),
    hasSleep,
    clock,
    log,
  });
  const tokenOf = makeTokens();
  return (pod, selecting) => {
    const { mode, because, isLess } = modes.of(pod, selecting);
    const why = isLess ? { because } : {};
    switch (mode) {
      case "hold":
        return { mode, token: tokenOf(), ...why };
      case "sleep":
        return { mode, seconds: drainTimes.sleepSeconds, ...why };
      case "none":
        return { mode, ...why };
      default:
        return mode satisfies never;
    }
  };
}
