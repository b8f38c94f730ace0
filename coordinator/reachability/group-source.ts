import { createHash } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import type { SecurityGroup } from "../../common/reachability.ts";
import type { VpcApi } from "../cloud/vpc-api.ts";
import { groupRules, type Policy, referencesIn } from "../domain/group-rules.ts";
import { LOOK_AGAIN_MS } from "./timing.ts";

export type GroupSourceDeps = {
  readonly api: Pick<VpcApi, "policies" | "members">;
  readonly push: (group: SecurityGroup) => void;
  readonly clock: Clock;
};

/** Rules of security groups, as old as somebody who waits allows. */
export interface GroupSource {
  /** Reads the group and what it refers to where that is older than 10 s, and pushes it. Rejects as the read does. */
  ensure(groupId: string, signal: AbortSignal): Promise<void>;
  /** Its rules were read, however long ago, and pushed. */
  has(groupId: string): boolean;
}

/** Groups that nobody asked for in so long are forgotten. */
const FORGET_MS = 600_000;

export function makeGroupSource({ api, push, clock }: GroupSourceDeps): GroupSource {
  const readAtMs = new Map<string, number>();
  const running = new Map<string, Promise<void>>();

  const read = async (groupId: string, signal: AbortSignal): Promise<void> => {
    const policies = await api.policies(groupId, signal);
    const members = await membersOf(policies, api, signal);
    const rules = groupRules(policies, { members });
    const version = createHash("sha256").update(JSON.stringify(rules)).digest("hex").slice(0, 16);
    push({ id: groupId, version, rules });
    readAtMs.set(groupId, clock.now());
    for (const [id, atMs] of readAtMs) if (atMs + FORGET_MS < clock.now()) readAtMs.delete(id);
  };
  return {
    has: (groupId) => readAtMs.has(groupId),
    ensure(groupId, signal) {
      if ((readAtMs.get(groupId) ?? Number.NEGATIVE_INFINITY) + LOOK_AGAIN_MS > clock.now()) return Promise.resolve();
      const present = running.get(groupId) ?? read(groupId, signal).finally(() => running.delete(groupId));
      running.set(groupId, present);
      return present;
    },
  };
}

/** Everything that these rules refer to, each read once, groups of templates with what is in them. */
async function membersOf(
  policies: readonly Policy[],
  api: Pick<VpcApi, "members">,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[] | string>> {
  const members = new Map<string, readonly string[] | string>();
  let due = [...new Set(policies.flatMap(referencesIn))];
  while (due.length > 0) {
    const read = await Promise.all(due.map(async (id) => [id, await api.members(id, signal)] as const));
    for (const [id, found] of read) members.set(id, found);
    const inner = read.flatMap(([id, found]) => (typeof found === "string" || !/^(ipmg|ppmg)-/.test(id) ? [] : found));
    due = [...new Set(inner)].filter((id) => !members.has(id));
  }
  return members;
}
