import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { readsOf } from "../../common/kubernetes/reads-of.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { RECORD_PREFIX } from "../../common/names.ts";
import { type ApiDenied, apiDenied, lacksRight } from "../domain/api-denied.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";

/** A denied write is tried again every 30 s; one that is older is of no concern any more. Milliseconds. */
const BELIEVED_MS = 90_000;
/** A server that has just begun refuses everybody until it has read its roles, for a second or two. Milliseconds. */
const BEGINNING_MS = 10_000;

export type ApiDenialsDeps = {
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts each refusal. */
  readonly onDenied: (verb: string, resource: string) => void;
};

/** Who hears of a denied write, besides the object that it was about. */
type Tellers = { readonly tell: (problem: Problem) => void; readonly ownersOf: (loadBalancerId: string) => readonly ObjectRef[] };

/**
 * What the API server forbids is told on the object that waits. A rule that the coordinator's role lacks is counted and logged as an error as
 * well, and a reason not to be ready; a quota or a policy is not ours to be ready for.
 */
export class ApiDenials {
  readonly #deps: ApiDenialsDeps;
  /** By verb and resource. */
  readonly #denied = new Map<string, ApiDenied & { readonly atMs: number }>();
  /** Since when the server knows none of the roles that are bound, by verb and resource; milliseconds. */
  readonly #unread = new Map<string, number>();

  constructor(deps: ApiDenialsDeps) {
    this.#deps = deps;
  }

  /** What the process may not do, e.g. "may not patch services/status"; undefined: nothing is known to be missing. */
  get missing(): string | undefined {
    const fromMs = this.#deps.clock.now() - BELIEVED_MS;
    const missing = [...this.#denied.values()].flatMap(({ atMs, verb, resource }) => (atMs >= fromMs ? `${verb} ${resource}` : []));
    return missing.length === 0 ? undefined : `the coordinator's role lacks rights: it may not ${missing.join(", ")}`;
  }

  /** The same client; its denied writes are heard. */
  heard(client: KubeClient, tellers?: Tellers): KubeClient {
    const hear = async <T>(verb: string, path: string, body: unknown, write: () => Promise<T>): Promise<T> => {
      const resource = resourceOf(path);
      try {
        const result = await write();
        this.#denied.delete(`${verb} ${resource}`);
        this.#unread.delete(`${verb} ${resource}`);
        return result;
      } catch (err) {
        if (err instanceof KubeApiError && err.failure === "denied") {
          const denied = { verb, resource, words: err.message };
          if (lacksRight(denied.words)) this.#note(denied, path, body, tellers);
          else if (!/being terminated/.test(denied.words)) tellWaiting(denied, path, body, tellers);
        }
        throw err;
      }
    };
    return {
      ...readsOf(client),
      create: (path, body, options) => hear("create", path, body, () => client.create(path, body, options)),
      replace: (path, body, options) => hear("update", path, body, () => client.replace(path, body, options)),
      patch: (path, body, type, options) => hear("patch", path, body, () => client.patch(path, body, type, options)),
      delete: (path, body, options) => hear("delete", path, body, () => client.delete(path, body, options)),
    };
  }

  #isBeginning(key: string, words: string): boolean {
    const nowMs = this.#deps.clock.now();
    if (!/RBAC: .*\bnot found\b/.test(words)) return false;
    const sinceMs = this.#unread.get(key) ?? nowMs;
    this.#unread.set(key, sinceMs);
    return nowMs - sinceMs < BEGINNING_MS;
  }

  #note(denied: ApiDenied, path: string, body: unknown, tellers: Tellers | undefined): void {
    const { clock, log, onDenied } = this.#deps;
    const { verb, resource, words } = denied;
    const key = `${verb} ${resource}`;
    if (this.#isBeginning(key, words)) return;
    if (!this.#denied.has(key)) log.error({ verb, resource, words }, "a right is missing");
    this.#denied.set(key, { ...denied, atMs: clock.now() });
    onDenied(verb, resource);
    tellWaiting(denied, path, body, tellers);
  }
}

function tellWaiting(denied: ApiDenied, path: string, body: unknown, tellers: Tellers | undefined): void {
  for (const object of tellers === undefined ? [] : waitingFor(path, body, tellers))
    tellers?.tell({ object, type: "Warning", ...apiDenied(`${object.kind} ${object.namespace}/${object.name}`, denied) });
}

/** "services/status" of "/api/v1/namespaces/shop/services/web/status". */
function resourceOf(path: string): string {
  const [, resource = path, , sub] = /\/namespaces\/[^/]+\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? [];
  return sub === undefined ? resource : `${resource}/${sub}`;
}

/** Whose work the write was. */
function waitingFor(path: string, body: unknown, { ownersOf }: Tellers): readonly ObjectRef[] {
  const created = String(member(member(body, "metadata"), "name"));
  const [, record] =
    new RegExp(`/configmaps/${RECORD_PREFIX}(.+)-\\d+$`).exec(path.endsWith("/configmaps") ? `${path}/${created}` : path) ?? [];
  if (record !== undefined) return ownersOf(record);
  const [, namespace, kind, name] = /\/namespaces\/([^/]+)\/(services|ingresses|pods)\/([^/]+)\/status$/.exec(path) ?? [];
  const uid = member(member(body, "metadata"), "uid");
  if (namespace === undefined || name === undefined || typeof uid !== "string") return [];
  return [{ kind: kind === "pods" ? "Pod" : kind === "ingresses" ? "Ingress" : "Service", namespace, name, uid }];
}
