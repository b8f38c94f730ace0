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
/** A container in its place, e.g. { at: "/spec/containers/0" }. */
type Container = { readonly at: string; readonly json: Json; readonly preStop: PreStop; readonly isMain: boolean };
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
  const decided = decidedHook(annotations, all);
  const asked = decided ?? wanted;
  const hindrance = decided !== undefined || asked.mode === "none" ? undefined : hindranceOf(all, targetPorts);
  const preStop = hindrance === undefined ? preStopFor(pod, asked, annotations) : undefined;
  const operations = all.flatMap((one) => hookOf(one, preStop));
  const mode = preStop === undefined ? "none" : asked.mode;
  const hooked = preStop !== undefined && (decided !== undefined || all.some((one) => one.preStop !== "own"));
  const isLess = asked.because !== undefined && hindrance === undefined && (hooked || asked.mode === "none");
  const isSaid = hooked || hindrance !== undefined || isLess || isNoneAsked(annotations);
  const token = hooked ? tokenOf(preStop) : undefined;
  return [
    ...operations,
    ...annotate(metadata["annotations"], {
      [HOLD_TOKEN]: token,
      [DRAIN]: !isSaid ? undefined : hindrance === undefined ? mode : `none ${hindrance}`,
      [DRAIN_BECAUSE]: isLess ? asked.because?.slice(0, MOST_BECAUSE) : undefined,
    }),
  ];
}

/** Undefined: no hook. A Pod whose own token is in one of its hooks keeps that one: agents tell Pods with the same token apart by their addresses. */
function preStopFor(pod: unknown, hook: DrainHook, annotations: Json): Json | undefined {
  switch (hook.mode) {
    case "hold": {
      const own = annotations[HOLD_TOKEN];
      const isKept = typeof own === "string" && isHoldToken(own) && containersOf(pod).some(({ json }) => tokenOf(preStopOf(json)) === own);
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

/** What is not wanted is taken away: it came with a template, and speaks of another Pod. */
function annotate(present: unknown, marks: Readonly<Record<string, string | undefined>>): Operation[] {
  const there = objectOf(present);
  const wanted = Object.entries(marks).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  if (!isRecord(present))
    return wanted.length === 0 ? [] : [{ op: "add", path: "/metadata/annotations", value: Object.fromEntries(wanted) }];
  return Object.entries(marks).flatMap(([key, value]): Operation[] => {
    const path = `/metadata/annotations/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (there[key] === value) return [];
    return [value === undefined ? { op: "remove", path } : { op: "add", path, value }];
  });
}

/** `wanted` undefined: none. A user's own stays in either case. */
function hookOf({ at, json, preStop }: Container, wanted: Json | undefined): Operation[] {
  if (preStop === "own") return [];
  const path = `${at}/lifecycle/preStop`;
  if (wanted === undefined) return preStop === "ours" ? [{ op: "remove", path }] : [];
  if (preStop === "ours") return tokenOf(preStopOf(json)) === tokenOf(wanted) ? [] : [{ op: "add", path, value: wanted }];
  return isRecord(json["lifecycle"])
    ? [{ op: "add", path, value: wanted }]
    : [{ op: "add", path: `${at}/lifecycle`, value: { preStop: wanted } }];
}

/** The containers that live as long as the Pod: the main ones, and native sidecars. */
function containersOf(pod: unknown): Container[] {
  const spec = objectOf(objectOf(pod)["spec"]);
  const read = (field: string, isMain: boolean): Container[] =>
    listOf(spec[field]).map((json, at) => ({ at: `/spec/${field}/${at}`, json, preStop: kindOf(preStopOf(json)), isMain }));
  return [...read("containers", true), ...read("initContainers", false).filter(({ json }) => json["restartPolicy"] === "Always")];
}

const kindOf = (preStop: unknown): PreStop => (!isRecord(preStop) ? "absent" : tokenOf(preStop) === undefined ? "own" : "ours");

/** Somebody asks for none; where a reason stands beside it, the webhook has said so of the Pod that was copied. */
const isNoneAsked = (annotations: Json): boolean => annotations[DRAIN] === "none" && annotations[DRAIN_BECAUSE] === undefined;

/**
 * What is decided already: nothing, where an annotation asks for that, and a sleep that an earlier pass has given, which nobody can tell from
 * one of a template. A hold follows what is wanted now.
 */
function decidedHook(annotations: Json, all: readonly Container[]): DrainHook | undefined {
  if (isNoneAsked(annotations)) return { mode: "none" };
  if (annotations[DRAIN] !== "sleep") return undefined;
  const seconds = all.map(({ json }) => objectOf(objectOf(preStopOf(json))["sleep"])["seconds"]).find((one) => typeof one === "number");
  const because = annotations[DRAIN_BECAUSE];
  return seconds === undefined ? undefined : { mode: "sleep", seconds, ...(typeof because === "string" && { because }) };
}

const preStopOf = (json: Json): unknown => objectOf(json["lifecycle"])["preStop"];

/** The token of a call to the hold; undefined: it is none of ours. */
function tokenOf(preStop: unknown): string | undefined {
  const { path, port, host } = objectOf(objectOf(preStop)["httpGet"]);
  return typeof path === "string" && Number(port) === HOLD_PORT && (host ?? "") === "" ? holdTokenIn(path) : undefined;
}

function hindranceOf(all: readonly Container[], targetPorts: readonly (number | string)[]): HookHindrance | undefined {
  if (all.some(usesHoldPort)) return "HoldPortTaken";
  const serving = all.filter(({ json }) =>
    portsOf(json).some(({ name, number }) => targetPorts.includes(name) || targetPorts.includes(number)),
  );
  const served = serving.length > 0 ? serving : all.filter(({ isMain }) => isMain);
  return served.some(({ preStop }) => preStop === "own") ? "OwnPreStop" : undefined;
}

const portsOf = (json: Json): { readonly name: string; readonly number: number }[] =>
  listOf(json["ports"]).map((one) => ({ name: textOf(one["name"]), number: Number(one["containerPort"]) }));

/** It listens there, or the kubelet asks there: the node's rule would lead that away. */
function usesHoldPort({ json, preStop: whose }: Container): boolean {
  if (portsOf(json).some(({ number }) => number === HOLD_PORT)) return true;
  const probes = ["livenessProbe", "readinessProbe", "startupProbe"].map((name) => objectOf(json[name]));
  const { preStop, postStart } = objectOf(json["lifecycle"]);
  return [...probes, ...(whose === "own" ? [objectOf(preStop)] : []), objectOf(postStart)].some((one) =>
    ["httpGet", "tcpSocket", "grpc"].some((kind) => Number(objectOf(one[kind])["port"]) === HOLD_PORT),
  );
}

/** As long as wished for, and as the Pod's grace period allows. */
function sleepSeconds(pod: unknown, wished: number): number {
  const given = objectOf(objectOf(pod)["spec"])["terminationGracePeriodSeconds"];
  const grace = typeof given === "number" ? given : DEFAULT_GRACE_SECONDS;
  return Math.floor(Math.min(wished, grace - Math.max(RESERVE.seconds, grace * RESERVE.share) - FLOOR_SECONDS));
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const objectOf = (value: unknown): Json => (isRecord(value) ? value : {});
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(objectOf) : []);
