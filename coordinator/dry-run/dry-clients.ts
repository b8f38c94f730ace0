import type { KubeClient } from "../../common/kubernetes/client.ts";
import { readsOf } from "../../common/kubernetes/reads-of.ts";
import { ClbApiError, isRead } from "../cloud/clb-error.ts";
import type { CloudTransport } from "../cloud/transport.ts";
import type { Reconcile } from "../workqueue/worker.ts";

/** Code of a write that was not made. */
const UNSENT = "PolicyObserve";
/** A pass that wants to write comes back so often, to see whether somebody else has done it. Milliseconds. */
const LOOK_AGAIN_MS = 30_000;

/** A write to the cloud that was not made, e.g. ("CreateLoadBalancer", { LoadBalancerName: … }). */
type OnWrite = (action: string, request: object) => void;

/** Reads pass; a write is told and refused with the code "PolicyObserve", as the cloud would refuse it. */
export const dryTransport =
  (transport: CloudTransport, onWrite: OnWrite = () => undefined): CloudTransport =>
  async (service, action, request, signal) => {
    if (isRead(action)) return await transport(service, action, request, signal);
    onWrite(action, request);
    throw Object.assign(new Error("not made, because the policy is to observe"), { code: UNSENT, requestId: "" });
  };

/** A pass that came to a write that was not made has seen all there is to see: it did not fail. */
export const unlessUnsent =
  (reconcile: Reconcile): Reconcile =>
  async (key, signal) => {
    try {
      return await reconcile(key, signal);
    } catch (err) {
      if (!(err instanceof ClbApiError && err.call.code === UNSENT)) throw err;
      return { kind: "again", afterMs: LOOK_AGAIN_MS, because: "the policy is to observe" };
    }
  };

/** Reads and watches pass; a write is answered as if it had been made, and nothing is sent. */
export function dryClient(client: KubeClient): KubeClient {
  // The caller says what it expects to get back; nobody reads more of a write's answer than that there is one.
  const unsent = <T>(body: unknown): Promise<T> => Promise.resolve(body as T); // oxlint-disable-line typescript/no-unsafe-type-assertion -- see above
  return {
    ...readsOf(client),
    create: (_path, body) => unsent(body),
    replace: (_path, body) => unsent(body),
    patch: (_path, body) => unsent(body),
    delete: () => Promise.resolve(),
  };
}
