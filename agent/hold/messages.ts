/** What the agent and the hold server of one Pod say to each other over their socket: a line of JSON each. */
import * as z from "zod";
import { HOLD_ENDS, HOLD_STATES } from "../../common/holds.ts";

const Deletion = z.object({ atMs: z.number(), graceSeconds: z.number() });
const HoldPod = z.object({
  uid: z.string(),
  /** E.g. "demo/web-1". */
  name: z.string(),
  ips: z.array(z.string()),
  token: z.string(),
  /** spec.terminationGracePeriodSeconds */
  graceSeconds: z.number(),
  deletion: Deletion.optional(),
});
/** A Pod of the node whose preStop calls come here. */
export type HoldPod = z.output<typeof HoldPod>;

const Answer = z.object({
  uid: z.string(),
  state: z.enum(HOLD_STATES),
  reason: z.string(),
  terminating: z.boolean(),
  deletionAtMs: z.number().optional(),
  graceSeconds: z.number().optional(),
  drainMs: z.number(),
});

const FromAgent = z.discriminatedUnion("kind", [
  /** `complete`: these are all, whatever was said before. `removed`: they have ended; `absent`: a list lacks them, which proves nothing. */
  z.object({
    kind: z.literal("pods"),
    complete: z.boolean(),
    pods: z.array(HoldPod),
    removed: z.array(z.string()),
    absent: z.array(z.string()).optional(),
  }),
  z.object({ kind: z.literal("answers"), answers: z.array(Answer) }),
]);
export type FromAgent = z.output<typeof FromAgent>;

const Held = z.object({ uid: z.string(), heldMs: z.number(), openConnections: z.number().optional() });
const Released = z.object({
  uid: z.string(),
  end: z.enum(HOLD_ENDS),
  lowered: z.boolean(),
  heldMs: z.number(),
  /** SIGTERM did not wait for it: the Pod was deleted by force, or the kubelet hung up. */
  killed: z.boolean(),
  /** From weight 0 on; absent where it never came to that. */
  drainMs: z.number().optional(),
});
const FromHold = z.discriminatedUnion("kind", [
  /** All that wait now. `stopping`: the server got SIGTERM and finishes these. */
  z.object({ kind: z.literal("held"), stopping: z.boolean(), pods: z.array(Held) }),
  z.object({ kind: z.literal("released"), pod: Released }),
  /** New connections that came to a Pod after its calls were answered. */
  z.object({ kind: z.literal("late"), connections: z.number() }),
  z.object({ kind: z.literal("proof"), proven: z.boolean(), because: z.string() }),
]);
export type FromHold = z.output<typeof FromHold>;
/** With how long the drain took, for metrics. */
export type Released = z.output<typeof Released>;

/** Throws on what is no such message. */
export const readFromAgent = (line: string): FromAgent => FromAgent.parse(JSON.parse(line));
export const readFromHold = (line: string): FromHold => FromHold.parse(JSON.parse(line));
export const lineOf = (message: FromAgent | FromHold): string => `${JSON.stringify(message)}\n`;

/** Far more than all Pods of a node need. */
const LONGEST_LINE = 4 * 1024 * 1024;

/** Splits a stream of text into lines. Throws RangeError on one that is too long. */
export function makeLines(onLine: (line: string) => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LONGEST_LINE) throw new RangeError(`a line of more than ${LONGEST_LINE} characters`);
    for (const line of lines) if (line !== "") onLine(line);
  };
}
