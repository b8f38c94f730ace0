import { holdHook, holdTokenIn, isHoldToken } from "../../../common/holds.ts";
import { DRAIN, DRAIN_BECAUSE, HOLD_PORT, HOLD_TOKEN } from "../../../common/names.ts";
import type { Operation } from "./pod-patch.ts";

/** What containers without a preStop of their own get: `token` is one per Pod; `because` where it is less than a hold on every node, unasked. */
export type DrainHook = { readonly because?: string } & (
  | { readonly mode: "hold"; readonly token: string }
  | { readonly mode: "sleep"; readonly seconds: number }
  | { readonly mode: "none" }
);

/** Why a Pod gets no hook whatever the mode: the container that serves has a preStop of its own; something of the Pod is at the hold port. */
export const HOOK_HINDRANCES = ["OwnPreStop", "HoldPortTaken"] as const;
export type HookHindrance = (typeof HOOK_HINDRANCES)[number];

type Json = Readonly<Record<string, unknown>>;
/** A container in its place, e.g. { at: "/spec/containers/0" }. `token`: of a call to the hold. */
type Container = {
  readonly at: string;
  readonly json: Json;
  readonly preStop: PreStop;
  readonly token: string | undefined;
  readonly isMain: boolean;
};
/** "ours": a call to the hold, with whatever token. */
type PreStop = "absent" | "ours" | "own";

/** What an application keeps of its grace period; as in the hold. Source: design.md §10. */
const RESERVE = { seconds: 5, share: 0.1 };
/** The kubelet gives SIGTERM that long at least; nothing of it is ours. Source: tke-contract.md §10. */
const FLOOR_SECONDS = 2;
/** Characters of the reason in the annotation. */
const MOST_BECAUSE = 512;
/** What the API server fills in. */
const DEFAULT_GRACE_SECONDS = 30;
/** Whoever may create a Pod decides how many it has; 60 000 fit into one, and took a coordinator seconds. No node runs so many: own choice. */
const MOST_CONTAINERS = 1_000;

/**
 * Pure: the operations that give a Pod its hook and say so in an annotation. `targetPorts`: what load balancers send to, numbers or names.
 * A Pod that has our hook already keeps its token, and containers that came later get the same: a second pass changes nothing. Calls to the
 * hold that came with a template, copied from a Pod that runs, are made this Pod's own, or taken out where it gets none. A Pod of more than MOST_CONTAINERS gets nothing.
 */
export function hookPatch(pod: unknown, wanted: DrainHook, targetPorts: readonly (number | string)[]): readonly Operation[] {
  const metadata = objectOf(objectOf(pod)["metadata"]);
  const annotations = objectOf(metadata["annotations"]);
  const all = containersOf(pod);
  if (all.length > MOST_CONTAINERS) return [];
  const decided = decidedHook(pod, annotations, all);
  const asked = decided ?? wanted;
  const hindrance = decided !== undefined || asked.mode === "none" ? undefined : hindranceOf(all, targetPorts);
  const preStop = hindrance === undefined ? preStopFor(pod, asked, annotations, all) : undefined;
  const token = preStop === undefined ? undefined : tokenOf(preStop);
  const mode = preStop === undefined ? "none" : asked.mode;
  const isWanted = decided !== undefined || all.some((one) => one.preStop !== "own");
  const hooked = preStop !== undefined && isWanted;
  const isShort = preStop === undefined && hindrance === undefined && asked.mode === "sleep" && isWanted;
  const because = isShort ? shortBecause(pod, asked.because) : asked.because;
  const isLess = because !== undefined && hindrance === undefined && (hooked || isShort || asked.mode === "none");
  const isSaid = hooked || hindrance !== undefined || isLess || isNoneAsked(annotations);
  const operations: Operation[] = [];
  for (const one of all) {
    const operation = hookOf(one, preStop, token);
    if (operation !== undefined) operations.push(operation);
  }
  annotate(operations, metadata["annotations"], [
    hooked ? token : undefined,
    !isSaid ? undefined : hindrance === undefined ? mode : `none ${hindrance}`,
    isLess ? because.slice(0, MOST_BECAUSE) : undefined,
  ]);
  return operations;
}

/** Undefined: no hook. A Pod whose own token is in one of its hooks keeps that one: agents tell Pods with the same token apart by their addresses. */
function preStopFor(pod: unknown, hook: DrainHook, annotations: Json, all: readonly Container[]): Json | undefined {
  switch (hook.mode) {
    case "hold": {
      const own = annotations[HOLD_TOKEN];
      const isKept = typeof own === "string" && isHoldToken(own) && all.some(({ token }) => token === own);
      return holdHook(isKept ? own : hook.token);
    }
    case "sleep": {
      const seconds = sleepSeconds(pod, hook.seconds);
      return seconds < 1 ? undefined : { sleep: { seconds } };
    }
    case "none":
      return undefined;
    default:
      return hook satisfies never;
  }
}

/** Our annotations, in the order of their values below, each with its path in a patch. */
const MARKS = [HOLD_TOKEN, DRAIN, DRAIN_BECAUSE].map((key) => ({
  key,
  path: `/metadata/annotations/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`,
}));

/** What is not wanted is taken away: it came with a template, and speaks of another Pod. */
function annotate(operations: Operation[], present: unknown, values: readonly (string | undefined)[]): void {
  if (!isRecord(present)) {
    const wanted = MARKS.flatMap(({ key }, at) => (values[at] === undefined ? [] : [[key, values[at]] as const]));
    if (wanted.length > 0) operations.push({ op: "add", path: "/metadata/annotations", value: Object.fromEntries(wanted) });
    return;
  }
  for (const [at, { key, path }] of MARKS.entries()) {
    const value = values[at];
    if (present[key] !== value) operations.push(value === undefined ? { op: "remove", path } : { op: "add", path, value });
  }
}

/** `wanted` undefined: none; `wantedToken` is in it. A user's own stays in either case. */
function hookOf({ at, json, preStop, token }: Container, wanted: Json | undefined, wantedToken: string | undefined): Operation | undefined {
  if (preStop === "own") return undefined;
  const path = `${at}/lifecycle/preStop`;
  if (wanted === undefined) return preStop === "ours" ? { op: "remove", path } : undefined;
  if (preStop === "ours") return token === wantedToken ? undefined : { op: "add", path, value: wanted };
  return isRecord(json["lifecycle"])
    ? { op: "add", path, value: wanted }
    : { op: "add", path: `${at}/lifecycle`, value: { preStop: wanted } };
}

/** The containers that live as long as the Pod: the main ones, and native sidecars. */
function containersOf(pod: unknown): readonly Container[] {
  const spec = objectOf(objectOf(pod)["spec"]);
  const all: Container[] = [];
  for (const [field, isMain] of FIELDS)
    for (const [at, json] of listOf(spec[field]).entries()) {
      if (!isMain && json["restartPolicy"] !== "Always") continue;
      const preStop = preStopOf(json);
      const token = tokenOf(preStop);
      all.push({ at: `/spec/${field}/${at}`, json, preStop: kindOf(preStop, token), token, isMain });
    }
  return all;
}
const FIELDS = [
  ["containers", true],
  ["initContainers", false],
] as const;

const kindOf = (preStop: unknown, token: string | undefined): PreStop =>
  !isRecord(preStop) ? "absent" : token === undefined ? "own" : "ours";

/** Somebody asks for none; where a reason stands beside it, the webhook has said so of the Pod that was copied. */
const isNoneAsked = (annotations: Json): boolean => annotations[DRAIN] === "none" && annotations[DRAIN_BECAUSE] === undefined;

/**
 * What is decided already: nothing, where an annotation asks for that, and a sleep that an earlier pass has given, which nobody can tell from
 * one of a template; none has given one that the grace period leaves no time for. A hold follows what is wanted now.
 */
function decidedHook(pod: unknown, annotations: Json, all: readonly Container[]): DrainHook | undefined {
  if (isNoneAsked(annotations)) return { mode: "none" };
  if (annotations[DRAIN] !== "sleep") return undefined;
  const seconds = all.map(({ json }) => objectOf(objectOf(preStopOf(json))["sleep"])["seconds"]).find((one) => typeof one === "number");
  const because = annotations[DRAIN_BECAUSE];
  return seconds === undefined || sleepSeconds(pod, seconds) < 1
    ? undefined
    : { mode: "sleep", seconds, ...(typeof because === "string" && { because }) };
}

const preStopOf = (json: Json): unknown => objectOf(json["lifecycle"])["preStop"];

/** The token of a call to the hold; undefined: it is none of ours. */
function tokenOf(preStop: unknown): string | undefined {
  const { path, port, host } = objectOf(objectOf(preStop)["httpGet"]);
  return typeof path === "string" && Number(port) === HOLD_PORT && (host ?? "") === "" ? holdTokenIn(path) : undefined;
}

function hindranceOf(all: readonly Container[], targetPorts: readonly (number | string)[]): HookHindrance | undefined {
  if (all.some(usesHoldPort)) return "HoldPortTaken";
  if (!all.some(({ preStop }) => preStop === "own")) return undefined;
  const serving = all.filter(({ json }) =>
    listOf(json["ports"]).some((one) => targetPorts.includes(textOf(one["name"])) || targetPorts.includes(Number(one["containerPort"]))),
  );
  const served = serving.length > 0 ? serving : all.filter(({ isMain }) => isMain);
  return served.some(({ preStop }) => preStop === "own") ? "OwnPreStop" : undefined;
}

/** It listens there, or the kubelet asks there: the node's rule would lead that away. */
function usesHoldPort({ json, preStop: whose }: Container): boolean {
  if (listOf(json["ports"]).some((one) => Number(one["containerPort"]) === HOLD_PORT)) return true;
  const { preStop, postStart } = objectOf(json["lifecycle"]);
  return PROBES.some((name) => asksHoldPort(json[name])) || (whose === "own" && asksHoldPort(preStop)) || asksHoldPort(postStart);
}
const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

const asksHoldPort = (one: unknown): boolean =>
  isRecord(one) && CALLS.some((kind) => isRecord(one[kind]) && Number(one[kind]["port"]) === HOLD_PORT);
const CALLS = ["httpGet", "tcpSocket", "grpc"] as const;

/** As long as wished for, and as the Pod's grace period allows. */
function sleepSeconds(pod: unknown, wished: number): number {
  const grace = graceOf(pod);
  return Math.floor(Math.min(wished, grace - Math.max(RESERVE.seconds, grace * RESERVE.share) - FLOOR_SECONDS));
}

function graceOf(pod: unknown): number {
  const given = objectOf(objectOf(pod)["spec"])["terminationGracePeriodSeconds"];
  return typeof given === "number" ? given : DEFAULT_GRACE_SECONDS;
}

/** `because`: why it was to be a sleep. */
const shortBecause = (pod: unknown, because: string | undefined): string =>
  `terminationGracePeriodSeconds ${graceOf(pod)} leaves no time for a sleep${because === undefined ? "" : `; ${because}`}`;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const objectOf = (value: unknown): Json => (isRecord(value) ? value : {});
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(objectOf) : []);
