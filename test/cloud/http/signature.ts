import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { CloudError } from "../model/errors.ts";
import type { ApiKey } from "../runtime/options.ts";
import type { Keyring } from "../services/sts/keyring.ts";

/** Most seconds between the client's timestamp and ours. Source: clb-api.md §1.2. */
const SKEW_S = 300;

/** What `X-TC-Content-SHA256` may say instead of the hash of the body. Observed in the SDKs for Python and Go (option UnsignedPayload). */
const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

const sha256 = (text: string | Buffer): string => hash("sha256", text);
const hmac = (key: string | Buffer | KeyObject, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** Keys derived for a day and a service, since deriving one costs more than all the rest of a check. By "secretKey/date/service". */
export type SigningKeys = Map<string, KeyObject>;
/** Temporary keys come and go; when there are more than this, all are derived anew. */
const KEPT_SIGNING_KEYS = 1000;

export type SignedRequest = {
  readonly method: string;
  /** As sent, without the question mark; empty for POST. */
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

/** The key that signed the request; `derived` is kept by the caller from one to the next. Throws AuthFailure.* as clb-api.md §8.2 says. */
export function verifySignature(
  request: SignedRequest,
  keys: Pick<Keyring, "find">,
  nowMs: number,
  derived: SigningKeys = new Map(),
): ApiKey {
  const scope = parseAuthorization(request.headers.authorization ?? "");
  const timestamp = one(request.headers["x-tc-timestamp"]);
  const seconds = Number(timestamp);
  if (!/^\d+$/.test(timestamp) || Math.abs(nowMs / 1000 - seconds) > SKEW_S)
    throw new CloudError(
      "AuthFailure.SignatureExpire",
      `The signature has expired: X-TC-Timestamp is ${timestamp || "missing"}, the server's time ${Math.floor(nowMs / 1000)}.`,
    );
  if (scope.date !== new Date(seconds * 1000).toISOString().slice(0, 10))
    throw new CloudError("AuthFailure.SignatureFailure", `The date ${scope.date} of the credential scope is not that of X-TC-Timestamp.`);
  const key = keys.find(scope.secretId);
  if (key === undefined) throw new CloudError("AuthFailure.SecretIdNotFound", `The SecretId ${scope.secretId} is not found.`);
  const host = one(request.headers.host);
  // SDKs sign the host name without the port of the endpoint; a few sign the Host header as sent. Both are honest.
  const signingKey = signingKeyOf(key, scope, derived);
  const names = [host.replace(/:\d+$/, ""), host];
  const matches = names.some((name) => sameText(scope.signature, sign(request, scope, signingKey, timestamp, name)));
  if (!matches)
    throw new CloudError(
      "AuthFailure.SignatureFailure",
      "The provided credentials could not be validated. Please check your signature is correct.",
    );
  requireToken(key, one(request.headers["x-tc-token"]), nowMs);
  return key;
}

/** Temporary keys end; until then they count only together with their token. Throws AuthFailure.TokenFailure. */
function requireToken(key: ApiKey, token: string, nowMs: number): void {
  if (key.token === undefined) return;
  if (key.token !== token)
    throw new CloudError("AuthFailure.TokenFailure", "The token of the temporary credentials is wrong or missing (X-TC-Token).");
  if (key.expiresMs !== undefined && key.expiresMs <= nowMs)
    throw new CloudError("AuthFailure.TokenFailure", `The temporary credentials have expired at ${new Date(key.expiresMs).toISOString()}.`);
}

function signingKeyOf({ secretKey }: ApiKey, { date, service }: Scope, derived: SigningKeys): KeyObject {
  const name = `${secretKey}/${date}/${service}`;
  const known = derived.get(name);
  if (known !== undefined) return known;
  const signingKey = createSecretKey(hmac(hmac(hmac(`TC3${secretKey}`, date), service), "tc3_request"));
  if (derived.size >= KEPT_SIGNING_KEYS) derived.clear();
  derived.set(name, signingKey);
  return signingKey;
}

function sign(request: SignedRequest, scope: Scope, signingKey: KeyObject, timestamp: string, hostname: string): string {
  const headers = scope.signedHeaders
    .split(";")
    .map((name) => `${name}:${(name === "host" ? hostname : one(request.headers[name])).trim().toLowerCase()}\n`)
    .join("");
  const payload = one(request.headers["x-tc-content-sha256"]) === UNSIGNED_PAYLOAD ? UNSIGNED_PAYLOAD : request.body;
  const canonical = [request.method, "/", request.query, headers, scope.signedHeaders, sha256(payload)].join("\n");
  const credentialScope = `${scope.date}/${scope.service}/tc3_request`;
  const toSign = ["TC3-HMAC-SHA256", timestamp, credentialScope, sha256(canonical)].join("\n");
  return hmac(signingKey, toSign).toString("hex");
}

/** Its three parts may come in any order, with or without spaces. Throws AuthFailure.InvalidAuthorization. */
function parseAuthorization(header: string): Scope {
  const [scheme = "", ...rest] = header.trim().split(/\s+/);
  const parts = new Map(
    rest
      .join("")
      .split(",")
      .map((part): [string, string] => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]),
  );
  const [secretId = "", date = "", service = "", end, ...more] = (parts.get("Credential") ?? "").split("/");
  const [signedHeaders = "", signature = ""] = [parts.get("SignedHeaders"), parts.get("Signature")];
  const readable = secretId !== "" && date !== "" && service !== "" && end === "tc3_request" && more.length === 0;
  if (scheme !== "TC3-HMAC-SHA256" || !readable || signedHeaders === "" || !/^[0-9a-f]{64}$/.test(signature))
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
