import type { BlockList } from "node:net";
import type { Clock } from "../../../../common/clock.ts";
import type { Network } from "../../model/network.ts";
import type { Vips } from "../../model/vips.ts";
import type { AccountChanges } from "../../runtime/account-changes.ts";
import type { Health } from "../../runtime/health.ts";
import type { ClbAnswers, Limits } from "../../runtime/options.ts";
import type { Random } from "../../runtime/random.ts";
import type { TargetChanges } from "../../runtime/target-changes.ts";
import type { Tasks } from "../../runtime/tasks.ts";
import type { Writes } from "../../runtime/writes.ts";

/** What CreateLoadBalancer answered to a ClientToken, by the token. */
export type ClientTokens = Map<string, { readonly taskId: string; readonly loadBalancerIds: readonly string[]; readonly dealName: string }>;

/** What a call needs that starts a task: the task, and what it does to the account in the end, e.g. `Writing<"addRules">`. */
export type Writing<Change extends keyof AccountChanges> = {
  readonly writes: Pick<Writes, "requireFree" | "start">;
  readonly changes: Pick<AccountChanges, Change>;
};

/** All that the CLB service needs beside the account; each action takes its own part of it. */
export type ClbPorts = {
  readonly writes: Writes;
  readonly changes: AccountChanges;
  readonly targets: TargetChanges;
  readonly tasks: Pick<Tasks, "find" | "alias">;
  readonly health: Pick<Health, "reconfigure">;
  readonly network: Network;
  /** Addresses that may be bound where nobody described ENIs. */
  readonly backends: Pick<BlockList, "check">;
  readonly vips: Vips;
  readonly clientTokens: ClientTokens;
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
  readonly limits: Limits;
  readonly region: string;
  /** How it answers where the evidence has two sides. */
  readonly answers: ClbAnswers;
  /** Assumed (clb-api.md §9): whether the good targets of a listener in FailListenerIdSet are bound. */
  readonly keepGoodTargetsOfFailedListener: boolean;
};
