import * as z from "zod";
import { parseScript } from "../input/yaml-script.ts";
import { actionNames } from "../services/index.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const TIMES = 'must be a number of ms or a text such as "500ms", "10s", "5m", "1h"';
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/;

/** 1500, "500ms", "10s", "5m" or "1h", on the cloud's clock; becomes ms. */
const duration = z.union([z.number().min(0), z.string().regex(DURATION, TIMES)], TIMES).transform((given) => {
  if (typeof given === "number") return given;
  const [, amount = "", unit = ""] = DURATION.exec(given) ?? [];
  return Number(amount) * (UNITS[unit] ?? 1);
});

const names = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], "must be a name or a list of names")
  .transform((given) => (typeof given === "string" ? [given] : given));

/** A misspelt action would meet no call, and a test of its fault would pass for nothing. */
const actions = names.superRefine((given, context) => {
  const offered = actionNames();
  for (const name of given.filter((one) => !offered.includes(one)))
    context.addIssue({ code: "custom", message: `there is no action ${name}; docs/emulated-cloud.md lists them` });
});

/** Which calls a fault meets; all that is given must hold. */
const selection = {
  action: actions.optional(),
  loadBalancerId: names.optional(),
  /** The account, as the journal names it. */
  caller: names.optional(),
  /** It begins so long after it was given to the cloud, and lasts so long from then on; else at once, and until it is cleared. */
  from: duration.optional(),
  for: duration.optional(),
  /** How many calls it meets at most. */
  count: z.int().min(1).optional(),
  /** Of the calls that it could meet: this share, by the cloud's seed; and only the nth, 2nth, … */
  probability: z.number().gt(0).max(1).optional(),
  every: z.int().min(1).optional(),
};

/** Which of a call's targets: these addresses, or each with this probability. */
const targets = { ips: z.array(z.ipv4()).min(1).optional(), share: z.number().gt(0).max(1).optional() };
const byIpOrShare = (given: { ips?: unknown; share?: unknown }): boolean => (given.ips === undefined) !== (given.share === undefined);
const EITHER = "needs either ips (a list of addresses) or share (from 0 to 1)";

const KINDS = [
  /** An answer of the API that is an error, e.g. code InternalError. Nothing takes effect. */
  z.strictObject({ kind: z.literal("error"), code: z.string().min(1), message: z.string().optional(), ...selection }),
  /** RequestLimitExceeded: for every call, or for those beyond so many a second. */
  z.strictObject({ kind: z.literal("throttled"), perSecond: z.int().min(0).default(0), ...selection }),
  /** AuthFailure.TokenFailure, as when temporary credentials have expired. */
  z.strictObject({ kind: z.literal("expired-credentials"), ...selection }),
  /** The gateway answers with an HTTP status and no body. */
  z.strictObject({ kind: z.literal("http"), status: z.int().min(400).max(599), ...selection }),
  /** The connection is reset before the call is looked at. */
  z.strictObject({ kind: z.literal("reset"), ...selection }),
  /** The call takes so much longer. */
  z.strictObject({ kind: z.literal("latency"), delay: duration, ...selection }),
  /** The answer comes in chunks, without a Content-Length. */
  z.strictObject({ kind: z.literal("chunked"), ...selection }),
  /** The answer's JSON ends in the middle; a write has taken effect. */
  z.strictObject({ kind: z.literal("truncated"), ...selection }),
  /** The write takes effect, its answer never arrives: the connection is reset. */
  z.strictObject({ kind: z.literal("lost-response"), ...selection }),
  /** The write's task ends as failed and changes nothing. */
  z.strictObject({ kind: z.literal("task-failed"), message: z.string().min(1), ...selection }),
  /** The write's task stays running and its load balancer locked: so long, or until the faults are cleared; then it succeeds. */
  z.strictObject({ kind: z.literal("task-stuck"), hold: duration.optional(), ...selection }),
  /** Some targets of a (de)registration are refused: their listeners are in FailListenerIdSet. */
  z.strictObject({ kind: z.literal("partial"), message: z.string().optional(), ...targets, ...selection }).refine(byIpOrShare, EITHER),
  /** A registration succeeds, and some of its targets are not there. */
  z.strictObject({ kind: z.literal("not-bound"), ...targets, ...selection }).refine(byIpOrShare, EITHER),
  /** Reads are answered from the state of so long ago. */
  z.strictObject({ kind: z.literal("stale"), age: duration, ...selection }),
  /** Somebody else's write begins just before this one and holds the lock so long. */
  z.strictObject({ kind: z.literal("locked"), hold: duration, ...selection }),
] as const;

const KIND_NAMES = KINDS.map((kind) => [...kind.shape.kind.values].join());
const FAULT = z.discriminatedUnion("kind", KINDS, {
  error: ({ code }) => (code === "invalid_union" ? `must be one of ${KIND_NAMES.join(", ")}` : "a fault must be an object with a kind"),
});
const SCRIPT = z.strictObject(
  { faults: z.array(FAULT) },
  { error: ({ code }) => (code === "invalid_type" ? "must be an object with a list `faults`" : undefined) },
);

/** A fault as people write it, e.g. `{ kind: "latency", delay: "3s", action: "BatchRegisterTargets", from: "10s", for: "1m", every: 5 }`. */
export type Fault = z.input<typeof FAULT>;
/** The same with times in ms and lists where one name may stand for one. */
export type ReadFault = z.output<typeof FAULT>;

/** Throws a TypeError that names the field and what it must be. */
export function readFault(fault: unknown): ReadFault {
  const read = FAULT.safeParse(fault);
  if (read.success) return read.data;
  throw new TypeError(read.error.issues.map(({ path, message }) => `${path.join(".") || "fault"}: ${message}`).join("\n"));
}

/**
 * Reads a script, YAML or JSON of the same shape, e.g.
 * ```yaml
 * faults:
 *   - { kind: error, code: InternalError, action: BatchRegisterTargets, probability: 0.1 }
 * ```
 * Throws a TypeError with line and reason; `name` is what its lines begin with, e.g. "faults.yaml".
 */
export const parseFaultScript = (text: string, name: string): readonly ReadFault[] => parseScript(text, SCRIPT, name).faults;
