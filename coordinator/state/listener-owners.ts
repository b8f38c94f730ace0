import { GROUP_MARK, ownerMark, ownerMarkOf } from "../../common/names.ts";
import { listenerAt, type PlaceId } from "../domain/load-balancer.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Intents } from "./intents.ts";
import type { Mirror } from "./mirror.ts";

/** Former owners remembered, to address what is left of them. */
const MAX_FORMER = 1_000;

export type ListenerOwnersDeps = {
  readonly intents: Pick<Intents, "of" | "shared">;
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

  /** The owner of a listener by its name, of a group the oldest member; undefined: it is not ours, or nobody remembers whose it was. */
  of(loadBalancerId: string, listenerName: string): ObjectRef | undefined {
    const mark = ownerMarkOf(listenerName, this.#deps.clusterId);
    if (mark === undefined) return undefined;
    if (mark === GROUP_MARK) return this.#deps.intents.shared(loadBalancerId)?.members[0]?.ref;
    const present = this.#deps.intents.of(loadBalancerId).find(({ ref }) => ownerMark(ref.uid) === mark);
    return present?.ref ?? this.#former.get(mark);
  }

  /** The owner of the listener or rule with this id, as the load balancer has it. */
  ofPlace(loadBalancerId: string, place: PlaceId): ObjectRef | undefined {
    const listener = listenerAt(this.#deps.mirror.read(loadBalancerId)?.listeners ?? [], place);
    return listener && this.of(loadBalancerId, listener.name);
  }
}
