import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { makeOwnershipOf, type OwnershipSettings } from "../state/object-ownership.ts";
import type { State } from "../state/state.ts";
import { FailedPasses } from "../workqueue/failed-passes.ts";
import { unlessUnsent } from "../workqueue/unsent.ts";
import type { Reconcile } from "../workqueue/worker.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { Orders } from "./orders.ts";
import { makeReadObject, makeUnread } from "./read-object.ts";
import { makeOwnerReconciler, type OwnerDeps } from "./reconcile.ts";
import { sharingLists } from "./shared-list.ts";
import { StatusContest } from "./status-contest.ts";

/** Owners that are worked on at once; each waits for the cloud or the API server most of the time. */
const CONCURRENCY = 10;

export type OwnersDeps = Omit<
  OwnerDeps,
  | "orders"
  | "contest"
  | "mirror"
  | "addressClaims"
  | "ownerRecords"
  | "intents"
  | "object"
  | "synced"
  | "ownershipOf"
  | "read"
  | "unread"
  | "certificates"
  | "access"
  | "onEntered"
> &
  OwnershipSettings & {
    readonly state: Pick<
      State,
      "mirror" | "addressClaims" | "ownerRecords" | "intents" | "objects" | "certificates" | "object" | "serviceNamed" | "ready"
    >;
    /** An object has had its first pass, well or badly. */
    readonly onRead: (uid: string) => void;
    readonly client: Pick<KubeClient, "list" | "patch">;
    readonly clock: Clock;
    readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
  };

/** The queue of objects that own listeners, by UID, and which of its passes failed. */
export type OwnersController = { readonly queue: Worker; readonly failed: FailedPasses };

export function makeOwnersController(deps: OwnersDeps): OwnersController {
  const { clock, log, onOutcome, state } = deps;
  const { intents, objects } = state;
  const synced = (): boolean => state.ready;
  const ownershipOf = makeOwnershipOf(objects, deps);
  const read = makeReadObject(state);
  const unread = makeUnread(state);
  const failed = new FailedPasses(clock);
  const api = sharingLists(deps.api, clock);
  const noteRead = (uid: string): void => {
    if (intents.noteRead(uid)) deps.onRead(uid);
  };
  const pass = unlessUnsent(
    makeOwnerReconciler({
      ...deps,
      ...state,
      api,
      onEntered: noteRead,
      synced,
      ownershipOf,
      read,
      unread,
      certificates: state.certificates,
      access: objects.access,
      orders: new Orders(clock),
      contest: new StatusContest(deps),
    }),
  );
  // A pass that only waits for the proof that the cluster is no copy has read nothing: nobody may take the object for another controller's.
  const decides = (): boolean => synced() && deps.standing?.() !== "unknown";
  const isWaiting = (uid: string): boolean => {
    const object = intents.get(uid)?.state === "held" ? state.object(uid) : undefined;
    return object !== undefined && unread(object)?.kind === "not yet";
  };
  const reconcile = failed.noted(notingFirst({ synced: decides, noteRead, isWaiting }, pass));
  const queue = new Worker({ name: "services", reconcile, clock, log, concurrency: CONCURRENCY, onOutcome, mayBegin: decides });
  return { queue, failed };
}

/** `isWaiting`: the pass of this object (UID) could only wait for what the object refers to. */
type FirstDeps = Pick<OwnerDeps, "synced"> & { readonly noteRead: (uid: string) => void; readonly isWaiting: (uid: string) => boolean };

/** The same passes; notes which objects have had theirs, once all objects are known. */
function notingFirst({ synced, noteRead, isWaiting }: FirstDeps, reconcile: Reconcile): Reconcile {
  return async (uid, signal) => {
    const isKnown = synced();
    try {
      return await reconcile(uid, signal);
    } finally {
      if (isKnown && !isWaiting(uid)) noteRead(uid);
    }
  };
}
