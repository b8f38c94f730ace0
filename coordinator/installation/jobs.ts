import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import {
  AGENT_SERVICE_ACCOUNT,
  CA_BUNDLE_CONFIG_MAP,
  CA_SECRET,
  COORDINATOR_SERVICE,
  FINALIZER,
  FORMER_RECORD_PREFIX,
  LEADER_LEASE,
  RECORD_PREFIX,
  SERVING_SECRET,
  WEBHOOK_CONFIGURATION,
  WEBHOOK_SERVICE,
} from "../../common/names.ts";

/** What a Job of the chart found: `ok` is its success, `text` is for the person who installs or removes. */
export type Verdict = { readonly ok: boolean; readonly text: string };

type Named = { readonly metadata: { readonly namespace?: string; readonly name: string; readonly finalizers?: readonly string[] } };
type Lease = { readonly spec?: { readonly holderIdentity?: string; readonly renewTime?: string; readonly leaseDurationSeconds?: number } };
type DaemonSet = { readonly status?: { readonly desiredNumberScheduled?: number; readonly numberReady?: number } };

/** Of many objects the first are named. */
const NAMED = 10;
const PAGE = 500;

/**
 * Before an uninstallation: refused only where objects with our finalizer have been *seen*, because without a coordinator they would hang in
 * Terminating. Who cannot ask lets go.
 */
export async function mayUninstall(client: KubeClient, namespace: string): Promise<Verdict> {
  const held: string[] = [];
  try {
    for (const { metadata } of await listAll<Named>(client, "/api/v1/services"))
      if (metadata.finalizers?.includes(FINALIZER)) held.push(`${metadata.namespace}/${metadata.name}`);
  } catch (error) {
    return { ok: true, text: `Services cannot be listed, so nothing is refused: ${String(error)}` };
  }
  if (held.length === 0) return { ok: true, text: "no Service is held by our finalizer" };
  const names = `${held.slice(0, NAMED).join(", ")}${held.length > NAMED ? ` and ${held.length - NAMED} more` : ""}`;
  const text = [
    `${held.length} Service(s) have the finalizer ${FINALIZER}: ${names}. Without a coordinator they could not be deleted any more. Either`,
    "  delete them: the coordinator removes what it made at the load balancers; or",
    `  keep their traffic: kubectl -n ${namespace} set env deployment/${COORDINATOR_SERVICE} RETIRE=keep-traffic`,
    "  takes the finalizer off and leaves the load balancers as they are (as retire=keepTraffic of the chart, which Helm does not set any more now).",
    "Then uninstall again. helm uninstall --no-hooks goes without this question; helm rollback takes the refused uninstallation back.",
  ].join("\n");
  return { ok: false, text };
}

/** A coordinator that is deleted has at most its grace period; somebody who leads on after that is not to be waited for. Milliseconds. */
const LEADER_ENDS_MS = 40_000;
const ASK_MS = 500;

/**
 * After an uninstallation: what the processes made themselves goes, so that nothing is left behind. First the last leader is let end: it would
 * put back what is deleted. Throws KubeApiError.
 */
export async function removeOwnObjects(client: KubeClient, namespace: string, clock: Clock): Promise<Verdict> {
  const endMs = clock.now() + LEADER_ENDS_MS;
  while (clock.now() < endMs && (await leaderOf(client, namespace, clock.now())).leads) await clock.sleep(ASK_MS);
  const configMaps = await listAll<Named>(client, kubePath`/api/v1/namespaces/${namespace}/configmaps`);
  const ours = configMaps
    .map(({ metadata }) => metadata.name)
    .filter((name) => name === CA_BUNDLE_CONFIG_MAP || name.startsWith(RECORD_PREFIX) || name.startsWith(FORMER_RECORD_PREFIX));
  const paths = [
    ...ours.map((name) => kubePath`/api/v1/namespaces/${namespace}/configmaps/${name}`),
    ...[CA_SECRET, SERVING_SECRET].map((name) => kubePath`/api/v1/namespaces/${namespace}/secrets/${name}`),
    kubePath`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEADER_LEASE}`,
    kubePath`/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${WEBHOOK_CONFIGURATION}`,
    kubePath`/api/v1/namespaces/${namespace}/services/${WEBHOOK_SERVICE}`,
  ];
  for (const path of paths) await client.delete(path).catch(unlessGone);
  return { ok: true, text: `removed ${paths.join(", ")}` };
}

/** Whether an installation works: a leader holds the Lease, and every agent has been acknowledged, which is what makes it ready. */
export async function isWorking(client: KubeClient, namespace: string, nowMs: number): Promise<Verdict> {
  const [{ leads, holder, renewTime }, agents] = await Promise.all([
    leaderOf(client, namespace, nowMs),
    client.get<DaemonSet>(kubePath`/apis/apps/v1/namespaces/${namespace}/daemonsets/${AGENT_SERVICE_ACCOUNT}`),
  ]);
  if (!leads)
    return {
      ok: false,
      text: `no coordinator leads: Lease ${LEADER_LEASE} is ${holder === "" ? "nobody's" : `${holder}'s, renewed ${renewTime || "never"}`}`,
    };
  const { desiredNumberScheduled: wanted = 0, numberReady: ready = 0 } = agents.status ?? {};
  const text = `${holder} leads, and ${ready} of ${wanted} agents are acknowledged`;
  return { ok: wanted > 0 && ready === wanted, text };
}

async function leaderOf(
  client: KubeClient,
  namespace: string,
  nowMs: number,
): Promise<{ readonly leads: boolean; readonly holder: string; readonly renewTime: string }> {
  const path = kubePath`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEADER_LEASE}`;
  const lease = await client.get<Lease>(path).catch((error: unknown): Lease => {
    unlessGone(error);
    return {};
  });
  const { holderIdentity: holder = "", renewTime = "", leaseDurationSeconds: seconds = 0 } = lease.spec ?? {};
  const ageSeconds = (nowMs - Date.parse(renewTime)) / 1000;
  return { leads: holder !== "" && ageSeconds < seconds, holder, renewTime };
}

async function listAll<T>(client: KubeClient, path: string): Promise<readonly T[]> {
  const items: T[] = [];
  let next: string | undefined;
  do {
    const page = await client.list<T>(path, { limit: PAGE, continue: next });
    items.push(...page.items);
    next = page.continue === "" ? undefined : page.continue;
  } while (next !== undefined);
  return items;
}

function unlessGone(error: unknown): void {
  if (!(error instanceof KubeApiError) || error.code !== 404) throw error;
}
