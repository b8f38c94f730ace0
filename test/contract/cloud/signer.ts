import { createHash, createHmac } from "node:crypto";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { type ApiKey, TEST_KEY } from "../../cloud/runtime/options.ts";

/** How a client that is not the Node SDK writes its request. What is left out is as the documentation has it. */
export type Wish = {
  readonly action: string;
  readonly version?: string;
  readonly method?: "GET" | "POST";
  /** Body of a POST, or query of a GET, as sent. */
  readonly payload?: string;
  readonly contentType?: string;
  /** Names in the order in which they are signed. */
  readonly signedHeaders?: readonly string[];
  /** Sent as `Host` and signed; else the address. */
  readonly host?: string;
  readonly key?: ApiKey;
  readonly timestamp?: number;
  /** Sent as well, after the others or instead of them; "" leaves one out. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How `Authorization` is put together. */
  readonly authorization?: (scope: string, signedHeaders: string, signature: string) => string;
};

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const usual: NonNullable<Wish["authorization"]> = (scope, names, signature) =>
  `TC3-HMAC-SHA256 Credential=${scope}, SignedHeaders=${names}, Signature=${signature}`;

/** The headers of a signed request (TC3-HMAC-SHA256), written from the documentation alone. */
export function signedHeaders(wish: Wish, host: string): Record<string, string> {
  const { method = "POST", payload = method === "POST" ? "{}" : "", key = TEST_KEY, timestamp = Math.floor(Date.now() / 1000) } = wish;
  const headers: Record<string, string> = {
    "Content-Type": wish.contentType ?? (method === "GET" ? "application/x-www-form-urlencoded" : "application/json"),
    Host: host,
    "X-TC-Action": wish.action,
    "X-TC-Version": wish.version ?? "2018-03-17",
    "X-TC-Timestamp": String(timestamp),
    "X-TC-Region": "ap-guangzhou",
    ...(key.token !== undefined && { "X-TC-Token": key.token }),
    ...wish.headers,
  };
  const valueOf = (name: string): string => Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1] ?? "";
  const names = wish.signedHeaders ?? ["content-type", "host"];
  const canonicalHeaders = names.map((name) => `${name}:${valueOf(name).trim().toLowerCase()}\n`).join("");
  const hashed = valueOf("x-tc-content-sha256") === "UNSIGNED-PAYLOAD" ? "UNSIGNED-PAYLOAD" : method === "POST" ? payload : "";
  const query = method === "GET" ? payload : "";
  const canonical = [method, "/", query, canonicalHeaders, names.join(";"), sha256(hashed)].join("\n");
  const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
  const service = host.split(".")[0] ?? "";
  const scope = `${date}/${service}/tc3_request`;
  const toSign = ["TC3-HMAC-SHA256", String(timestamp), scope, sha256(canonical)].join("\n");
  const signature = hmac(hmac(hmac(hmac(`TC3${key.secretKey}`, date), service), "tc3_request"), toSign).toString("hex");
  const authorization = (wish.authorization ?? usual)(`${key.secretId}/${scope}`, names.join(";"), signature);
  const all = { ...headers, Authorization: authorization, ...wish.headers };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
}

export type Answered = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** What is in `Response`. */
  readonly response: { readonly Error?: { readonly Code: string; readonly Message: string }; readonly [name: string]: unknown };
};

/** Calls with a plain HTTP client. `ca` (PEM) makes it HTTPS. */
export function call(endpoint: string, wish: Wish, ca?: string): Promise<Answered> {
  const { method = "POST", payload = method === "POST" ? "{}" : "" } = wish;
  const headers = signedHeaders(wish, wish.host ?? endpoint);
  const [address = "", port] = endpoint.split(":");
  const options = { host: address, port, method, path: method === "GET" ? `/?${payload}` : "/", headers, agent: false as const };
  return new Promise((resolve, reject) => {
    const sent =
      ca === undefined ? httpRequest(options) : httpsRequest({ ...options, ca, servername: (wish.host ?? "").replace(/:\d+$/, "") });
    sent.once("error", reject).once("response", (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk)).once("error", reject);
      answer.once("end", () => {
        const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as { Response: Answered["response"] };
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, response: body.Response });
      });
    });
    sent.end(method === "POST" ? payload : undefined);
  });
}
