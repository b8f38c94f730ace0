import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";

/** What a TLS server of ours serves with, PEM; `caBundlePem` is what its clients must trust. */
export type Serving = { readonly certPem: string; readonly keyPem: string; readonly caBundlePem: string };

/** The certificate in use; servers subscribe and swap it without a restart. */
export interface ServingSource {
  readonly current: Serving;
  /** Called at each change, not for the present value. Returns the way to unsubscribe. */
  subscribe(listener: (serving: Serving) => void): () => void;
}

/** `run` keeps the objects in step until aborted; it never rejects. */
export interface ServingKeeper extends ServingSource {
  run(signal: AbortSignal): Promise<void>;
}

export type ServingDeps = {
  readonly kube: unknown; // KubeClient
  readonly namespace: string;
  /** E.g. ["clb-direct-coordinator.clb-direct.svc"] */
  readonly dnsNames: readonly string[];
  /** E.g. ["127.0.0.1"] in the demo. */
  readonly ipAddresses: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
};

/** Reads or creates the objects; retries until they are there or the signal aborts (then rejects with its reason). */
export async function makeServing(_deps: ServingDeps, _signal: AbortSignal): Promise<ServingKeeper> {
  throw new Error("not built yet");
}
