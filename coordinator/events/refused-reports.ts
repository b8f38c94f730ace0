import type { Problem } from "../domain/problem.ts";
import type { Refusal, RefusedNode } from "../state/agent-refusal.ts";

const WHAT: Readonly<Record<Refusal, string>> = {
  name: "Pods with names, UIDs or addresses that cannot be",
  foreign: "Pods that the API server has on other nodes",
  unknown: "Pods that the API server does not have",
  contradicts: "of Pods what the API server says otherwise",
  limit: "more Pods than the node has room for, or more labels and ports than are kept of a node",
};

/** An Event for a Node whose agent was not believed; the log names the Pods. */
export const refusedReport = ({ name, uid }: RefusedNode, why: Refusal): Problem => ({
  object: { kind: "Node", namespace: "default", name, uid },
  type: "Warning",
  reason: "AgentRefused",
  message: `Node ${name}: its agent reported ${WHAT[why]}: that does not count, and nothing was bound or removed for it. The coordinator's log names them; where the agent is the one that you installed, whoever spoke had its token: look at who can read it, and delete the agent's Pod, which ends the token`,
});
