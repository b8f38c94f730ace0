import { LOAD_BALANCER_ID } from "../../common/names.ts";
import type { Explain } from "./explain.ts";
import { loadBalancerText, podText } from "./text.ts";
import { type WriteLog, writeLogText } from "./write-log.ts";

export type RouteAnswer = { readonly status: number; readonly contentType: string; readonly body: string };

const NOT_LEADING: RouteAnswer = {
  status: 503,
  contentType: "text/plain; charset=utf-8",
  body: "this replica does not lead: ask the other one\n",
};

const notKnown = (what: string, hint = ""): RouteAnswer => ({
  status: 404,
  contentType: "text/plain; charset=utf-8",
  body: `${what} is not known here\n${hint}`,
});

/** For who names a Service, or a Pod by its Deployment. */
const WHAT_TO_GIVE = `give <namespace>/<pod>, a load balancer id or a namespace; a Service's load balancer is in its annotation ${LOAD_BALANCER_ID}\n`;

/** What the routes read; undefined on a replica that does not lead. */
type Leader = { readonly writeLog: WriteLog; readonly explain: Explain } | undefined;

/** The routes of the explain port, by path. `/audit` is the former name of `/write-log`, kept for one version. */
export function routesOf(leading: { readonly controllers: Leader }) {
  const writeLog = async (url: URL): Promise<RouteAnswer> => writeLogRoute(leading.controllers, url);
  return {
    "/explain": async (url: URL): Promise<RouteAnswer> => explainRoute(leading.controllers?.explain, url),
    "/write-log": writeLog,
    "/audit": writeLog,
  };
}

type WriteLogSource = { readonly writeLog: WriteLog; readonly explain: Pick<Explain, "knows"> } | undefined;

/** `GET /write-log`: the last writes and why each was made, oldest first; `?loadBalancer=<id>` of one. JSON, or text with `&format=text`. */
export function writeLogRoute(leading: WriteLogSource, { searchParams: query }: URL): RouteAnswer {
  if (leading === undefined) return NOT_LEADING;
  const loadBalancer = query.get("loadBalancer") ?? undefined;
  const entries = leading.writeLog.of(loadBalancer);
  // One that is gone is told of as long as its writes are remembered.
  if (loadBalancer !== undefined && entries.length === 0 && !leading.explain.knows(loadBalancer))
    return notKnown(`load balancer ${loadBalancer}`);
  if (query.get("format") === "text") return { status: 200, contentType: "text/plain; charset=utf-8", body: writeLogText(entries) };
  return { status: 200, contentType: "application/json", body: `${JSON.stringify(entries)}\n` };
}

type Explained = Pick<Explain, "pod" | "podsOf" | "loadBalancer" | "overview">;

/**
 * `GET /explain?pod=<namespace>/<name>`, `?loadBalancer=<id>`, `?namespace=<namespace>` (all Pods of direct-access Services), or without
 * parameters an overview. Nobody watches Namespaces: one that does not exist has no such Pods. `explain` is undefined on a replica that does not lead. JSON, or text for people with `&format=text`.
 */
export function explainRoute(explain: Explained | undefined, url: URL): RouteAnswer {
  // A standby knows the Pods, but no load balancer: its answer would mislead.
  if (explain === undefined) return NOT_LEADING;
  const { searchParams: query } = url;
  const text = query.get("format") === "text";
  const answer = <T>(value: T | undefined, toText: (value: T) => string, what: string): RouteAnswer => {
    if (value === undefined) return notKnown(what, WHAT_TO_GIVE);
    if (text) return { status: 200, contentType: "text/plain; charset=utf-8", body: toText(value) };
    return { status: 200, contentType: "application/json", body: `${JSON.stringify(value)}\n` };
  };
  const pod = query.get("pod");
  if (pod !== null) return answer(explain.pod(pod), podText, `Pod ${pod}`);
  const loadBalancer = query.get("loadBalancer");
  if (loadBalancer !== null) return answer(explain.loadBalancer(loadBalancer), loadBalancerText, `load balancer ${loadBalancer}`);
  const namespace = query.get("namespace");
  if (namespace !== null)
    return answer(
      explain.podsOf(namespace),
      (pods) => pods.map(podText).join("") || `no Pod that a Service with direct access selects is known in namespace ${namespace}\n`,
      `namespace ${namespace}`,
    );
  return answer(explain.overview, (overview) => `${JSON.stringify(overview, null, 2)}\n`, "overview");
}
