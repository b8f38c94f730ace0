import * as z from "zod";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { EXPLAIN_TOKEN_HEADER, TOKEN_AUDIENCE } from "../../common/names.ts";

/** Why somebody is told nothing; `text` says what to do. */
export type Refused = { readonly status: 401 | 403 | 503; readonly text: string };

/** May who has this token `get explanations.clb-direct.io` in a Namespace, or (undefined) everywhere? undefined: yes. */
export type CheckAccess = (token: string, namespace: string | undefined) => Promise<Refused | undefined>;

const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/** Either takes 2 ms (policies.md E). */
const TIMEOUT_MS = 5_000;

const User = z.object({
  username: z.string().default(""),
  uid: z.string().optional(),
  groups: z.array(z.string()).default([]),
  extra: z.record(z.string(), z.array(z.string())).default({}),
});
const TokenReview = z.object({
  status: z.object({
    authenticated: z.boolean().optional(),
    error: z.string().optional(),
    audiences: z.array(z.string()).default([]),
    user: User.prefault({}),
  }),
});
const AccessReview = z.object({ status: z.object({ allowed: z.boolean().default(false) }) });

const HOW = `send a token of audience "${TOKEN_AUDIENCE}" in header ${EXPLAIN_TOKEN_HEADER}, e.g. of \`kubectl create token clb-direct-reader --namespace clb-direct --audience ${TOKEN_AUDIENCE}\``;

/**
 * Asks the API server whose a token is, and whether its holder may see what is asked. Only a token of our own audience counts: one of the
 * API server's could do everything that its holder may, and who shows it to us would lend it to us.
 */
export function makeCheckAccess(kube: Pick<KubeClient, "create">): CheckAccess {
  return async (token, namespace) => {
    if (token === "") return { status: 401, text: `no token: ${HOW}` };
    try {
      const spec = { token, audiences: [TOKEN_AUDIENCE] };
      const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec };
      const { status } = TokenReview.parse(await kube.create(REVIEWS, review, { timeoutMs: TIMEOUT_MS }));
      if (status.authenticated !== true || !status.audiences.includes(TOKEN_AUDIENCE))
        return { status: 401, text: `the API server does not accept the token (${status.error ?? "no reason given"}): ${HOW}` };
      const { username, uid, groups, extra } = status.user;
      const resourceAttributes = {
        group: "clb-direct.io",
        resource: "explanations",
        verb: "get",
        ...(namespace !== undefined && { namespace }),
      };
      const asked = { user: username, groups, extra, resourceAttributes, ...(uid !== undefined && { uid }) };
      const access = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec: asked };
      const answer = AccessReview.parse(await kube.create(ACCESS_REVIEWS, access, { timeoutMs: TIMEOUT_MS }));
      if (answer.status.allowed) return undefined;
      const where =
        namespace === undefined
          ? "in all namespaces: bind ClusterRole clb-direct-reader"
          : `in namespace ${namespace}: bind ClusterRole clb-direct-reader there`;
      return { status: 403, text: `${username} may not get explanations.clb-direct.io ${where}` };
    } catch (err) {
      if (err instanceof KubeApiError) return { status: 503, text: `the token cannot be reviewed now: ${err.message}` };
      throw err;
    }
  };
}

/** The Namespace that a request is about; undefined: it is about all of them, e.g. a load balancer, which may be shared. */
export function namespaceOf({ pathname, searchParams }: URL): string | undefined {
  if (pathname !== "/explain" || searchParams.has("loadBalancer")) return undefined;
  const pod = searchParams.get("pod");
  if (pod !== null) return pod.includes("/") ? pod.slice(0, pod.indexOf("/")) : undefined;
  return searchParams.get("namespace") ?? undefined;
}
