import { connect } from "node:tls";
import type { Clock } from "../../common/clock.ts";
import { KubeApiError, type KubeFailure } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { makeLatch } from "../../common/latch.ts";
import type { Logger } from "../../common/log.ts";
import { CANARY_NAMESPACE, INJECT_LABEL, WEBHOOK_SERVICE } from "../../common/names.ts";
import { hasGate } from "../domain/admission/pod-patch.ts";
import type { Problem } from "../domain/problem.ts";
import { certificateFault } from "../tls/certificate.ts";
import type { ServingSource } from "../tls/serving.ts";
import type { WebhookKeeper } from "./keeper.ts";

/** Why a Pod of the check got no gate. A closed set, fit for a metric label. */
export const CHECK_CAUSES = ["rights", "namespace", "configuration", "tls", "unreachable", "unknown"] as const;
export type CheckCause = (typeof CHECK_CAUSES)[number];

/** What the last check found; undefined: none has come to a result yet. `cause` undefined: the gate arrives. */
export type CheckResult = { readonly atMs: number; readonly cause: CheckCause | undefined; readonly message: string };

export type AdmissionCheckDeps = {
  readonly client: Pick<KubeClient, "create" | "list">;
  readonly keeper: Pick<WebhookKeeper, "faults" | "lacksTrustOnly" | "clusterIp" | "object">;
  readonly serving: ServingSource;
  readonly namespace: string;
  readonly gateType: string;
  readonly clock: Clock;
  /** What certificates are judged by, here and at the API server. */
  readonly wallClock: Pick<Clock, "now">;
  readonly log: Logger;
  readonly tell: (problem: Problem) => void;
  readonly onResult: (cause: CheckCause | undefined) => void;
  /** How the webhook's Service answers a TLS client that trusts our bundle; default: a connection to its cluster address. */
  readonly dial?: () => Promise<Dialled>;
};

const EVERY_MS = 30_000;
/** A failure is looked at again sooner: the keeper mends within seconds. */
const AGAIN_MS = 5_000;
const DIAL_MS = 2_000;
const MINUTE_MS = 60_000;
/** Clocks that are so far apart explain a certificate that is not valid elsewhere; it is valid since five minutes before its issue. */
const CLOCKS_MS = 5 * MINUTE_MS;
/** What was put right or swapped has arrived at every API server by then (a changed configuration: 12 ms, kubernetes.md §8). */
const SETTLE_MS = 500;

export interface AdmissionCheck {
  readonly last: CheckResult | undefined;
  /** Something has changed: looks soon. */
  soon(): void;
  run(signal: AbortSignal): Promise<void>;
}

/** Proves through the real API server that the gate arrives: a Pod that is created as a dry run, in a Namespace of its own. */
export function makeAdmissionCheck(deps: AdmissionCheckDeps): AdmissionCheck {
  const { clock, serving, onResult } = deps;
  const latch = makeLatch(clock);
  let last: CheckResult | undefined;
  /** An API server that has just begun denies everything for a few seconds: one denial is no missing right. */
  let wasDenied = false;
  const look = async (signal: AbortSignal): Promise<void> => {
    const found = await findingOf(deps, signal);
    const isFirstDenial = found?.cause === "rights" && !wasDenied;
    wasDenied = found?.cause === "rights";
    if (found === undefined || isFirstDenial) return; // the API server was not heard: nothing is known
    last = { atMs: clock.now(), ...found };
    onResult(found.cause);
    if (found.cause !== undefined) tellFailure(deps, found.message);
  };
  return {
    get last() {
      return last;
    },
    soon: () => latch.set(),
    async run(signal) {
      const unsubscribe = serving.subscribe(() => latch.set());
      await clock.sleep(AGAIN_MS, signal).catch(() => undefined); // a new leader's keeper comes first
      while (!signal.aborted) {
        await look(signal).catch((err: unknown) => {
          if (!signal.aborted) deps.log.warn({ err }, "admission not checked");
        });
        await latch.wait(last?.cause === undefined && !wasDenied ? EVERY_MS : AGAIN_MS, signal);
        await clock.sleep(SETTLE_MS, signal).catch(() => undefined);
      }
      unsubscribe();
    },
  };
}

function tellFailure({ keeper, log, tell }: AdmissionCheckDeps, message: string): void {
  log.error({ finding: message }, "the readiness gate does not arrive");
  const { object } = keeper;
  if (object !== undefined) tell({ object, type: "Warning", reason: "AdmissionNotWorking", message });
}

/** Answers about the Pod, not about the API server: a patch that does not apply is a 500 to the user, a bad one a 422. */
const REFUSED: ReadonlySet<KubeFailure> = new Set(["badRequest", "denied", "invalid", "server"]);

type Finding = Pick<CheckResult, "cause" | "message">;

async function findingOf(deps: AdmissionCheckDeps, signal: AbortSignal): Promise<Finding | undefined> {
  const { client, gateType, keeper } = deps;
  const failed = (cause: CheckCause, why: string): Finding => ({
    cause,
    message: `Pods that are created get no readiness gate from the webhook (${cause}): ${why}. Until it is mended a rollout may be faster than the load balancer`,
  });
  let answer: unknown;
  try {
    answer = await client.create(kubePath`/api/v1/namespaces/${CANARY_NAMESPACE}/pods`, canary(), {
      query: { dryRun: "All" },
      signal,
    });
    if (hasGate(answer, gateType)) return { cause: undefined, message: "the readiness gate arrives" };
  } catch (err) {
    if (!(err instanceof KubeApiError)) throw err;
    const isDenied = err.failure === "denied" && /cannot \w+ resource|denied request/.test(err.message);
    if (
      err.failure === "notFound" ||
      /is being terminated|error looking up service account/.test(err.message) ||
      (isDenied && (await theNamespace(client, signal)) === null)
    )
      return failed("namespace", `Namespace ${CANARY_NAMESPACE} of the check does not exist: apply the chart's objects again`);
    if (isDenied) return failed("rights", `${err.message}: apply the chart's roles and policies again`);
    if (REFUSED.has(err.failure)) return failed("unknown", `the API server refuses the Pod of the check: ${err.message}`);
    return undefined;
  }
  const faults = keeper.faults;
  if (faults.length > 0) return failed(keeper.lacksTrustOnly ? "tls" : "configuration", faultsText(keeper));
  if ((await theNamespace(client, signal))?.labels?.[INJECT_LABEL] === "disabled")
    return failed(
      "namespace",
      `Namespace ${CANARY_NAMESPACE} of the check is labelled ${INJECT_LABEL}=disabled, so no webhook is asked there: take the label away`,
    );
  const untimely = untimelyCertificate(deps, answer);
  if (untimely !== undefined) return failed("tls", untimely);
  const dialled = await (deps.dial ?? (() => dialService(deps)))();
  if (dialled === "tls")
    return failed(
      "tls",
      `who answers at Service ${WEBHOOK_SERVICE} has no certificate of the coordinator's authority: a replica that lags takes a new one over within seconds, else look who the Service's EndpointSlices lead to`,
    );
  if (dialled === "unreachable")
    return failed(
      "unreachable",
      `Service ${WEBHOOK_SERVICE} does not lead to a replica that answers: is one ready, and does a NetworkPolicy stop the API server?`,
    );
  return failed(
    "unknown",
    "it can be reached from the coordinator, but not from the API server, or the configuration has not arrived there yet",
  );
}

const faultsText = ({ faults, lacksTrustOnly }: AdmissionCheckDeps["keeper"]): string =>
  lacksTrustOnly
    ? `the API server is told to trust others than the coordinator's authority (${faults.join("; ")}); the coordinator puts it back, unless somebody changes it again and again or the coordinator's right is missing`
    : faults.join("; ");

/**
 * What the API server has against the time of our certificate; undefined: nothing. It judges by its own clock, which it has told: that of the
 * Pod's creation. Ours may be wrong, and then nothing that we could dial would show it.
 */
function untimelyCertificate({ serving, wallClock }: AdmissionCheckDeps, answer: unknown): string | undefined {
  const createdAt = member(member(answer, "metadata"), "creationTimestamp");
  const atMs = typeof createdAt === "string" ? Date.parse(createdAt) : Number.NaN;
  if (Number.isNaN(atMs)) return undefined;
  const { current } = serving;
  const fault = certificateFault({ ...current, caPem: current.caBundlePem }, atMs, []);
  if (fault !== "expired" && fault !== "not-yet-valid") return undefined;
  const aheadMs = wallClock.now() - atMs;
  const clocks =
    Math.abs(aheadMs) < CLOCKS_MS
      ? "the coordinator renews it"
      : `the coordinator's own is ${Math.round(Math.abs(aheadMs) / MINUTE_MS)} minutes ${aheadMs > 0 ? "ahead" : "behind"}: put the clocks of the nodes right`;
  const what = fault === "expired" ? "has expired" : "is not valid yet";
  return `by the API server's clock its certificate ${what}; ${clocks}`;
}

type NamespaceMetadata = { readonly labels?: Readonly<Record<string, string>> };

/**
 * That of the check; null: there is none; undefined: unknown. The right to create the Pod goes away with the Namespace that its Role is in: a
 * denial says nothing of which of the two is missing.
 */
const theNamespace = (client: Pick<KubeClient, "list">, signal: AbortSignal): Promise<NamespaceMetadata | null | undefined> =>
  client
    .list<{ readonly metadata: NamespaceMetadata }>(
      "/api/v1/namespaces",
      { fieldSelector: `metadata.name=${CANARY_NAMESPACE}` },
      { signal },
    )
    .then(
      ({ items }) => (items[0] === undefined ? null : items[0].metadata),
      () => undefined,
    );

/** Fits every Pod Security level, and is meant for the webhook by its label. It never runs: only dry runs may be created there. */
const canary = (): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { generateName: "check-", namespace: CANARY_NAMESPACE, labels: { [INJECT_LABEL]: "enabled" } },
  spec: {
    automountServiceAccountToken: false,
    containers: [
      {
        name: "check",
        image: "clb-direct.invalid/check",
        securityContext: {
          allowPrivilegeEscalation: false,
          runAsNonRoot: true,
          runAsUser: 65_532,
          capabilities: { drop: ["ALL"] },
          seccompProfile: { type: "RuntimeDefault" },
        },
      },
    ],
  },
});

function dialService({ keeper, serving, namespace, log }: AdmissionCheckDeps): Promise<Dialled> {
  const host = keeper.clusterIp;
  if (host === undefined) return Promise.resolve("unreachable");
  return dialTls({ host, port: 443, servername: `${WEBHOOK_SERVICE}.${namespace}.svc`, ca: serving.current.caBundlePem }, log);
}

type Dialled = "ok" | "tls" | "unreachable";
type Dial = { readonly host: string; readonly port: number; readonly servername: string; readonly ca: string };

/** What an API server meets there that trusts `ca`: "tls" where it does not believe who answers. */
export function dialTls(to: Dial, log: Pick<Logger, "debug">, withinMs = DIAL_MS): Promise<Dialled> {
  return new Promise((resolve) => {
    const socket = connect({ ...to, timeout: withinMs });
    const end = (how: Dialled): void => {
      socket.destroy();
      resolve(how);
    };
    socket.once("secureConnect", () => end("ok"));
    socket.once("timeout", () => end("unreachable"));
    socket.once("error", (err: NodeJS.ErrnoException) => {
      log.debug({ err }, "the webhook's Service cannot be dialled");
      end(/CERT|SSL|ALTNAME|SELF_SIGNED|UNABLE_TO/.test(err.code ?? "") ? "tls" : "unreachable");
    });
  });
}
