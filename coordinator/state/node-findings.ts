import type { NodeFacts, PodTask, PodVerdict, SecurityGroup } from "../../common/reachability.ts";

/** What agents are asked about Pods, and what they found. Only the replica that leads asks. */
export interface NodeFindings {
  /** Asks the agent of the node, now or when it connects; replaces what was asked of this Pod before. */
  ask(node: string, task: PodTask): void;
  /** The Pod is over, or nobody wants it bound. */
  forget(podUid: string): void;
  /** The rules of a group as they are now: told to every agent that judges by it. */
  push(group: SecurityGroup): void;
  /** This replica asks nothing any more. */
  clear(): void;
  /** The agent's latest word on what is asked now. */
  verdictOf(podUid: string): PodVerdict | undefined;
  /** Whether an agent of that node is connected, who would answer. */
  hasAgent(node: string): boolean;
  /** What the metadata service told the node's agent. */
  nodeFacts(node: string): NodeFacts | undefined;
  /** Called after a verdict about this Pod has come; must not throw. Returns the way to unsubscribe. */
  follow(listener: (podUid: string) => void): () => void;
}
