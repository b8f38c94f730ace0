import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Cloud } from "../cloud.ts";
import { CloudError } from "../model/errors.ts";
import { UNSIGNED_ACTION } from "../services/sts/sts.ts";
import { readQuery } from "./query.ts";
import { type SigningKeys, verifySignature } from "./signature.ts";

/** Largest body of a signed POST and largest query of a GET. Source: clb-api.md §1.2. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;
const MAX_QUERY_BYTES = 32 * 1024;

export type RequestDeps = {
  readonly cloud: Cloud;
  /** Wall time in ms: signatures stay in real time also where the cloud's clock is scaled. */
  readonly wallMs: () => number;
  readonly signingKeys: SigningKeys;
};

/** A call as it came over HTTP, its caller known and its parameters decoded, not checked. */
export type ApiRequest = {
  readonly service: string;
  readonly action: string;
  readonly parameters: unknown;
  /** `region` is where the call entered, by the host name; the rate limit goes by it (clb-api.md §1.5). */
  readonly caller: { readonly name: string; readonly region: string; readonly bytes: number };
};

/** Rejects with the CloudError of a request that no action gets to see; it is in the journal then. */
export async function readApiRequest(request: IncomingMessage, { cloud, wallMs, signingKeys }: RequestDeps): Promise<ApiRequest> {
  const action = header(request, "x-tc-action");
  let name = "unknown";
  try {
    const sent = await receive(request);
    name = callerOf(request, sent, cloud, { nowMs: wallMs(), signingKeys });
    const service = serviceOf(cloud, request);
    const parameters = sent.method === "GET" ? readQuery(sent.query, cloud.fieldsOf(service, action) ?? {}) : readJson(request, sent.body);
    return { service, action, parameters, caller: { name, region: accessRegion(request), bytes: sent.body.length + sent.query.length } };
  } catch (error) {
    if (error instanceof CloudError) {
      error.requestId = randomUUID();
      cloud.noteRefused(action, name, error);
    }
    throw error;
  }
}

type Sent = { readonly method: "GET" | "POST"; readonly query: string; readonly body: Buffer };

/** Throws UnsupportedProtocol, InvalidRequest, RequestSizeLimitExceeded. */
async function receive(request: IncomingMessage): Promise<Sent> {
  const [path = "/", query = ""] = (request.url ?? "/").split("?");
  const body = await bodyOf(request);
  const { method } = request;
  if (method !== "GET" && method !== "POST") throw new CloudError("UnsupportedProtocol", `only GET and POST are supported, got ${method}`);
  if (path !== "/") throw new CloudError("InvalidRequest", `the path is always /, got ${path}`);
  if (query.length > MAX_QUERY_BYTES)
    throw new CloudError("RequestSizeLimitExceeded", `a GET request may have ${MAX_QUERY_BYTES} bytes, this one has ${query.length}`);
  return { method, query, body };
}

/** Reads to the end also what is too large: a client that still sends would never see the answer. */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
  });
  await new Promise((resolve, reject) => {
    request.once("end", resolve).once("error", reject); // events, for an async iterator costs a tenth of a small call
  });
  if (size > MAX_BODY_BYTES)
    throw new CloudError("RequestSizeLimitExceeded", `a POST request may have ${MAX_BODY_BYTES} bytes, this one has ${size}`);
  return Buffer.concat(chunks);
}

/** Who signed it; the one action that needs no signature may come with "SKIP". Throws AuthFailure.*. */
function callerOf(
  request: IncomingMessage,
  sent: Sent,
  cloud: Cloud,
  { nowMs, signingKeys }: { readonly nowMs: number; readonly signingKeys: SigningKeys },
): string {
  if (request.headers.authorization === "SKIP" && header(request, "x-tc-action") === UNSIGNED_ACTION) return "web-identity";
  const key = verifySignature({ ...sent, headers: request.headers }, cloud.keyring, nowMs, signingKeys);
  return key.account ?? key.secretId;
}

/** Throws MissingParameter, NoSuchVersion. */
function serviceOf(cloud: Cloud, request: IncomingMessage): string {
  const [action, version] = [header(request, "x-tc-action"), header(request, "x-tc-version")];
  for (const [name, value] of Object.entries({ Action: action, Version: version }))
    if (value === "")
      throw new CloudError("MissingParameter", `The request is missing a required parameter \`${name}\` (header X-TC-${name}).`);
  const service = cloud.serviceOf(version, action, hostLabels(request)[0]);
  if (service === undefined) throw new CloudError("NoSuchVersion", `The API version ${version} is not known.`);
  return service;
}

/** Throws InvalidRequest. */
function readJson(request: IncomingMessage, body: Buffer): unknown {
  const type = header(request, "content-type");
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new CloudError("InvalidRequest", `a POST signed with TC3-HMAC-SHA256 is sent as application/json, got "${type}"`);
  try {
    return body.length === 0 ? {} : JSON.parse(body.toString("utf8"));
  } catch {
    throw new CloudError("InvalidRequest", "the body is not JSON");
  }
}

const hostLabels = (request: IncomingMessage): string[] => header(request, "host").toLowerCase().replace(/:\d+$/, "").split(".");

/** "clb.ap-guangzhou.tencentcloudapi.com" -> "ap-guangzhou"; "" where the name has no region and the nearest one answers. */
const accessRegion = (request: IncomingMessage): string => {
  const [, label = ""] = hostLabels(request);
  return /^[a-z]{2}-[a-z]+(-\d+)?$/.test(label) ? label : "";
};

export const header = (request: IncomingMessage, name: string): string => {
  const value = request.headers[name];
  return Array.isArray(value) ? (value[0] ?? "") : (value ?? "");
};
