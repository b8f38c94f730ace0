import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { FIELD_MANAGER } from "../../common/names.ts";
import { kindOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import type { Problem } from "../domain/problem.ts";
import { listPathOf } from "./owner-paths.ts";

/** What somebody else has changed is put back at once, and again after so long, twice as long each time. Milliseconds. */
const REST_MS = { first: 1_000, most: 30_000 } as const;
/** So long after our last write a change is another story. Milliseconds. */
const QUIET_MS = 600_000;
/** Put back so often in a row before it is called a contest: a person may have cleared it once or twice. */
const PATIENCE = 2;
/** By which field another controller is left out. */
const CLASS_FIELD = { Service: "spec.loadBalancerClass", Ingress: "spec.ingressClassName" } as const;

/** `from`: the version of the object that we wrote over. `inRow`: how often the same value was written. */
type Wrote = { readonly value: string; readonly from: string; readonly atMs: number; readonly inRow: number };

export type StatusContestDeps = {
  readonly client: Pick<KubeClient, "list">;
  readonly clock: Clock;
  readonly tell: (problem: Problem) => void;
};

/** Two controllers that write the same status would write for ever: what we wrote and find changed is written ever more rarely. */
export class StatusContest {
  readonly #deps: StatusContestDeps;
  /** By UID of the object. */
  readonly #wrote = new Map<string, Wrote>();

  constructor(deps: StatusContestDeps) {
    this.#deps = deps;
  }

  /** How long the value must not be written yet, milliseconds; "unseen": our last write has not come back from the watch. */
  restMs({ uid, resourceVersion }: OwnerObject, value: string): number | "unseen" {
    const known = this.#wrote.get(uid);
    if (known?.value !== value) return 0;
    if (known.from === resourceVersion) return "unseen";
    if (known.inRow < PATIENCE) return 0;
    const restMs = Math.min(REST_MS.first * 2 ** (known.inRow - PATIENCE), REST_MS.most);
    return Math.max(known.atMs + restMs - this.#deps.clock.now(), 0);
  }

  /** Before the value is written over what `object` says: tells of the other writer while it can be known. */
  async foresee(object: OwnerObject, value: string, signal: AbortSignal): Promise<void> {
    if (this.#inRow(object.uid, value) === PATIENCE) await this.#tell(object, value, signal);
  }

  /** The value has been written over what `object` says. */
  wrote({ uid, resourceVersion }: OwnerObject, value: string): void {
    this.#wrote.set(uid, { value, from: resourceVersion, atMs: this.#deps.clock.now(), inRow: this.#inRow(uid, value) + 1 });
  }

  /** Also what was written of its condition. */
  forget(uid: string): void {
    this.#wrote.delete(`${uid} ready`);
    this.#wrote.delete(uid);
  }

  /** How often the value was written, one soon after the other. */
  #inRow(uid: string, value: string): number {
    const known = this.#wrote.get(uid);
    return known?.value === value && this.#deps.clock.now() - known.atMs < QUIET_MS ? known.inRow : 0;
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
