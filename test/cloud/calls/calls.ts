import { randomUUID } from "node:crypto";
import { SENT_AS, type SentAs } from "../faults/effects.ts";
import type { Journal } from "../journal/journal.ts";
import { CloudError, TransportFault } from "../model/errors.ts";
import type { AnyFields } from "../model/request-fields.ts";
import type { Caller } from "../runtime/call.ts";
import { LockedError } from "../runtime/tasks.ts";
import { type AnswerPorts, type Asked, makeAnswer } from "./answer.ts";
import { type CallCounts, type EndedCall, makeCallLog } from "./call-log.ts";
import { loadBalancerIdsOf, targetsIn, withoutNulls } from "./request.ts";

/** The API of the cloud, without HTTP and signature. */
export interface Calls {
  /** One API call; `bytes` is the size of its body. Rejects with CloudError (has `code`) or TransportFault (has none). */
  call(
    service: string,
    action: string,
    request: unknown,
    caller?: Partial<Caller> & { readonly bytes?: number },
  ): Promise<Record<string, unknown> & SentAs>;
  /** Puts a call into journal and counts that was refused before it came here: wrong signature, unknown version. */
  noteRefused(action: string, caller: string, error: CloudError): void;
  /**
   * The service that has this action in this API version, or the one that the host name begins with ("clb"); undefined if it has not this
   * version.
   */
  serviceOf(version: string, action: string, named?: string): string | undefined;
  /** What a request of this action may hold; undefined if there is no such action. A GET request needs it to tell 1 from "1". */
  fieldsOf(service: string, action: string): AnyFields | undefined;
  counts(): CallCounts;
}

type Ports = AnswerPorts & {
  readonly journal: Pick<Journal, "add">;
  /** Where calls enter that do not say it. */
  readonly region: string;
};

export function makeCalls(ports: Ports): Calls {
  const { clock, services } = ports;
  const answer = makeAnswer(ports);
  const log = makeCallLog(ports.journal);

  const call: Calls["call"] = async (service, action, given, { name = "in-process", region = ports.region, bytes = 0 } = {}) => {
    const startMs = Math.round(clock.now());
    const requestId = randomUUID();
    const request = withoutNulls(given ?? {});
    const loadBalancerIds = loadBalancerIdsOf(request);
    const asked: Asked = { service, action, request, caller: { name, region }, requestId, loadBalancerIds, isWrite: false, faults: [] };
    let failure: unknown;
    let sentAs: SentAs[typeof SENT_AS];
    log.begin(action);
    try {
      const response = { ...(await answer(asked)), RequestId: requestId };
      sentAs = response[SENT_AS];
      return response;
    } catch (error) {
      failure = error;
      if (error instanceof CloudError) error.requestId = requestId;
      throw error;
    } finally {
      log.end({ ...ended(asked, failure, sentAs), startMs, bytes });
    }
  };

  return {
    call,
    noteRefused: (action, caller, { code, message, requestId }) => {
      log.begin(action);
      log.end({ ...NOT_SEEN, startMs: Math.round(clock.now()), caller, action, requestId, code, message });
    },
    serviceOf: (version, action, named = "") => {
      const candidates = [...services].filter(([, service]) => service.version === version);
      if (services.has(named)) return candidates.find(([name]) => name === named)?.[0];
      return (candidates.find(([, service]) => Object.hasOwn(service.actions, action)) ?? candidates[0])?.[0];
    },
    fieldsOf: (service, action) => services.get(service)?.actions[action]?.fields,
    counts: () => log.counts(),
  };
}

/** Of a call that no action got to see. */
const NOT_SEEN = { service: "", isWrite: false, loadBalancerIds: [], targets: 0, bytes: 0, faults: [], lockWaitMs: 0 } as const;

function ended(asked: Asked, failure: unknown, sentAs: SentAs[typeof SENT_AS]): Omit<EndedCall, "startMs" | "bytes"> {
  const { service, action, request, caller, requestId, loadBalancerIds, isWrite, faults } = asked;
  return {
    caller: caller.name,
    service,
    action,
    isWrite,
    requestId,
    code: sentAs === "truncated" ? "TruncatedResponse" : codeOf(failure),
    loadBalancerIds,
    targets: targetsIn(request),
    ...(failure instanceof Error && { message: failure.message }),
    lockWaitMs: failure instanceof LockedError ? failure.lockWaitMs : 0,
    faults,
  };
}

function codeOf(failure: unknown): string {
  if (failure === undefined) return "OK";
  if (failure instanceof CloudError) return failure.code;
  return failure instanceof TransportFault ? failure.message : "InternalError";
}
