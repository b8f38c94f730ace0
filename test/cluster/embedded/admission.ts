/** Mutating webhooks: whom the API server asks about a Pod that is created, and what it makes of the answers. Source: kubernetes.md §8. */

import { randomUUID } from "node:crypto";
import { Agent, request as httpsRequest } from "node:https";
import { isDeepStrictEqual } from "node:util";
import { isRaw, type KubeObject, type Raw, rawIn } from "./objects.ts";
import { jsonPatch } from "./patch.ts";
import { ApiError, failure } from "./status.ts";
import type { Store } from "./store.ts";

type Terms = { readonly matchLabels?: Raw; readonly matchExpressions?: readonly Expression[] };
type Expression = { readonly key: string; readonly operator: string; readonly values?: readonly string[] };
type Webhook = {
  readonly name: string;
  readonly clientConfig: {
    readonly url?: string;
    readonly service?: { readonly namespace: string; readonly name: string; readonly path?: string; readonly port?: number };
    readonly caBundle?: string;
  };
  readonly rules?: readonly {
    readonly operations: readonly string[];
    readonly resources: readonly string[];
    readonly apiGroups: readonly string[];
  }[];
  readonly failurePolicy?: string;
  readonly namespaceSelector?: Terms;
  readonly objectSelector?: Terms;
  readonly reinvocationPolicy?: string;
  readonly timeoutSeconds?: number;
};
type Created = { readonly namespace: string; readonly pod: Raw; readonly dryRun: boolean; readonly username: string };

const CONFIGURATIONS = "mutatingwebhookconfigurations";
const DEFAULT_TIMEOUT_S = 10;

/** Calls webhooks over connections that are kept, as the real server does; `stop` ends them. matchConditions are not evaluated: who is asked in vain changes nothing. */
export class Webhooks {
  readonly #store: Store;
  readonly #agents = new Map<string, Agent>();

  constructor(store: Store) {
    this.#store = store;
  }

  stop(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** The Pod as it is to be stored. Throws ApiError: a patch that does not apply is the user's 500, whatever the failurePolicy. */
  async admitted(created: Created): Promise<Raw> {
    const webhooks = this.#matching(created);
    let pod = created.pod;
    /** As each has left it. */
    const left = new Map<Webhook, Raw>();
    for (const webhook of webhooks) left.set(webhook, (pod = await this.#asked(webhook, { ...created, pod })));
    for (const webhook of webhooks) {
      if (webhook.reinvocationPolicy !== "IfNeeded" || isDeepStrictEqual(left.get(webhook), pod)) continue;
      pod = await this.#asked(webhook, { ...created, pod });
    }
    return pod;
  }

  #matching({ namespace, pod }: Created): readonly Webhook[] {
    const home = this.#store.get("namespaces", undefined, namespace)?.metadata.labels ?? {};
    const labels = rawIn(rawIn(pod, "metadata"), "labels");
    return this.#store
      .list(CONFIGURATIONS)
      .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
      .flatMap((one): readonly Webhook[] => (one as KubeObject & { readonly webhooks?: readonly Webhook[] }).webhooks ?? [])
      .filter(({ rules = [], namespaceSelector, objectSelector }) => {
        const isMeant = rules.some(
          ({ operations, resources, apiGroups }) =>
            operations.some((one) => one === "CREATE" || one === "*") && resources.includes("pods") && apiGroups.includes(""),
        );
        return isMeant && fits(namespaceSelector, home) && fits(objectSelector, labels);
      });
  }

  async #asked(webhook: Webhook, created: Created): Promise<Raw> {
    let response: Raw;
    try {
      response = await this.#call(webhook, created);
    } catch (error) {
      if (webhook.failurePolicy === "Ignore") return created.pod;
      throw new ApiError(500, "InternalError", `Internal error occurred: failed calling webhook "${webhook.name}": ${String(error)}`);
    }
    if (response["allowed"] !== true)
      throw failure.badRequest(`admission webhook "${webhook.name}" denied the request: ${String(rawIn(response, "status")["message"])}`);
    if (typeof response["patch"] !== "string") return created.pod;
    try {
      const patched = jsonPatch(created.pod, JSON.parse(Buffer.from(response["patch"], "base64").toString("utf8")));
      if (isRaw(patched)) return patched;
    } catch {
      // as below
    }
    throw new ApiError(500, "InternalError", "Internal error occurred: add operation does not apply");
  }

  async #call(webhook: Webhook, { namespace, pod, dryRun, username }: Created): Promise<Raw> {
    const { url, servername } = this.#target(webhook);
    const uid = randomUUID();
    const { name } = rawIn(pod, "metadata");
    const review = {
      kind: "AdmissionReview",
      apiVersion: "admission.k8s.io/v1",
      request: {
        uid,
        kind: { group: "", version: "v1", kind: "Pod" },
        resource: { group: "", version: "v1", resource: "pods" },
        ...(typeof name === "string" && { name }),
        namespace,
        operation: "CREATE",
        userInfo: { username },
        object: { kind: "Pod", apiVersion: "v1", ...pod },
        oldObject: null,
        dryRun,
        options: { kind: "CreateOptions", apiVersion: "meta.k8s.io/v1" },
      },
    };
    const ca = Buffer.from(webhook.clientConfig.caBundle ?? "", "base64").toString("utf8");
    const timeoutMs = (webhook.timeoutSeconds ?? DEFAULT_TIMEOUT_S) * 1000;
    const answer: unknown = JSON.parse(await this.#post({ url, servername, ca, timeoutMs }, JSON.stringify(review)));
    const response = isRaw(answer) ? rawIn(answer, "response") : {};
    if (response["uid"] !== uid) throw new Error("expected response.uid to be that of the request");
    return response;
  }

  /** Of a Service: the first ready endpoint of its slices, as with --enable-aggregator-routing. */
  #target({ clientConfig: { url, service } }: Webhook): { readonly url: string; readonly servername: string | undefined } {
    if (url !== undefined) return { url, servername: undefined };
    if (service === undefined) throw new Error("neither url nor service");
    const { namespace, name, path = "/" } = service;
    if (this.#store.get("services", namespace, name) === undefined) throw new Error(`service "${name}" not found`);
    const slices = this.#store
      .list("endpointslices", namespace)
      .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === name) as readonly Slice[];
    for (const { endpoints = [], ports = [] } of slices)
      for (const { addresses, conditions } of endpoints)
        if (conditions?.ready !== false)
          return { url: `https://${addresses[0] ?? ""}:${ports[0]?.port ?? 0}${path}`, servername: `${name}.${namespace}.svc` };
    throw new Error(`no endpoints available for service "${name}"`);
  }

  #post(
    {
      url,
      servername,
      ca,
      timeoutMs,
    }: { readonly url: string; readonly servername: string | undefined; readonly ca: string; readonly timeoutMs: number },
    body: string,
  ): Promise<string> {
    const key = `${url} ${ca}`;
    const agent = this.#agents.get(key) ?? new Agent({ keepAlive: true, ca, ...(servername !== undefined && { servername }) });
    this.#agents.set(key, agent);
    return new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const sent = httpsRequest(url, { method: "POST", agent, headers, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString("utf8"));
          else reject(new Error(`the server answered ${response.statusCode}`));
        });
      });
      sent.once("error", reject);
      sent.end(body);
    });
  }
}

type Slice = KubeObject & {
  readonly endpoints?: readonly { readonly addresses: readonly string[]; readonly conditions?: { readonly ready?: boolean } }[];
  readonly ports?: readonly { readonly port: number }[];
};

function fits(terms: Terms = {}, labels: Raw): boolean {
  const { matchLabels = {}, matchExpressions = [] } = terms;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      const isIn = typeof value === "string" && values.includes(value);
      return operator === "In" ? isIn : operator === "NotIn" ? !isIn : (value !== undefined) === (operator === "Exists");
    })
  );
}
