import type { Clock } from "../../common/clock.ts";
import type { Change } from "../../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Part } from "../../common/lifecycle.ts";
import type { Logger } from "../../common/log.ts";
import type { AdmissionMode } from "../domain/admission/mode.ts";
import type { OwnershipMode, ServiceRecord } from "../domain/intent/service.ts";
import type { Problem } from "../domain/problem.ts";
import type { Policy, Retire } from "../domain/safety/policy.ts";
import type { ServingSource } from "../tls/serving.ts";
import { type CheckCause, type CheckResult, makeAdmissionCheck } from "./check.ts";
import { makeWebhookKeeper } from "./keeper.ts";
import { makeReview } from "./review.ts";
import { SelectingServices } from "./selecting-services.ts";
import { type AdmissionServer, makeAdmissionServer } from "./server.ts";

export type AdmissionMetrics = {
  readonly onReview: (result: "injected" | "unchanged" | "invalid", seconds: number) => void;
  readonly onRepaired: () => void;
  readonly onResult: (cause: CheckCause | undefined) => void;
};

export type AdmissionDeps = {
  readonly serving: ServingSource;
  readonly host: string;
  readonly port: number;
  readonly namespace: string;
  readonly gateType: string;
  readonly ownership: OwnershipMode;
  /** False: the product is about to be taken away, or others give Pods their gate: nothing is injected, and a configuration of ours is emptied. */
  readonly injects: boolean;
  readonly clock: Clock;
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
  /** All Services there are have been told. */
  servicesListed(): void;
  /** `client` that of the leader, which alone writes. */
  reign(of: { readonly client: KubeClient; readonly tell: (problem: Problem) => void }): AdmissionReign;
}

function makeAdmission(deps: AdmissionDeps, serves: boolean): Admission {
  const { serving, host, port, namespace, gateType, ownership, injects, clock, log, metrics } = deps;
  const selecting = new SelectingServices(ownership);
  const review = makeReview(selecting.selects, gateType);
  const listen = { host, port, shared: false };
  return {
    server: serves ? makeAdmissionServer({ ...listen, review, serving, clock, log, onReview: metrics.onReview }) : undefined,
    serviceChanged: (change) => selecting.serviceChanged(change),
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
      const check = makeAdmissionCheck({ ...shared, keeper, gateType, onResult: metrics.onResult });
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

type Wish = Pick<AdmissionDeps, "gateType" | "ownership"> & {
  readonly admission: AdmissionMode;
  readonly listenHost: string;
  readonly webhookPort: number;
  readonly retire: Retire;
  readonly policy: Policy;
};

/** The webhook that the configuration asks for; undefined: nothing may be written, and where nobody opens gates none are put on. */
export const admissionOf = (
  { admission, listenHost: host, webhookPort: port, gateType, ownership, retire, policy }: Wish,
  deps: Omit<AdmissionDeps, "host" | "port" | "gateType" | "ownership" | "injects">,
): Admission | undefined =>
  policy === "observe"
    ? undefined
    : makeAdmission(
        { ...deps, host, port, gateType, ownership, injects: admission === "webhook" && retire === "off" },
        admission === "webhook",
      );

/** What of it runs on every replica. */
export const partsOf = (admission: Admission | undefined): readonly Part[] => {
  const server = admission?.server;
  return server === undefined
    ? []
    : [{ name: "webhook server", start: async () => void (await server.start()), stop: () => server.stop() }];
};
