/** Agents that connect to the ports of their Pods, in virtual time: a port answers so long after its Pod was born. They judge by groups as agents do. */
import { type CompiledGroup, compileGroup } from "../../../agent/domain/reachability/group.ts";
import { groupVerdicts } from "../../../agent/domain/reachability/verdict.ts";
import type { Clock } from "../../../common/clock.ts";
import type { PodTask } from "../../../common/reachability.ts";
import type { NodeTasks } from "../../../coordinator/nodes/node-tasks.ts";
import type { Cluster } from "./cluster.ts";

/** An agent tries a port that is not open so often. Milliseconds; the agent's own choice. */
const AGAIN_MS = 1_000;

/** Answers what this node's agent is asked, until `over` aborts. */
export function probing(
  findings: NodeTasks,
  node: string,
  from: { clock: Clock; cluster: Cluster; listenMs: number; answerMs: number },
  over: AbortSignal,
): void {
  const { clock, cluster, listenMs, answerMs } = from;
  const tasks = new Map<string, PodTask>();
  const groups = new Map<string, CompiledGroup>();
  const stream = findings.attach(node, async (asking) => {
    if (asking.kind === "group") groups.set(asking.group.id, compileGroup(asking.group));
    if (asking.kind !== "tasks") return;
    for (const uid of asking.removed) tasks.delete(uid);
    for (const task of asking.pods) {
      const isKnown = tasks.has(task.uid);
      tasks.set(task.uid, task);
      if (!isKnown) void probe(task.uid);
    }
    await Promise.resolve();
  });
  const probe = async (uid: string): Promise<void> => {
    await clock.sleep(answerMs, over).catch(() => undefined);
    for (let task = tasks.get(uid); task !== undefined && !over.aborted; task = tasks.get(uid)) {
      const bornMs = cluster.lives.find((life) => life.uid === uid)?.bornMs ?? 0;
      const isOpen = clock.now() >= bornMs + listenMs;
      const result = isOpen
        ? ({ probe: "open", probeText: "" } as const)
        : ({ probe: "refused", probeText: "connect ECONNREFUSED" } as const);
      const { ip } = task;
      const ports = task.ports.map((port) => ({ key: port.key, ...result, sources: groupVerdicts(port, ip, (id) => groups.get(id)) }));
      stream.verdicts([{ uid, ports }]);
      await clock.sleep(isOpen ? 60_000 : AGAIN_MS, over).catch(() => undefined);
    }
  };
  over.addEventListener("abort", () => stream.close(), { once: true });
}
