/** Histories for the differential fuzzer: what people, Pods and the cloud do, drawn from a seed. Nothing in them depends on what a coordinator does. */
import { makeRandom } from "../../../cloud/runtime/random.ts";

export const APPS = ["one", "two"] as const;
type App = (typeof APPS)[number];

/** One thing that happens, so long after the one before. Milliseconds. */
export type Step = { readonly afterMs: number } & (
  | { readonly kind: "start" | "end"; readonly app: App; readonly count: number }
  | {
      readonly kind:
        | "name-other"
        | "name-none"
        | "mistype"
        | "mistype-access"
        | "undo"
        | "vanish"
        | "recreate"
        | "rename"
        | "switch-off"
        | "records-deleted"
        | "records-edited";
      readonly app: App;
    }
  | { readonly kind: "unbind-by-hand" | "weigh-by-hand"; readonly app: App; readonly at: number }
  | { readonly kind: "agent-away" | "agent-back" | "agent-lies" | "node-deleted" | "node-back"; readonly node: number }
  | { readonly kind: "ports"; readonly app: App; readonly ports: string }
  | { readonly kind: "throttled" | "slow"; readonly forMs: number }
  | { readonly kind: "records-swapped" }
);
/** The leader is killed so long after the beginning, and replaced after a while. Milliseconds. */
export type Kill = { readonly atMs: number; readonly awayMs: number };
export type History = { readonly steps: readonly Step[]; readonly kills: readonly Kill[] };

const EDITS = ["name-other", "name-none", "mistype", "mistype-access", "undo"] as const;
const ONCE = ["rename", "switch-off", "vanish", "records-deleted", "records-edited"] as const;
const AGENTS = ["agent-away", "agent-back", "agent-lies", "node-deleted", "node-deleted", "node-back"] as const;
/** What the Service asks for; port 90 is a foreign listener's. */
const PORTS = ["TCP80", "TCP81", "UDP80", "TCP80 TCP82", "TCP90", "SCTP80", "TCP80 SCTP81"] as const;

const OTHER_ROW = 1_000_000;

export function historyOf(seed: number): History {
  const random = makeRandom(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const one = <T>(all: readonly T[]): T => all[below(all.length)] as T;
  const used = new Set<string>();
  const steps: Step[] = [];
  const count = 4 + below(10);
  for (let n = 0; n < count; n++) {
    const afterMs = one([50, 400, 2_000, 9_000, 30_000, 70_000]) + below(500);
    const app = one(APPS);
    const dice = random();
    if (dice < 0.35) steps.push({ afterMs, kind: one(["start", "end"]), app, count: 1 + below(3) });
    else if (dice < 0.55) steps.push({ afterMs, kind: one(EDITS), app });
    else if (dice < 0.75) {
      const kind = one(ONCE);
      if (used.has(`${kind} ${app}`)) continue; // a listener that is renamed twice is another story, and depends on what was seen between
      used.add(`${kind} ${app}`);
      steps.push({ afterMs, kind, app });
      if (kind === "vanish") steps.push({ afterMs: one([500, 5_000, 65_000]), kind: "recreate", app });
    } else if (dice < 0.85) steps.push({ afterMs, kind: one(["unbind-by-hand", "weigh-by-hand"]), app, at: below(4) });
    else if (dice < 0.91) steps.push({ afterMs, kind: one(AGENTS), node: below(4) });
    else if (dice < 0.96) steps.push({ afterMs, kind: "ports", app, ports: one(PORTS) });
    else steps.push({ afterMs, kind: one(["throttled", "slow"]), forMs: 5_000 + below(15_000) });
  }
  // Of another row of numbers, so that all else of a seed is as it was before there was this.
  const other = makeRandom(seed + OTHER_ROW);
  if (other() < 0.15)
    steps.splice(Math.floor(other() * steps.length), 0, { afterMs: Math.floor(other() * 9_000), kind: "records-swapped" });
  const lengthMs = steps.reduce((sum, { afterMs }) => sum + afterMs, 20_000);
  const kills = Array.from({ length: 1 + below(3) }, () => ({ atMs: below(lengthMs), awayMs: 100 + below(4_000) })).sort(
    (a, b) => a.atMs - b.atMs,
  );
  return { steps, kills };
}
