import type { HealthSettings } from "../model/account.ts";

/** Whether what came so far means well, ill, or nothing yet. */
export type Verdict = (received: Buffer) => boolean | undefined;

/** What an HTTP probe sends. Default method: clb-api.md §4.3. */
export function httpRequest(check: HealthSettings, ip: string): Buffer {
  const { HttpCheckMethod: method = "HEAD", HttpCheckPath: path = "/", HttpVersion: version = "HTTP/1.1" } = check;
  const host = check.HttpCheckDomain ?? ip;
  return Buffer.from(
    `${method} ${path} ${version}\r\nHost: ${host}\r\nUser-Agent: clb-healthcheck\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
  );
}

/** The status class must be in the mask: 1 = 1xx, 2 = 2xx, 4 = 3xx, 8 = 4xx, 16 = 5xx. Source: clb-api.md §4.3. */
export const httpVerdict =
  ({ HttpCode: mask = 31 }: HealthSettings): Verdict =>
  (received) => {
    if (received.length < "HTTP/1.1 200".length) return undefined;
    const [, first] = /^HTTP\/1\.[01] ([1-5])\d\d/.exec(received.toString("latin1")) ?? [];
    return first !== undefined && (mask & (2 ** (Number(first) - 1))) !== 0;
  };

/** What a CUSTOM probe sends. */
export const sentBytes = ({ SendContext: context = "", ContextType: type }: HealthSettings): Buffer =>
  Buffer.from(context, type === "HEX" ? "hex" : "latin1");

/** What the answer to a CUSTOM probe must begin with. (That more may follow is assumed.) */
export const expectedBytes = ({ RecvContext: context = "", ContextType: type }: HealthSettings): Buffer =>
  Buffer.from(context, type === "HEX" ? "hex" : "latin1");

export const replyVerdict =
  (expected: Buffer): Verdict =>
  (received) => {
    const known = Math.min(received.length, expected.length);
    if (!received.subarray(0, known).equals(expected.subarray(0, known))) return false;
    return received.length >= expected.length ? true : undefined;
  };

/** E.g. "0-2,12" -> [0, 1, 2, 12]. Default: 12, the method is not implemented. Source: clb-api.md §4.3. */
export function grpcCodes(wanted = "12"): number[] {
  return wanted.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}
