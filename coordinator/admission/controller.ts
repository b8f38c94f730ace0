import type { Clock } from "../../common/clock.ts";
import type { Change } from "../../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Part } from "../../common/lifecycle.ts";
import type { Logger } from "../../common/log.ts";
import type { DrainWish } from "../domain/admission/drain-mode.ts";
import type { AdmissionMode } from "../domain/admission/mode.ts";
import type { IngressRecord } from "../domain/intent/ingress-record.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import type { Problem } from "../domain/problem.ts";
import type { Policy, Retire } from "../domain/safety/policy.ts";
import { makeOwnershipOf, type OwnershipOf, type OwnershipSettings } from "../state/object-ownership.ts";
import type { WatchedObjects } from "../state/watched-objects.ts";
import type { ServingSource } from "../tls/serving.ts";
import { type CheckCause, type CheckResult, makeAdmissionCheck } from "./check.ts";
import { type DrainsDeps, hooksBy } from "./hooks.ts";
import { makeWebhookKeeper } from "./keeper.ts";
import { letPass, makeReview } from "./review.ts";
import { SelectingServices } from "./selecting-services.ts";
import { type AdmissionServer, makeAdmissionServer } from "./server.ts";

export type AdmissionMetrics = {
  readonly onReview: (result: "injected" | "unchanged" | "invalid", seconds: number) => void;
  readonly onConnection: () => void;
  readonly onRepaired: () => void;
  readonly onResult: (cause: CheckCause | undefined) => void;
};

export type AdmissionDeps = {
  readonly serving: ServingSource;
  readonly host: string;
  readonly port: number;
  readonly namespace: string;
  readonly gateType: string;
  readonly ownershipOf: OwnershipOf;
  /** How Pods are kept from SIGTERM until nothing is sent to them; default: not at all. */
  readonly drains?: DrainsDeps;
  readonly drainMode: DrainWish;
  /** False: the product is about to be taken away, or others give Pods their gate: nothing is injected, and a configuration of ours is emptied. */
  readonly injects: boolean;
  readonly clock: Clock;
  readonly wallClock: Clock;
  readonly log: Logger;
  readonly metrics: AdmissionMetrics;
};

/** What one reign of a leader keeps: the objects by which the API server calls the webhook, and the check that the gate arrives. */
export type AdmissionReign = { readonly last: CheckResult | undefined; run(signal: AbortSignal): Promise<void> };

/** The webhook of this replica, and what its leader does for all of them. */
export interface Admission {
  /** Undefined: no webhook is asked for. */
  readonly server: AdmissionServer | undefined;
  serviceChanged(change: Change<ServiceRecord>): void;
  ingressChanged(change: Change<IngressRecord>): void;
  ingressClassChanged(): void;
  /** All Services and Ingresses there are have been told. */
  servicesListed(): void;
  /** `client` that of the leader, which alone writes. */
  reign(of: { readonly client: KubeClient; readonly tell: (problem: Problem) => void }): AdmissionReign;
}

function makeAdmission(deps: AdmissionDeps, serves: boolean): Admission {
  const { serving, host, port, namespace, gateType, ownershipOf, injects, clock, wallClock, log, metrics } = deps;
  const selecting = new SelectingServices(ownershipOf);
  // Retired, it is called until the leader has emptied the configuration, and every API server has heard of that.
  const review = injects ? makeReview(selecting.selects, gateType, hooksBy(deps)) : letPass;
  const { onReview, onConnection } = metrics;
  const listen = { host, port, shared: false };
  return {
    server: serves ? makeAdmissionServer({ ...listen, review, serving, clock, log, onReview, onConnection }) : undefined,
    serviceChanged: (change) => selecting.serviceChanged(change),
    ingressChanged: (change) => selecting.ingressChanged(change),
    ingressClassChanged: () => selecting.ingressClassChanged(),
    servicesListed: () => selecting.servicesListed(),
    reign: ({ client, tell }) => {
      const shared = { client, serving, namespace, clock, log, tell };
      const keeper = makeWebhookKeeper({
        ...shared,
        port,
        retired: !injects,
        onRepaired: () => {
          metrics.onRepaired();
          check.soon();
        },
      });
      const check = makeAdmissionCheck({ ...shared, wallClock, keeper, gateType, onResult: metrics.onResult });
      return {
        get last() {
          return check.last;
        },
        run: async (signal) => {
          await Promise.all([keeper.run(signal), ...(injects ? [check.run(signal)] : [])]);
        },
      };
    },
  };
}

type Wish = Pick<AdmissionDeps, "gateType" | "drainMode"> &
  OwnershipSettings & {
    readonly admission: AdmissionMode;
    readonly listenHost: string;
    readonly webhookPort: number;
    readonly retire: Retire;
    readonly policy: Policy;
  };

/** The webhook that the configuration asks for; undefined: nothing may be written, and where nobody opens gates none are put on. */
export const admissionOf = (
  wish: Wish,
  {
    objects,
    ...deps
  }: Omit<AdmissionDeps, "host" | "port" | "gateType" | "drainMode" | "injects" | "ownershipOf"> & {
    readonly objects: Pick<WatchedObjects, "ingressClasses" | "tkeSwitches">;
  },
): Admission | undefined => {
  const { admission, listenHost: host, webhookPort: port, gateType, drainMode, retire, policy } = wish;
  if (policy === "observe") return undefined;
  const injects = admission === "webhook" && retire === "off";
  const ownershipOf = makeOwnershipOf(objects, wish);
  const made = makeAdmission({ ...deps, host, port, gateType, drainMode, injects, ownershipOf }, admission === "webhook");
  objects.tkeSwitches.follow(() => made.ingressClassChanged()); // other objects may be ours now
  return made;
};

/** What of it runs on every replica. */
export const partsOf = (admission: Admission | undefined): readonly Part[] => {
  const server = admission?.server;
  return server === undefined
    ? []
    : [{ name: "webhook server", start: async () => void (await server.start()), stop: () => server.stop() }];
};
