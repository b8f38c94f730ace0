import { readsOf } from "../../common/kubernetes/reads-of.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { isRead } from "../cloud/clb-error.ts";
import type { CloudTransport } from "../cloud/transport.ts";
import { UNSENT } from "../workqueue/unsent.ts";

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
