import * as z from "zod";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { AGENT_SERVICE_ACCOUNT, TOKEN_AUDIENCE } from "../../common/names.ts";

/**
 * Asks the API server who holds a token, and checks that it is our agent, on this node where one is given. Rejects with TokenRefused, or with the
 * KubeApiError of a review that could not be made: that proves nothing, the agent must try again.
 */
export type ReviewToken = (token: string, nodeName: string | undefined, signal: AbortSignal) => Promise<Identity>;

/** Whose a token is: the agent on `node`, until `expiresAtMs`; `podUid` tells two agents of one node apart, "" where the token names no Pod. */
export type Identity = { readonly node: string; readonly podUid: string; readonly expiresAtMs: number };

/** The token proves nothing (`unauthenticated`), or another right than the one claimed (`forbidden`). */
export class TokenRefused extends Error {
  override readonly name = "TokenRefused";
  readonly kind: "unauthenticated" | "forbidden";

  constructor(kind: "unauthenticated" | "forbidden", message: string) {
    super(message);
    this.kind = kind;
  }
}

const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";
/** A review takes 3 ms at p99 (kubernetes.md §4); an agent that waits longer is better off with its next attempt. */
const REVIEW_TIMEOUT_MS = 5_000;
const NODE_NAME = "authentication.kubernetes.io/node-name";
const POD_UID = "authentication.kubernetes.io/pod-uid";

const Review = z.object({
  status: z.object({
    authenticated: z.boolean().optional(),
    error: z.string().optional(),
    audiences: z.array(z.string()).default([]),
    user: z.object({ username: z.string().default(""), extra: z.record(z.string(), z.array(z.string())).default({}) }).prefault({}),
  }),
});
const Claims = z.object({ exp: z.number() });

/** `namespace` is where our agents' ServiceAccount lives, e.g. "clb-direct"; `now` is wall time, because `exp` is. */
export function makeTokenReview(deps: {
  readonly kube: Pick<KubeClient, "create">;
  readonly namespace: string;
  readonly clock: { now(): number };
}): ReviewToken {
  const agent = `system:serviceaccount:${deps.namespace}:${AGENT_SERVICE_ACCOUNT}`;
  return async (token, nodeName, signal) => {
    if (token === "") throw new TokenRefused("unauthenticated", "no token: send metadata `authorization: Bearer <ServiceAccount token>`");
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: [TOKEN_AUDIENCE] } };
    const { status } = Review.parse(await deps.kube.create(REVIEWS, body, { timeoutMs: REVIEW_TIMEOUT_MS, signal }));
    const node = nodeOf(status, agent);
    if (nodeName !== undefined) checkNode(node, nodeName);
    // Read only now: what the API server has not vouched for is not parsed. It accepts tokens until exp + 60 s, we do not.
    const expiresAtMs = expiryOf(token);
    if (expiresAtMs <= deps.clock.now())
      throw new TokenRefused("unauthenticated", `token expired at ${new Date(expiresAtMs).toISOString()}: send a fresh one`);
    const [podUid = ""] = status.user.extra[POD_UID] ?? [];
    return { node, podUid, expiresAtMs };
  };
}

/** Throws TokenRefused with the first claim that is not as it must be. */
function nodeOf(status: z.infer<typeof Review>["status"], agent: string): string {
  if (status.authenticated !== true)
    throw new TokenRefused("unauthenticated", `token not accepted by the API server: ${status.error ?? "no reason given"}`);
  if (!status.audiences.includes(TOKEN_AUDIENCE))
    throw new TokenRefused(
      "unauthenticated",
      `token is for audience [${status.audiences.join(", ")}], must be for "${TOKEN_AUDIENCE}": set it in the projected volume`,
    );
  if (status.user.username !== agent)
    throw new TokenRefused("forbidden", `token of ${status.user.username}, must be of ${agent}: set the Pod's serviceAccountName`);
  const [node = "", ...more] = status.user.extra[NODE_NAME] ?? [];
  if (node === "" || more.length > 0)
    throw new TokenRefused("forbidden", "token names no node: use a projected token of a scheduled Pod, on Kubernetes 1.30 or newer");
  return node;
}

/** Throws TokenRefused where an agent says that it is on another node than its token is of. */
export function checkNode(claimed: string, nodeName: string): void {
  if (claimed === nodeName) return;
  throw new TokenRefused("forbidden", `token is of node "${claimed}", hello.node_name is "${nodeName}": set NODE_NAME from spec.nodeName`);
}

/** `exp` of a JWT, as milliseconds since the epoch. */
function expiryOf(token: string): number {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    return Claims.parse(payload).exp * 1_000;
  } catch {
    throw new TokenRefused("unauthenticated", "token has no claim `exp`: use a projected ServiceAccount token, not a Secret's");
  }
}
