/** What a coordinator says to agents of its own accord, as messages of the wire. */
import type { HoldAnswer } from "../../common/holds.ts";
import type { ConnectResponse } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { toHoldAnswer } from "../../proto/wire-holds.ts";
import { toPodTask, toSecurityGroup } from "../../proto/wire-reachability.ts";
import type { Asking } from "../nodes/node-tasks.ts";

type Body = NonNullable<ConnectResponse["body"]>;

export function askingBody(asking: Asking): Body {
  if (asking.kind === "group") return { $case: "securityGroup", value: toSecurityGroup(asking.group) };
  return { $case: "tasks", value: { complete: asking.complete, pods: asking.pods.map(toPodTask), removed: [...asking.removed] } };
}

export const answersBody = (answers: readonly HoldAnswer[]): Body => ({
  $case: "holdAnswers",
  value: { pods: answers.map(toHoldAnswer) },
});
