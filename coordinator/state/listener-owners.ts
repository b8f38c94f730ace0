import { ownerMark, ownerMarkOf } from "../../common/names.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Intents } from "./intents.ts";
import type { Mirror } from "./mirror.ts";

/** Former owners remembered, to address what is left of them. */
const MAX_FORMER = 1_000;

export type ListenerOwnersDeps = {
  readonly intents: Pick<Intents, "of">;
  readonly mirror: Pick<Mirror, "read">;
  readonly clusterId: string;
};

/** Whose a listener is, also when its owner is gone. */
export class ListenerOwners {
  readonly #deps: ListenerOwnersDeps;
  /** By the owner's mark in a listener's name. */
  readonly #former = new Map<string, ObjectRef>();

  constructor(deps: ListenerOwnersDeps) {
    this.#deps = deps;
  }

  /** It was an owner and is not any more, e.g. because it was deleted. */
  remember(former: ObjectRef): void {
    if (this.#former.size >= MAX_FORMER) this.#former.delete(this.#former.keys().next().value ?? "");
    this.#former.set(ownerMark(former.uid), former);
  }

  /** The owner of a listener by its name; undefined: it is not ours, or nobody remembers whose it was. */
  of(loadBalancerId: string, listenerName: string): ObjectRef | undefined {
    const mark = ownerMarkOf(listenerName, this.#deps.clusterId);
    if (mark === undefined) return undefined;
    const present = this.#deps.intents.of(loadBalancerId).find(({ ref }) => ownerMark(ref.uid) === mark);
    return present?.ref ?? this.#former.get(mark);
  }

  /** The owner of the listener with this id, as the load balancer has it. */
  ofId(loadBalancerId: string, listenerId: string): ObjectRef | undefined {
    const listener = this.#deps.mirror.read(loadBalancerId)?.listeners.find((one) => one.listenerId === listenerId);
    return listener && this.of(loadBalancerId, listener.name);
  }
}
