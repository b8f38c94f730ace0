import * as z from "zod";
import { type DrainHook, hookPatch } from "../domain/admission/drain-hook.ts";
import { injectWishFault } from "../domain/admission/inject-wish.ts";
import { checkedPatch, hasGate, labelsOf, wantsGate } from "../domain/admission/pod-patch.ts";
import type { ModeAsker } from "./drain-modes.ts";

/** An object with direct access that selects a Pod, and the Pod's ports that it sends to. */
export type Selecting = ModeAsker & { readonly targetPorts: readonly (number | string)[] };
/** Who selects Pods with these labels; from an index, not by a search. Undefined: not known yet. */
export type SelectsPods = (namespace: string, labels: Readonly<Record<string, string>>) => readonly Selecting[] | undefined;
/** What containers without a preStop get, for a Pod as it is in a review. */
export type HookFor = (pod: unknown, selecting: readonly Selecting[]) => DrainHook;

const AdmissionReview = z.object({
  apiVersion: z.literal("admission.k8s.io/v1"),
  request: z.object({ uid: z.string().min(1), namespace: z.string().optional(), object: z.unknown() }),
});

const NO_ROOM =
  "this Pod gets no readiness gate: with it, the Pod would be larger than the API server stores; a rollout does not wait for the load balancer";

/** Nobody can say yet whether the Pod is selected: another replica may know. */
export class NotListedError extends Error {
  override readonly name = "NotListedError";

  constructor() {
    super("the cluster's Services have not been listed yet");
  }
}

/** The answer to one review: always allowed, with a patch where the Pod gets the gate. */
export type Reviewed = { readonly answer: object; readonly injected: boolean };

/** `bytes`: the length of the review as it came; unknown, what depends on it is measured. */
export type Review = (body: unknown, namespaceOptedIn: boolean, bytes?: number) => Reviewed;

/**
 * Answers AdmissionReviews of Pods that are created; the same for a dry run, because nothing is changed elsewhere. Throws ZodError for what
 * is no review, and NotListedError: the API server takes any other answer than 200 for a failure and goes on without us.
 */
export const makeReview =
  (selects: SelectsPods, gateType: string, hookFor: HookFor = noHook): Review =>
  (body, namespaceOptedIn, bytes) => {
    const { request } = AdmissionReview.parse(body);
    const { uid, namespace = "", object: pod } = request;
    const labels = labelsOf(pod);
    const selected = selects(namespace, labels);
    const wanted = wantsGate(pod, { selected: (selected?.length ?? 0) > 0, namespaceOptedIn });
    if (!wanted && selected === undefined && wantsGate(pod, { selected: true, namespaceOptedIn })) throw new NotListedError();
    const operations = wanted ? checkedPatch(pod, gateType, hooksOf(pod, selected ?? [], hookFor), bytes) : [];
    const isLeftOut = wanted && operations.length === 0 && !hasGate(pod, gateType);
    const warnings = [injectWishFault(labels), isLeftOut ? NO_ROOM : undefined].filter((one) => one !== undefined);
    const warned = warnings.length > 0 ? { warnings } : undefined;
    if (operations.length === 0) return allowed(uid, warned);
    const patch = Buffer.from(JSON.stringify(operations)).toString("base64");
    return { ...allowed(uid, { patchType: "JSONPatch", patch, ...warned }), injected: true };
  };

/** Every Pod as it is: of a replica whose product is about to be taken away. Throws ZodError for what is no review. */
export const letPass = (body: unknown): Reviewed => allowed(AdmissionReview.parse(body).request.uid);

const allowed = (uid: string, more: object = {}): Reviewed => ({
  answer: { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: { uid, allowed: true, ...more } },
  injected: false,
});

const noHook: HookFor = () => ({ mode: "none" });

/** Decided once: the check of the patch asks a second time. */
function hooksOf(pod: unknown, selecting: readonly Selecting[], hookFor: HookFor): (pod: unknown) => ReturnType<typeof hookPatch> {
  const hook = hookFor(pod, selecting);
  const targetPorts = selecting.flatMap((one) => one.targetPorts);
  return (one) => hookPatch(one, hook, targetPorts);
}
