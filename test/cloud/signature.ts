import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { CloudError } from "./errors.ts";
import type { ApiKey } from "./options.ts";

/** Most seconds between the client's timestamp and ours. Source: clb-api.md §1.2. */
const SKEW_S = 300;

const sha256 = (text: string | Buffer): string => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

export type SignedRequest = {
  readonly method: string;
  /** Without the question mark; empty for POST. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
};

/** What is signed. `date` and `service` come from the credential scope, e.g. service "127" for endpoint 127.0.0.1:8080. */
type Scope = {
  readonly secretId: string;
  readonly date: string;
  readonly service: string;
  readonly signedHeaders: string;
  readonly signature: string;
};

/** The key that signed the request. Throws AuthFailure.* as clb-api.md §8.2 says. */
export function verifySignature(request: SignedRequest, keys: ReadonlyMap<string, ApiKey>, nowMs: number): ApiKey {
  const scope = parseAuthorization(request.headers.authorization ?? "");
  const timestamp = one(request.headers["x-tc-timestamp"]);
  const seconds = Number(timestamp);
  if (!Number.isInteger(seconds) || Math.abs(nowMs / 1000 - seconds) > SKEW_S)
    throw new CloudError(
      "AuthFailure.SignatureExpire",
      `The signature has expired: X-TC-Timestamp is ${timestamp || "missing"}, the server's time ${Math.floor(nowMs / 1000)}.`,
    );
  if (scope.date !== new Date(seconds * 1000).toISOString().slice(0, 10))
    throw new CloudError("AuthFailure.SignatureFailure", `The date ${scope.date} of the credential scope is not that of X-TC-Timestamp.`);
  const key = keys.get(scope.secretId);
  if (key === undefined) throw new CloudError("AuthFailure.SecretIdNotFound", `The SecretId ${scope.secretId} is not found.`);
  const host = one(request.headers.host);
  // SDKs sign the host name without the port of the endpoint; a few sign the Host header as sent. Both are honest.
  const matches = [host.replace(/:\d+$/, ""), host].some((name) => sameText(scope.signature, sign(request, scope, key, timestamp, name)));
  if (!matches)
    throw new CloudError(
      "AuthFailure.SignatureFailure",
      "The provided credentials could not be validated. Please check your signature is correct.",
    );
  if (key.token !== undefined && key.token !== one(request.headers["x-tc-token"]))
    throw new CloudError("AuthFailure.TokenFailure", "The token of the temporary credentials is wrong or missing.");
  return key;
}

function sign(request: SignedRequest, scope: Scope, key: ApiKey, timestamp: string, hostname: string): string {
  const headers = scope.signedHeaders
    .split(";")
    .map((name) => `${name}:${(name === "host" ? hostname : one(request.headers[name])).trim().toLowerCase()}\n`)
    .join("");
  const canonical = [request.method, "/", request.query, headers, scope.signedHeaders, sha256(request.body)].join("\n");
  const credentialScope = `${scope.date}/${scope.service}/tc3_request`;
  const toSign = ["TC3-HMAC-SHA256", timestamp, credentialScope, sha256(canonical)].join("\n");
  return hmac(hmac(hmac(hmac(`TC3${key.secretKey}`, scope.date), scope.service), "tc3_request"), toSign).toString("hex");
}

const AUTHORIZATION =
  /^TC3-HMAC-SHA256\s+Credential=([^/\s]+)\/([^/\s]+)\/([^/\s]+)\/tc3_request,\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/;

function parseAuthorization(header: string): Scope {
  const [, secretId, date, service, signedHeaders, signature] = AUTHORIZATION.exec(header) ?? [];
  if (secretId === undefined || date === undefined || service === undefined || signedHeaders === undefined || signature === undefined)
    throw new CloudError(
      "AuthFailure.InvalidAuthorization",
      "The Authorization header is missing or not of the form TC3-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=….",
    );
  const names = signedHeaders.split(";");
  if (!names.includes("content-type") || !names.includes("host"))
    throw new CloudError("AuthFailure.InvalidAuthorization", "SignedHeaders must contain content-type and host.");
  return { secretId, date, service, signedHeaders, signature };
}

const one = (value: string | string[] | undefined): string => (Array.isArray(value) ? (value[0] ?? "") : (value ?? ""));

const sameText = (left: string, right: string): boolean =>
  left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));
