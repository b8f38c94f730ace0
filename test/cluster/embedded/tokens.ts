import { generateKeyPairSync, randomUUID, sign, verify } from "node:crypto";
import { isRaw, type Raw, rawIn, secondsOf } from "./objects.ts";
import { resourceNamed } from "./resources.ts";
import { failure, wrong } from "./status.ts";
import type { Store } from "./store.ts";

export type User = {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Record<string, string[]>;
};
export type Review = { readonly user: User; readonly audiences: readonly string[] } | { readonly error: string };

/** Issuer and the API server's own audience. */
const API_AUDIENCE = "https://kubernetes.default.svc.cluster.local";
/** A token is accepted this long after `exp`. Source: kubernetes.md §4, seen. */
const LEEWAY_SECONDS = 60;

const rejected = (why: string): Review => ({ error: `[invalid bearer token, ${why}]` });
type Ref = { name: string; uid?: string };
type Claims = {
  aud: string[];
  exp: number;
  jti: string;
  "kubernetes.io": { namespace: string; serviceaccount: Required<Ref>; pod?: Ref; node?: Ref };
};
export type TokenOptions = { readonly adminToken: string; readonly nowMs: () => number; readonly cacheMs: number };

/** ServiceAccount tokens: issuing (TokenRequest) and checking (requests, TokenReview), with the server's cache of positive answers. */
export class Tokens {
  readonly #store: Store;
  readonly #options: TokenOptions;
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #kid = randomUUID();
  readonly #cache = new Map<string, { readonly review: Review; readonly untilMs: number }>();

  constructor(store: Store, options: TokenOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Who a token belongs to, for the wanted audiences (none: the API server's own). */
  review(token: string, wanted: readonly string[] = []): Review {
    const audiences = wanted.length > 0 ? wanted : [API_AUDIENCE];
    if (token === this.#options.adminToken) {
      if (!audiences.includes(API_AUDIENCE)) return { error: "invalid bearer token" };
      return { user: { username: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] }, audiences: [API_AUDIENCE] };
    }
    const key = `${audiences.join(" ")} ${token}`;
    const cached = this.#cache.get(key);
    if (cached && cached.untilMs > this.#options.nowMs()) return cached.review;
    this.#cache.delete(key);
    const review = this.#check(token, audiences);
    if (!("error" in review)) this.#cache.set(key, { review, untilMs: this.#options.nowMs() + this.#options.cacheMs });
    return review;
  }

  #check(token: string, wanted: readonly string[]): Review {
    const claims = this.#verified(token);
    if (claims === undefined) return { error: "invalid bearer token" };
    const audiences = wanted.filter((audience) => claims.aud.includes(audience));
    const why = `token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(wanted)}`;
    if (audiences.length === 0) return rejected(why);
    if (this.#options.nowMs() / 1_000 > claims.exp + LEEWAY_SECONDS) return rejected("service account token has expired");
    const { namespace, serviceaccount, pod, node } = claims["kubernetes.io"];
    const uidOf = (plural: string, home: string | undefined, ref: Ref): string | undefined =>
      this.#store.get(plural, home, ref.name)?.metadata.uid;
    const podUid = pod && uidOf("pods", namespace, pod);
    const invalidated =
      uidOf("serviceaccounts", namespace, serviceaccount) !== serviceaccount.uid ||
      (pod && podUid === undefined) ||
      (node && !pod && uidOf("nodes", undefined, node) !== node.uid); // a Pod-bound token outlives its Node
    if (invalidated) return rejected("service account token has been invalidated");
    if (pod && podUid !== pod.uid) return rejected(`pod UID (${podUid}) does not match service account pod ref claim (${pod.uid})`);
    const extra: Record<string, string[]> = { "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`] };
    const note = (name: string, value: string | undefined): void => {
      if (value !== undefined) extra[`authentication.kubernetes.io/${name}`] = [value];
    };
    note("node-name", node?.name);
    note("node-uid", node?.uid);
    note("pod-name", pod?.name);
    note("pod-uid", pod?.uid);
    const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
    return {
      user: { username: `system:serviceaccount:${namespace}:${serviceaccount.name}`, uid: serviceaccount.uid, groups, extra },
      audiences,
    };
  }

  #verified(token: string): Claims | undefined {
    const [head = "", body = "", signature = ""] = token.split(".");
    const key = { key: this.#keys.publicKey, dsaEncoding: "ieee-p1363" as const };
    if (!verify("sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))) return undefined;
    return JSON.parse(Buffer.from(body, "base64url").toString()) as Claims; // signed by ourselves, so the shape is ours
  }

  /** Answers a TokenRequest with its status filled in; the audiences default to the API server's. */
  issue(namespace: string, name: string, request: Raw): Raw {
    const account = this.#store.get("serviceaccounts", namespace, name);
    if (account === undefined) throw failure.notFound(resourceNamed("serviceaccounts"), name);
    const spec = rawIn(request, "spec");
    const seconds = typeof spec["expirationSeconds"] === "number" ? spec["expirationSeconds"] : 3_600;
    if (seconds < 600) {
      const cause = wrong.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
      throw failure.invalid({ group: "authentication.k8s.io", plural: "tokenrequests", kind: "TokenRequest" }, "", [cause]);
    }
    const audiences = Array.isArray(spec["audiences"]) && spec["audiences"].length > 0 ? spec["audiences"].map(String) : [API_AUDIENCE];
    const now = Math.floor(this.#options.nowMs() / 1_000);
    const bound = isRaw(spec["boundObjectRef"]) ? this.#bound(namespace, name, spec["boundObjectRef"]) : {};
    const identity = { namespace, ...bound, serviceaccount: { name, uid: account.metadata.uid } };
    const claims = { aud: audiences, exp: now + seconds, iat: now, iss: API_AUDIENCE, jti: randomUUID(), nbf: now };
    const token = this.#signed({ ...claims, "kubernetes.io": identity, sub: `system:serviceaccount:${namespace}:${name}` });
    const metadata = { name, namespace, creationTimestamp: secondsOf(now * 1_000) };
    const status = { token, expirationTimestamp: secondsOf((now + seconds) * 1_000) };
    const answered = { ...spec, audiences, expirationSeconds: seconds };
    return { kind: "TokenRequest", apiVersion: "authentication.k8s.io/v1", metadata, spec: answered, status };
  }

  #bound(namespace: string, account: string, ref: Raw): Pick<Claims["kubernetes.io"], "pod" | "node"> {
    const kind = ref["kind"];
    if (kind !== "Pod" && kind !== "Node") throw failure.badRequest(`cannot bind token to object of type ${JSON.stringify(kind)}`);
    const resource = resourceNamed(kind === "Pod" ? "pods" : "nodes");
    const name = String(ref["name"]);
    const object = this.#store.get(resource.plural, kind === "Pod" ? namespace : undefined, name);
    if (object === undefined) throw failure.notFound(resource, name);
    const { uid } = object.metadata;
    const why = `the UID in the bound object reference (${JSON.stringify(ref["uid"])}) does not match the UID in record`;
    if (ref["uid"] && ref["uid"] !== uid) throw failure.conflict(resource, name, why);
    if (kind === "Node") return { node: { name, uid } };
    const { nodeName, serviceAccountName } = object.spec ?? {};
    const other = `cannot bind token for serviceaccount "${account}" to pod running with different serviceaccount name.`;
    if (serviceAccountName !== account) throw failure.badRequest(other);
    if (!nodeName) return { pod: { name, uid } };
    const node = this.#store.get("nodes", undefined, nodeName);
    return { node: { name: nodeName, ...(node && { uid: node.metadata.uid }) }, pod: { name, uid } };
  }

  #signed(claims: Raw): string {
    const parts = [{ alg: "ES256", kid: this.#kid }, claims];
    const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    return `${text}.${sign("sha256", Buffer.from(text), { key: this.#keys.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }
}

/** POST of a TokenReview: always an answer, a failure is `authenticated` left out. Only an empty token is refused. */
export function tokenReview(tokens: Tokens, body: Raw): Raw {
  const spec = rawIn(body, "spec");
  const token = spec["token"];
  if (typeof token !== "string" || token === "") throw failure.badRequest("token is required for TokenReview in authentication");
  const review = tokens.review(token, Array.isArray(spec["audiences"]) ? spec["audiences"].map(String) : []);
  const status = "error" in review ? { user: {}, error: review.error } : { authenticated: true, ...review };
  return { kind: "TokenReview", apiVersion: "authentication.k8s.io/v1", metadata: { creationTimestamp: null }, spec, status };
}
