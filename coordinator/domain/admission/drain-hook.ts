import { holdHook, isHoldToken } from "../../../common/holds.ts";
import { DRAIN, DRAIN_BECAUSE, HOLD_PATH, HOLD_PORT, HOLD_TOKEN } from "../../../common/names.ts";
import type { AddOperation } from "./pod-patch.ts";

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
type Container = { readonly at: string; readonly json: Json; readonly isMain: boolean };

/** What an application keeps of its grace period; as in the hold. Source: design.md §10. */
const RESERVE = { seconds: 5, share: 0.1 };
/** The kubelet gives SIGTERM that long at least; nothing of it is ours. Source: tke-contract.md §10. */
const FLOOR_SECONDS = 2;
/** Characters of the reason in the annotation. */
const MOST_BECAUSE = 512;
/** What the API server fills in. */
const DEFAULT_GRACE_SECONDS = 30;

/**
 * Pure: the operations that give a Pod its hook and say so in an annotation. `targetPorts`: what load balancers send to, numbers or names.
 * A Pod that has our hook already keeps its token, and containers that came later get the same: a second pass changes nothing.
 */
export function hookPatch(pod: unknown, wanted: DrainHook, targetPorts: readonly (number | string)[]): readonly AddOperation[] {
  const metadata = objectOf(objectOf(pod)["metadata"]);
  const annotations = objectOf(metadata["annotations"]);
  const all = containersOf(pod);
  const decided = decidedHook(annotations, all);
  const hook = decided ?? wanted;
  const hindrance = decided === undefined && hook.mode !== "none" ? hindranceOf(all, targetPorts) : undefined;
  const seconds = hook.mode === "sleep" ? sleepSeconds(pod, hook.seconds) : 0;
  const isNone = hook.mode === "none" || hindrance !== undefined || (hook.mode === "sleep" && seconds < 1);
  const preStop = hook.mode === "hold" ? holdHook(hook.token) : { sleep: { seconds } };
  const operations = isNone ? [] : all.flatMap((one) => hookOf(one, preStop));
  const mode = isNone ? "none" : hook.mode;
  const isLess = hook.because !== undefined && hindrance === undefined && (operations.length > 0 || hook.mode === "none");
  const isNews = operations.length > 0 || hindrance !== undefined || isLess;
  const marks: Record<string, string> = {
    ...(operations.length > 0 && hook.mode === "hold" && annotations[HOLD_TOKEN] !== hook.token && { [HOLD_TOKEN]: hook.token }),
    ...markOf(annotations[DRAIN], hindrance === undefined ? mode : `none ${hindrance}`, isNews),
    ...(isLess && { [DRAIN_BECAUSE]: hook.because.slice(0, MOST_BECAUSE) }),
  };
  return [...operations, ...annotate(metadata["annotations"], marks)];
}

const markOf = (present: unknown, wanted: string, isNews: boolean): Record<string, string> =>
  isNews && present !== wanted ? { [DRAIN]: wanted } : {};

function annotate(present: unknown, marks: Readonly<Record<string, string>>): AddOperation[] {
  const entries = Object.entries(marks);
  if (entries.length === 0) return [];
  if (!isRecord(present)) return [{ op: "add", path: "/metadata/annotations", value: marks }];
  return entries.map(([key, value]) => ({
    op: "add",
    path: `/metadata/annotations/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`,
    value,
  }));
}

function hookOf({ at, json }: Container, preStop: object): AddOperation[] {
  const lifecycle = json["lifecycle"];
  if (!isRecord(lifecycle)) return [{ op: "add", path: `${at}/lifecycle`, value: { preStop } }];
  return isRecord(lifecycle["preStop"]) ? [] : [{ op: "add", path: `${at}/lifecycle/preStop`, value: preStop }];
}

/** The containers that live as long as the Pod: the main ones, and native sidecars. */
function containersOf(pod: unknown): Container[] {
  const spec = objectOf(objectOf(pod)["spec"]);
  const sidecars = listOf(spec["initContainers"]).map((json, at): Container => ({ at: `/spec/initContainers/${at}`, json, isMain: false }));
  return [
    ...listOf(spec["containers"]).map((json, at): Container => ({ at: `/spec/containers/${at}`, json, isMain: true })),
    ...sidecars.filter(({ json }) => json["restartPolicy"] === "Always"),
  ];
}

/**
 * What an earlier pass has decided. An annotation alone may come from a template, and a token in it would be that of many Pods: it counts
 * where a container has the hook; only "none" needs none.
 */
function decidedHook(annotations: Json, all: readonly Container[]): DrainHook | undefined {
  const [token, mark] = [annotations[HOLD_TOKEN], annotations[DRAIN]];
  if (typeof token === "string" && isHoldToken(token) && all.some(({ json }) => pathOf(json) === `${HOLD_PATH}${token}`))
    return { mode: "hold", token };
  if (typeof mark !== "string") return undefined;
  if (mark.startsWith("none")) return { mode: "none" };
  const seconds = all.map(({ json }) => objectOf(objectOf(preStopOf(json))["sleep"])["seconds"]).find((one) => typeof one === "number");
  return mark === "sleep" && seconds !== undefined ? { mode: "sleep", seconds } : undefined;
}

const preStopOf = (json: Json): unknown => objectOf(json["lifecycle"])["preStop"];
const pathOf = (json: Json): unknown => objectOf(objectOf(preStopOf(json))["httpGet"])["path"];

function hindranceOf(all: readonly Container[], targetPorts: readonly (number | string)[]): HookHindrance | undefined {
  if (all.some(({ json }) => usesHoldPort(json))) return "HoldPortTaken";
  const serving = all.filter(({ json }) =>
    portsOf(json).some(({ name, number }) => targetPorts.includes(name) || targetPorts.includes(number)),
  );
  const served = serving.length > 0 ? serving : all.filter(({ isMain }) => isMain);
  return served.some(({ json }) => isRecord(preStopOf(json))) ? "OwnPreStop" : undefined;
}

const portsOf = (json: Json): { readonly name: string; readonly number: number }[] =>
  listOf(json["ports"]).map((one) => ({ name: textOf(one["name"]), number: Number(one["containerPort"]) }));

/** It listens there, or the kubelet asks there: the node's rule would lead that away. */
function usesHoldPort(json: Json): boolean {
  if (portsOf(json).some(({ number }) => number === HOLD_PORT)) return true;
  const probes = ["livenessProbe", "readinessProbe", "startupProbe"].map((name) => objectOf(json[name]));
  const { preStop, postStart } = objectOf(json["lifecycle"]);
  return [...probes, objectOf(preStop), objectOf(postStart)].some((one) =>
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
