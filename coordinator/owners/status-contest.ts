import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { FIELD_MANAGER, FINALIZER } from "../../common/names.ts";
import { kindOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import type { Problem } from "../domain/problem.ts";
import { PutBacks } from "../state/put-backs.ts";
import { listPathOf } from "./owner-paths.ts";

/** By which field another controller is left out. */
const CLASS_FIELD = { Service: "spec.loadBalancerClass", Ingress: "spec.ingressClassName" } as const;

export type StatusContestDeps = {
  readonly client: Pick<KubeClient, "list">;
  readonly clock: Clock;
  readonly tell: (problem: Problem) => void;
};

/** What of an object somebody else may write as well; each is put back by itself. */
type What = "status" | "ready" | "finalizer";

/** Two controllers that write the same status would write for ever: what we wrote and find changed is written ever more rarely. */
export class StatusContest {
  readonly #deps: StatusContestDeps;
  readonly #putBacks: PutBacks;

  constructor(deps: StatusContestDeps) {
    this.#deps = deps;
    this.#putBacks = new PutBacks(deps.clock);
  }

  /** How long the value must not be written yet, milliseconds; "unseen": our last write has not come back from the watch. */
  restMs({ uid, resourceVersion }: OwnerObject, value: string, what: What = "status"): number | "unseen" {
    return this.#putBacks.restMs(keyOf(uid, what), value, resourceVersion);
  }

  /** Before the value is written over what `object` says: tells of the other writer while it can be known. */
  async foresee(object: OwnerObject, value: string, signal: AbortSignal): Promise<void> {
    if (this.#putBacks.isToBeTold(keyOf(object.uid, "status"), value)) await this.#tell(object, value, signal);
  }

  /** The same of our finalizer. */
  foreseeFinalizer(object: OwnerObject): void {
    if (!this.#putBacks.isToBeTold(keyOf(object.uid, "finalizer"), FINALIZER)) return;
    const message = `${objectName(object)}: somebody removes the finalizer ${FINALIZER} again and again: without it a deletion leaves what we made at the load balancer behind. Stop who does that, or take the ${kindOfObject(object)} from us, e.g. by ${CLASS_FIELD[kindOfObject(object)]}. It is put back once in 30 s`;
    this.#deps.tell({ object: objectRef(object), type: "Warning", reason: "StatusContested", message });
  }

  /** The value has been written over what `object` says. */
  wrote({ uid, resourceVersion }: OwnerObject, value: string, what: What = "status"): void {
    this.#putBacks.wrote(keyOf(uid, what), value, resourceVersion);
  }

  /** Of all that was written to it. */
  forget(uid: string): void {
    for (const what of ["status", "ready", "finalizer"] as const) this.#putBacks.forget(keyOf(uid, what));
  }

  async #tell(object: OwnerObject, value: string, signal: AbortSignal): Promise<void> {
    const { ingress } = object;
    const other = ingress.length === 0 ? "empty" : ingress.join(", ");
    const writer = (await this.#writerOf(object, signal)) ?? "another controller";
    const message = `${objectName(object)}: ${writer} writes status.loadBalancer as well: it is ${other} instead of ${value}. Two controllers serve this ${kindOfObject(object)}: take it from the other one, e.g. by ${CLASS_FIELD[kindOfObject(object)]}. It is put back once in 30 s`;
    this.#deps.tell({ object: objectRef(object), type: "Warning", reason: "StatusContested", message });
  }

  /** Who wrote the status besides us, as managedFields tell until we write, e.g. "service-controller"; undefined where they do not. */
  async #writerOf(object: OwnerObject, signal: AbortSignal): Promise<string | undefined> {
    try {
      const query = { fieldSelector: `metadata.name=${object.name}` };
      const { items } = await this.#deps.client.list<unknown>(listPathOf(object), query, { signal });
      return otherWriter(items[0]);
    } catch (err) {
      if (err instanceof KubeApiError) return undefined;
      throw err;
    }
  }
}

/** The manager who wrote `status.loadBalancer` last besides us. */
export function otherWriter(raw: unknown): string | undefined {
  const fields = member(member(raw, "metadata"), "managedFields");
  const writers = (Array.isArray(fields) ? fields : []).flatMap((entry: unknown) => {
    const manager = member(entry, "manager");
    const isWriter = member(member(member(entry, "fieldsV1"), "f:status"), "f:loadBalancer") !== undefined;
    return isWriter && typeof manager === "string" && manager !== FIELD_MANAGER ? [{ manager, time: String(member(entry, "time")) }] : [];
  });
  return writers.sort((a, b) => (a.time < b.time ? 1 : -1))[0]?.manager;
}

const keyOf = (uid: string, what: What): string => `${uid} ${what}`;
