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
  /** True: the product is about to be taken away, and nothing is injected any more. */
  readonly retired: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: AdmissionMetrics;
};

/** What one reign of a leader keeps: the objects by which the API server calls the webhook, and the check that the gate arrives. */
export type AdmissionReign = { readonly last: CheckResult | undefined; run(signal: AbortSignal): Promise<void> };

/** The webhook of this replica, and what its leader does for all of them. */
export interface Admission {
  readonly server: AdmissionServer;
  serviceChanged(change: Change<ServiceRecord>): void;
  /** `client` that of the leader, which alone writes. */
  reign(of: { readonly client: KubeClient; readonly tell: (problem: Problem) => void }): AdmissionReign;
}

function makeAdmission(deps: AdmissionDeps): Admission {
  const { serving, host, port, namespace, gateType, ownership, retired, clock, log, metrics } = deps;
  const selecting = new SelectingServices(ownership);
  const review = makeReview(selecting.selects, gateType);
  return {
    server: makeAdmissionServer({ host, port, shared: false, review, serving, clock, log, onReview: metrics.onReview }),
    serviceChanged: (change) => selecting.serviceChanged(change),
    reign: ({ client, tell }) => {
      const shared = { client, serving, namespace, clock, log, tell };
      const keeper = makeWebhookKeeper({
        ...shared,
        retired,
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
          await Promise.all([keeper.run(signal), ...(retired ? [] : [check.run(signal)])]);
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

/** The webhook that the configuration asks for; undefined: Pods get their gate from somebody else. */
export const admissionOf = (
  { admission, listenHost: host, webhookPort: port, gateType, ownership, retire, policy }: Wish,
  deps: Omit<AdmissionDeps, "host" | "port" | "gateType" | "ownership" | "retired">,
): Admission | undefined =>
  // Where nobody opens gates none are put on.
  admission === "webhook" && policy !== "observe"
    ? makeAdmission({ ...deps, host, port, gateType, ownership, retired: retire !== "off" })
    : undefined;

/** What of it runs on every replica. */
export const partsOf = (admission: Admission | undefined): readonly Part[] =>
  admission === undefined
    ? []
    : [{ name: "webhook server", start: async () => void (await admission.server.start()), stop: () => admission.server.stop() }];
