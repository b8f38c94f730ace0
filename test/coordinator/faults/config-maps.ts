/** The ConfigMaps of one Namespace, with a list and a watch of those that have the label of records. */
import type { Clock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { member } from "../../../common/kubernetes/json-member.ts";
import type { KubeClient, ListPage, RequestOptions, WatchEventType } from "../../../common/kubernetes/requests.ts";
import { RECORD_LABEL, RECORD_PREFIX } from "../../../common/names.ts";

type Texts = Record<string, string>;
type ConfigMap = {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels: Texts;
    readonly annotations: Texts;
  };
  readonly data: Texts;
};
type Tell = (type: WatchEventType, object: unknown) => void;

export function configMaps(nextVersion: () => string) {
  const all = new Map<string, ConfigMap>();
  const watchers = new Set<Tell>();
  let version = "0";
  const next = (): string => (version = nextVersion());
  const isRecord = ({ metadata }: ConfigMap): boolean => RECORD_LABEL in metadata.labels;
  const tell = (type: WatchEventType, object: ConfigMap): void => {
    if (isRecord(object)) for (const watcher of watchers) watcher(type, object);
  };
  const put = (configMap: ConfigMap): ConfigMap => {
    const { name } = configMap.metadata;
    const isNew = !all.has(name);
    const stored = { ...configMap, metadata: { ...configMap.metadata, resourceVersion: next() } };
    all.set(name, stored);
    tell(isNew ? "ADDED" : "MODIFIED", stored);
    return stored;
  };
  const named = (path: string): ConfigMap => {
    const found = all.get(path.split("/").at(-1) ?? "");
    if (found === undefined) throw new KubeApiError(path, "notFound", "there is no such object", { code: 404 });
    return found;
  };
  const remove = (path: string): object => {
    const { metadata, data } = named(path);
    all.delete(metadata.name);
    tell("DELETED", { metadata: { ...metadata, resourceVersion: next() }, data });
    return {};
  };
  const patch = (path: string, body: unknown): ConfigMap => {
    const known = named(path);
    const metadata = member(body, "metadata");
    const labels = merged(known.metadata.labels, member(metadata, "labels"));
    const annotations = merged(known.metadata.annotations, member(metadata, "annotations"));
    return put({ metadata: { ...known.metadata, labels, annotations }, data: merged(known.data, member(body, "data")) });
  };

  return {
    all,
    /** What is stored now; calling it puts that back, as a restored backup does. */
    backup: (): (() => void) => {
      const [saved, savedVersion] = [new Map(all), version];
      return () => {
        const [now] = [new Map(all)];
        version = savedVersion;
        all.clear();
        for (const [name, one] of saved) all.set(name, one);
        for (const one of new Map([...now, ...saved]).values())
          tell("MODIFIED", saved.get(one.metadata.name) ?? { ...one, metadata: { ...one.metadata, resourceVersion: "1" } });
      };
    },
    patch,
    remove,
    create: (path: string, body: unknown): ConfigMap => {
      const metadata = member(body, "metadata");
      const name = String(member(metadata, "name"));
      if (all.has(name)) throw new KubeApiError(path, "conflict", "it exists already", { code: 409 });
      const labels = merged({}, member(metadata, "labels"));
      return put({
        metadata: { name, uid: `uid of ${name}`, resourceVersion: "", labels, annotations: {} },
        data: merged({}, member(body, "data")),
      });
    },
    /** Everything stored for one load balancer, in whichever ConfigMap. */
    entries: (loadBalancerId: string): readonly (readonly [key: string, value: string])[] =>
      [...all].flatMap(([name, { data }]) => (name.startsWith(`${RECORD_PREFIX}${loadBalancerId}-`) ? Object.entries(data) : [])),
    /** A person deletes what is stored for one load balancer. */
    removeOf: (loadBalancerId: string): void => {
      for (const name of all.keys()) if (name.startsWith(`${RECORD_PREFIX}${loadBalancerId}-`)) remove(`/${name}`);
    },
    reads: (clock: Clock, answerMs: number): Pick<KubeClient, "list" | "watch"> => ({
      list: async <T>(_path: string, query?: Readonly<Record<string, unknown>>, options?: RequestOptions): Promise<ListPage<T>> => {
        await clock.sleep(answerMs, options?.signal);
        const wantsRecords = query?.["labelSelector"] === RECORD_LABEL;
        return { items: [...all.values()].filter((one) => isRecord(one) === wantsRecords) as T[], resourceVersion: version };
      },
      watch: (_path, query, onEvent, signal) => {
        const from = Number(query["resourceVersion"]);
        return new Promise((resolve) => {
          for (const one of all.values()) if (isRecord(one) && Number(one.metadata.resourceVersion) > from) onEvent("ADDED", one);
          watchers.add(onEvent);
          const end = (): void => {
            watchers.delete(onEvent);
            resolve({ kind: "aborted" });
          };
          if (signal.aborted) end();
          else signal.addEventListener("abort", end, { once: true });
        });
      },
    }),
  };
}

function merged(known: Texts, patch: unknown): Texts {
  const all: Record<string, unknown> = { ...known, ...(typeof patch === "object" ? patch : {}) };
  return Object.fromEntries(Object.entries(all).flatMap(([key, value]) => (typeof value === "string" ? [[key, value]] : [])));
}
