import { isOwnListener } from "../../common/names.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Intents } from "./intents.ts";

/** Former owners remembered, to address what is left of them. */
const MAX_FORMER = 1_000;

/** Whose a listener is, also when its owner is gone. */
export class ListenerOwners {
  readonly #intents: Pick<Intents, "of">;
  readonly #clusterId: string;
  readonly #former = new Map<string, ObjectRef>();

  constructor({ intents, clusterId }: { readonly intents: Pick<Intents, "of">; readonly clusterId: string }) {
    this.#intents = intents;
    this.#clusterId = clusterId;
  }

  /** It was an owner and is not any more, e.g. because it was deleted. */
  remember(former: ObjectRef): void {
    if (this.#former.size >= MAX_FORMER) this.#former.delete(this.#former.keys().next().value ?? "");
    this.#former.set(former.uid, former);
  }

  /** The owner of a listener by its name; undefined: it is not ours, or nobody remembers whose it was. */
  of(loadBalancerId: string, listenerName: string): ObjectRef | undefined {
    const refs = [...this.#intents.of(loadBalancerId).map(({ ref }) => ref), ...this.#former.values()];
    return refs.find(({ uid }) => isOwnListener(listenerName, this.#clusterId, uid));
  }
}
