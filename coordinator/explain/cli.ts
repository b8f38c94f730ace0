/** `npm run explain -- <namespace>/<pod>` or `-- lb-…`: asks the coordinator's explain port and prints its answer. */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { parseArgs } from "node:util";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import {
  CA_BUNDLE_CONFIG_MAP,
  CA_BUNDLE_KEY,
  COORDINATOR_SERVICE,
  DEFAULT_NAMESPACE,
  EXPLAIN_PORT,
  EXPLAIN_TOKEN_HEADER,
  LEADER_LEASE,
  READER_SERVICE_ACCOUNT,
  TOKEN_AUDIENCE,
} from "../../common/names.ts";

const DEFAULT_URL = `https://127.0.0.1:${EXPLAIN_PORT}`;
const USAGE = `usage: npm run explain -- [options] <namespace>/<pod> | <load balancer id> | <namespace>
  --url         the explain port of the coordinator that leads; default ${DEFAULT_URL}, or EXPLAIN_URL
  --token-file  a token of audience ${TOKEN_AUDIENCE}, or EXPLAIN_TOKEN; default: one of ${READER_SERVICE_ACCOUNT}, by the kubeconfig
  --ca-file     the CA of the coordinator's certificate; default: as ConfigMap ${CA_BUNDLE_CONFIG_MAP} has it, by the kubeconfig
  --installed   Namespace of the coordinators; default ${DEFAULT_NAMESPACE}
Exit code 0: it answered, also that it knows no Pods in that namespace; 1: no answer, or the Pod or load balancer is not known, or you may not read it; 2: a mistake in the arguments.`;
const OPTIONS = {
  url: { type: "string" },
  "token-file": { type: "string" },
  "ca-file": { type: "string" },
  installed: { type: "string", default: DEFAULT_NAMESPACE },
  help: { type: "boolean", default: false },
} as const;
/** A token for one question. The least that the API server gives. */
const TOKEN_SECONDS = 600;
const TIMEOUT_MS = 10_000;
/** What a standby answers. */
const NO_LEADER = 503;

type Question = {
  readonly subject: string;
  readonly base: string;
  readonly token: string | undefined;
  readonly ca: string | undefined;
  readonly installed: string;
};

/** Undefined: help was asked for. Throws with the mistake. */
function readQuestion(args: string[], givenUrl: string | undefined, givenToken: string | undefined): Question | undefined {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: OPTIONS });
  if (values.help) return undefined;
  const [subject, ...others] = positionals;
  if (subject === undefined || others.length > 0) throw new TypeError("name one Pod, load balancer or namespace");
  const base = values.url ?? givenUrl ?? DEFAULT_URL;
  if (!URL.canParse(base) || new URL(base).protocol !== "https:")
    throw new TypeError(`--url is "${base}": use an https URL, e.g. ${DEFAULT_URL}`);
  const fileOf = (file: string | undefined): string | undefined => (file === undefined ? undefined : readFileSync(file, "utf8").trim());
  const token = fileOf(values["token-file"]) ?? givenToken;
  return { subject, base, token, ca: fileOf(values["ca-file"]), installed: values.installed };
}

async function newToken(client: KubeClient, namespace: string): Promise<string> {
  const path = kubePath`/api/v1/namespaces/${namespace}/serviceaccounts/${READER_SERVICE_ACCOUNT}/token`;
  const spec = { audiences: [TOKEN_AUDIENCE], expirationSeconds: TOKEN_SECONDS };
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
  return (await client.create<{ status: { token: string } }>(path, body)).status.token;
}

async function caOf(client: KubeClient, namespace: string): Promise<string> {
  const path = kubePath`/api/v1/namespaces/${namespace}/configmaps/${CA_BUNDLE_CONFIG_MAP}`;
  return (await client.get<{ data: Record<string, string> }>(path)).data[CA_BUNDLE_KEY] ?? "";
}

type Lease = { readonly spec?: { readonly holderIdentity?: string } };

/** How to reach the leader; names its Pod where the cluster says who it is. */
async function wayToLeader(client: KubeClient | undefined, namespace: string): Promise<string> {
  const path = kubePath`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEADER_LEASE}`;
  const lease = await client?.get<Lease>(path).catch(() => undefined); // who may not read it learns the rest
  const pod = lease?.spec?.holderIdentity?.replace(/_[^_]*$/, ""); // <pod>_<8 hex digits>
  return pod === undefined || pod === ""
    ? `Is the leader's explain port reachable, e.g. by kubectl port-forward? Lease ${LEADER_LEASE} in Namespace ${namespace} (--installed) names its Pod; --url names another address.`
    : `The leader is Pod ${pod}. In another terminal: kubectl -n ${namespace} port-forward pod/${pod} ${EXPLAIN_PORT}:${EXPLAIN_PORT}; --url names another address.`;
}

async function ask(question: Question, env: NodeJS.ProcessEnv): Promise<number> {
  const { subject, base, installed } = question;
  const url = new URL("/explain", base);
  url.searchParams.set(subject.includes("/") ? "pod" : subject.startsWith("lb-") ? "loadBalancer" : "namespace", subject);
  url.searchParams.set("format", "text");
  const isWhole = question.token !== undefined && question.ca !== undefined;
  const client = isWhole ? undefined : await makeKubeClient({ clock: makeClock(), env });
  try {
    const token = question.token ?? (client && (await newToken(client, installed))) ?? "";
    const ca = question.ca ?? (client && (await caOf(client, installed))) ?? "";
    // The address may be that of a port-forward: the certificate has the Service's name.
    const { status, text } = await get(url, { token, ca, servername: `${COORDINATOR_SERVICE}.${installed}.svc` });
    const isOk = status >= 200 && status < 300;
    (isOk ? process.stdout : process.stderr).write(
      text || `${url.origin} answered ${status} without a word: is it the coordinator's explain port?\n`,
    );
    if (status === NO_LEADER) console.error(await wayToLeader(client, installed));
    return isOk ? 0 : 1;
  } catch (err) {
    console.error(`no answer from ${url.origin}: ${String(err)}\n${await wayToLeader(client, installed)}`);
    return 1;
  } finally {
    await client?.close();
  }
}

type Trust = { readonly token: string; readonly ca: string; readonly servername: string };

function get(url: URL, { token, ...tls }: Trust): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { [EXPLAIN_TOKEN_HEADER]: token };
    const asked = request(url, { ...tls, headers, signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      let text = "";
      response
        .setEncoding("utf8")
        .on("data", (part: string) => (text += part))
        .on("end", () => resolve({ status: response.statusCode ?? 0, text }))
        .on("error", reject);
    });
    asked.on("error", reject).end();
  });
}

async function main(): Promise<number> {
  try {
    const { env } = process; // oxlint-disable-line node/no-process-env -- a command line tool of two variables, and the kubeconfig
    const question = readQuestion(process.argv.slice(2), env["EXPLAIN_URL"], env["EXPLAIN_TOKEN"]);
    if (question !== undefined) return await ask(question, env);
    console.log(USAGE);
    return 0;
  } catch (err) {
    console.error(`${err instanceof Error ? err.message : String(err)}\n\n${USAGE}`);
    return 2;
  }
}

process.exitCode = await main();
