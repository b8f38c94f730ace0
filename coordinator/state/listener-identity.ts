import { listenerName, sharedListenerName } from "../../common/names.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import type { Listener } from "../domain/load-balancer.ts";
import { judgeName, type NameVerdict } from "../domain/safety/listener-name.ts";
import type { OwnerRecords, RecordedListener } from "./owner-records.ts";

export type ListenerIdentityDeps = {
  readonly ownerRecords: Pick<OwnerRecords, "listener">;
  readonly clusterId: string;
  readonly clock: { now(): number };
};

/** A listener whose name in the cloud means that something has to be stored, and perhaps told. */
export type Misnamed = {
  readonly listenerId: string;
  readonly shown: string;
  readonly recorded: RecordedListener;
  readonly verdict: NameVerdict;
};

/** Each member of a group has the shared one on record, with its own rules. */
const isShared = ({ owner: { intent }, listener }: RecordedListener): boolean => intent.group === true && listener.rules !== undefined;

/** A name that nobody gives: nothing of it says that the listener is ours. */
const givenUp = (shown: string): string => `(given up) ${shown}`;

/** Which listeners are ours: those whose ids are on record, whatever their names are, and those whose names say so. */
export class ListenerIdentity {
  readonly #deps: ListenerIdentityDeps;
  /** As of the last read, by load balancer. */
  readonly #misnamed = new Map<string, readonly Misnamed[]>();

  constructor(deps: ListenerIdentityDeps) {
    this.#deps = deps;
  }

  isRecorded(loadBalancerId: string, listenerId: string): boolean {
    return this.#deps.ownerRecords.listener(loadBalancerId, listenerId) !== undefined;
  }

  /** The listeners of a read, each with the name that says whose it is. */
  identified(loadBalancerId: string, read: readonly Listener[]): readonly Listener[] {
    const misnamed: Misnamed[] = [];
    const all = read.map((listener): Listener => {
      const { listenerId, name: shown } = listener;
      const recorded = this.#deps.ownerRecords.listener(loadBalancerId, listenerId);
      // Neither port nor protocol of a listener can ever change: a record that says otherwise was edited, and its id is somebody else's listener.
      if (recorded === undefined || recorded.key !== wishKey(listener.protocol, listener.port)) return listener;
      const { owner, key } = recorded;
      const [protocol = "", port = ""] = key.split("/");
      const { clusterId, clock } = this.#deps;
      const name = isShared(recorded)
        ? sharedListenerName(clusterId, protocol, Number(port))
        : listenerName(clusterId, owner.ref.uid, protocol, Number(port));
      const verdict = judgeName({ clusterId, listener: recorded.listener, name, shown, nowMs: clock.now() });
      if (verdict.record !== undefined) misnamed.push({ listenerId, shown, recorded, verdict });
      if (verdict.kind === "ours") return listener;
      return { ...listener, name: verdict.kind === "given-up" ? givenUp(shown) : name, shownName: shown };
    });
    this.#misnamed.set(loadBalancerId, misnamed);
    return all;
  }

  misnamed(loadBalancerId: string): readonly Misnamed[] {
    return this.#misnamed.get(loadBalancerId) ?? [];
  }

  /** It was stored, so that the listener may be named back. */
  mayRename(loadBalancerId: string, listenerId: string): boolean {
    const { renamed, formerName } = this.#deps.ownerRecords.listener(loadBalancerId, listenerId)?.listener ?? {};
    return formerName !== undefined || renamed?.state === "naming-back";
  }

  forget(loadBalancerId: string): void {
    this.#misnamed.delete(loadBalancerId);
  }
}
