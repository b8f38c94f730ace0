import type { PortTask, SourceSet, SourceVerdict } from "../../../common/reachability.ts";
import type { CompiledGroup } from "./group.ts";
import { EVERYBODY, type Judgement, judge } from "./judge.ts";
import { addressesOf, common } from "./ranges.ts";

/** The group of an id, once it was pushed. */
export type GroupOf = (id: string) => CompiledGroup | undefined;

/** Pure: what the security groups of a port do with each set of senders. `ip` is the Pod's, whose family counts. */
export function groupVerdicts(task: PortTask, ip: string, groupOf: GroupOf): SourceVerdict[] {
  return task.sources.map((source) => ({ kind: source.kind, ...verdictFor(task, source, ip.includes(":") ? "v6" : "v4", groupOf) }));
}

function verdictFor(task: PortTask, source: SourceSet, family: "v4" | "v6", groupOf: GroupOf): Pick<SourceVerdict, "verdict" | "because"> {
  if (task.groups.length === 0) return { verdict: "unknown", because: task.unjudged };
  const missing = [...task.groups, ...source.admittedBy].find((id) => groupOf(id) === undefined);
  if (missing !== undefined) return { verdict: "unknown", because: `the rules of ${missing} have not been read yet` };
  const found = (ids: readonly string[]): CompiledGroup[] => ids.flatMap((id) => groupOf(id) ?? []);
  const { addresses } = addressesOf(source.addresses);
  const all = common(addresses[family], EVERYBODY[family]);
  if (all.length === 0) return { verdict: "unknown", because: `no IP${family} address is known of who sends` };
  const asked: Pick<Judgement, "admitted" | "isExact" | "because"> =
    source.admittedBy.length === 0 ? { admitted: all, isExact: true, because: "" } : judge(found(source.admittedBy), source, all, family);
  if (!asked.isExact && asked.admitted.length === 0) return { verdict: "unknown", because: asked.because };
  const { verdict, because } = judge(found(task.groups), task, asked.admitted, family);
  return { verdict, because };
}
