import { randomUUID } from "node:crypto";
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
/** A positive review is remembered this long. Source: kubernetes.md §4, seen. */
const CACHE_MS = 10_000;

const ADMIN: User = { username: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] };
const rejected = (why: string): Review => ({ error: `[invalid bearer token, ${why}]` });
type Ref = { readonly name: string; readonly uid?: string };
type Claims = {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly jti: string;
  readonly "kubernetes.io": { readonly namespace: string; readonly serviceaccount: Ref; readonly pod?: Ref; readonly node?: Ref };
};
type TokenOptions = { readonly adminToken: string; readonly nowMs: () => number };
const audiencesIn = (spec: Raw): string[] => {
  return Array.isArray(spec["audiences"]) && spec["audiences"].length > 0 ? spec["audiences"].map(String) : [API_AUDIENCE];
};

/** ServiceAccount tokens: issuing (TokenRequest) and checking (requests, TokenReview), with the server's cache of positive answers. */
export class Tokens {
  readonly #store: Store;
  readonly #options: TokenOptions;
  /** Tokens have the form of a JWT, but what is not in here was not issued: there is no key behind their signature. */
  readonly #issued = new Map<string, Claims>();
  readonly #cache = new Map<string, { readonly review: Review; readonly untilMs: number }>();

  constructor(store: Store, options: TokenOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Who a token belongs to, for the wanted audiences. */
  review(token: string, audiences: readonly string[] = [API_AUDIENCE]): Review {
    if (token === this.#options.adminToken && audiences.includes(API_AUDIENCE)) return { user: ADMIN, audiences: [API_AUDIENCE] };
    const key = `${audiences.join(" ")} ${token}`;
    const cached = this.#cache.get(key);
    if (cached && cached.untilMs > this.#options.nowMs()) return cached.review;
    this.#cache.delete(key);
    const review = this.#check(token, audiences);
    if (!("error" in review)) this.#cache.set(key, { review, untilMs: this.#options.nowMs() + CACHE_MS });
    return review;
  }

  #check(token: string, wanted: readonly string[]): Review {
    const claims = this.#issued.get(token);
    if (claims === undefined) return { error: "invalid bearer token" };
    const audiences = wanted.filter((audience) => claims.aud.includes(audience));
    const why = `token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(wanted)}`;
    if (audiences.length === 0) return rejected(why);
    if (this.#options.nowMs() / 1_000 > claims.exp + LEEWAY_SECONDS) return rejected("service account token has expired");
    const { namespace, serviceaccount, pod, node } = claims["kubernetes.io"];
    const uidOf = (plural: string, ref: Ref): string | undefined => this.#store.get(plural, namespace, ref.name)?.metadata.uid;
    const podUid = pod && uidOf("pods", pod);
    const invalidated = uidOf("serviceaccounts", serviceaccount) !== serviceaccount.uid || (pod && podUid === undefined);
    if (invalidated) return rejected("service account token has been invalidated"); // a Pod-bound token outlives its Node
    if (pod && podUid !== pod.uid) return rejected(`pod UID (${podUid}) does not match service account pod ref claim (${pod.uid})`);
    const notes = { "credential-id": `JTI=${claims.jti}`, "node-name": node?.name, "node-uid": node?.uid };
    const known = Object.entries({ ...notes, "pod-name": pod?.name, "pod-uid": pod?.uid });
    const extra = Object.fromEntries(known.flatMap(([name, note]) => (note ? [[`authentication.kubernetes.io/${name}`, [note]]] : [])));
    const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
    const username = `system:serviceaccount:${namespace}:${serviceaccount.name}`;
    return { user: { username, ...(serviceaccount.uid && { uid: serviceaccount.uid }), groups, extra }, audiences };
  }

  /** Answers a TokenRequest with its status filled in; the audiences default to the API server's. */
  issue(namespace: string, name: string, request: Raw): Raw {
    const account = this.#store.get("serviceaccounts", namespace, name);
    if (account === undefined) throw failure.notFound(resourceNamed("serviceaccounts"), name);
    const spec = rawIn(request, "spec");
    const { expirationSeconds: seconds = 3_600, boundObjectRef } = spec as { expirationSeconds?: number; boundObjectRef?: unknown };
    if (seconds < 600) {
      const cause = wrong.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
      throw failure.invalid({ group: "authentication.k8s.io", plural: "tokenrequests", kind: "TokenRequest" }, "", [cause]);
    }
    const now = Math.floor(this.#options.nowMs() / 1_000);
    const bound = isRaw(boundObjectRef) ? this.#bound(namespace, name, boundObjectRef) : {};
    const identity = { namespace, ...bound, serviceaccount: { name, uid: account.metadata.uid } };
    const times = { exp: now + seconds, iat: now, nbf: now };
    const claims = { aud: audiencesIn(spec), ...times, iss: API_AUDIENCE, jti: randomUUID(), "kubernetes.io": identity };
    const parts = [{ alg: "none" }, { ...claims, sub: `system:serviceaccount:${namespace}:${name}` }, claims.jti];
    const token = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    this.#issued.set(token, claims);
    const metadata = { name, namespace, creationTimestamp: secondsOf(now * 1_000) };
    const status = { token, expirationTimestamp: secondsOf(claims.exp * 1_000) };
    const answered = { ...spec, audiences: claims.aud, expirationSeconds: seconds };
    return { kind: "TokenRequest", apiVersion: "authentication.k8s.io/v1", metadata, spec: answered, status };
  }

  #bound(namespace: string, account: string, { kind, name: wanted, uid: wantedUid }: Raw): { readonly pod: Ref; readonly node?: Ref } {
    if (kind !== "Pod") throw failure.badRequest(`cannot bind token to object of type ${JSON.stringify(kind)}: only Pods are served here`);
    const [resource, name] = [resourceNamed("pods"), String(wanted)];
    const pod = this.#store.get("pods", namespace, name);
    if (pod === undefined) throw failure.notFound(resource, name);
    const { uid } = pod.metadata;
    const why = `the UID in the bound object reference (${JSON.stringify(wantedUid)}) does not match the UID in record`;
    if (wantedUid && wantedUid !== uid) throw failure.conflict(resource, name, why);
    const { nodeName, serviceAccountName } = pod.spec ?? {};
    const other = `cannot bind token for serviceaccount "${account}" to pod running with different serviceaccount name.`;
    if (serviceAccountName !== account) throw failure.badRequest(other);
    if (!nodeName) return { pod: { name, uid } };
    const node = this.#store.get("nodes", undefined, nodeName);
    return { node: { name: nodeName, ...(node && { uid: node.metadata.uid }) }, pod: { name, uid } };
  }

  /** Answers a TokenReview: a failure is `authenticated` left out. Only an empty token is refused. */
  answer(body: Raw): Raw {
    const spec = rawIn(body, "spec");
    const { token } = spec;
    if (typeof token !== "string" || token === "") throw failure.badRequest("token is required for TokenReview in authentication");
    const review = this.review(token, audiencesIn(spec));
    const status = "error" in review ? { user: {}, error: review.error } : { authenticated: true, ...review };
    return { kind: "TokenReview", apiVersion: "authentication.k8s.io/v1", metadata: { creationTimestamp: null }, spec, status };
  }
}
