import { STATUS_CODES } from "node:http";
import sdkException from "tencentcloud-sdk-nodejs/tencentcloud/common/exception/tencent_cloud_sdk_exception.js";
import type { CloudTransport } from "../../coordinator/cloud/transport.ts";
import type { Cloud } from "./cloud.ts";
import { SENT_AS } from "./faults/effects.ts";
import { CloudError, TransportFault } from "./model/errors.ts";
import type { Caller } from "./runtime/call.ts";
import type { Probe } from "./runtime/probe.ts";

/** For `CloudOptions.probe` in a virtual run: every target turns Alive in the time that its check takes, without any network. */
export const alwaysHealthy: Probe = async () => true;

/**
 * The cloud as a transport, without HTTP and signature. What goes in and out passes through JSON as on the wire; what it rejects
 * with is what the SDK throws: an error of the API has `code` and `requestId`, a failure below it has neither. An aborted call
 * rejects with the signal's reason at once and goes on in the cloud, as it would behind a connection that was closed.
 */
export function inProcessTransport(cloud: Cloud, caller: Partial<Caller> = {}): CloudTransport {
  const answer = async (service: string, action: string, request: object): Promise<unknown> => {
    try {
      const response = await cloud.call(service, action, overTheWire(request), caller);
      if (response[SENT_AS] === "truncated") throw new SyntaxError("invalid json response body, reason: Unexpected end of JSON input");
      return overTheWire(response);
    } catch (error) {
      throw asSdkError(error);
    }
  };
  return (service, action, request, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      void answer(service, action, request)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", onAbort));
    });
}

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** Messages as the SDK and node-fetch below it write them. */
function asSdkError(error: unknown): unknown {
  if (error instanceof CloudError) return Object.assign(new sdkException.default(error.message, error.requestId), { code: error.code });
  if (!(error instanceof TransportFault)) return error;
  if (error.status === undefined) return new sdkException.default("request to the emulated cloud failed, reason: socket hang up");
  return Object.assign(new sdkException.default(STATUS_CODES[error.status] ?? ""), { httpCode: error.status });
}
