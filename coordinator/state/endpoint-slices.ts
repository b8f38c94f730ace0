import * as z from "zod";
import { type ListWatchDeps, makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { type EndpointSlice, endpointPort } from "../domain/intent/endpoints.ts";

const SERVICE_NAME = "kubernetes.io/service-name";
/** Those that Kubernetes writes itself are for Services with a selector: they are not read. */
const HAND_MADE = `${SERVICE_NAME},endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io`;

const Slice = z.object({
  metadata: z.object({
    uid: z.string(),
    resourceVersion: z.string(),
    namespace: z.string(),
    name: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
  }),
  addressType: z.string(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.string()),
        conditions: z.object({ terminating: z.boolean().nullish() }).nullish(),
        targetRef: z.object({ kind: z.string().default(""), uid: z.string().default("") }).nullish(),
      }),
    )
    .nullish(),
  ports: z.array(z.object({ name: z.string().nullish(), protocol: z.string().nullish(), port: z.number().nullish() })).nullish(),
});

function decodeEndpointSlice(raw: unknown): EndpointSlice {
  const { metadata, addressType, endpoints, ports } = Slice.parse(raw);
  const { uid, resourceVersion, namespace, name, labels } = metadata;
  return {
    uid,
    resourceVersion,
    namespace,
    name,
    service: labels[SERVICE_NAME] ?? "",
    addressType,
    endpoints: (endpoints ?? []).map(({ addresses, conditions, targetRef }) => ({
      addresses,
      terminating: conditions?.terminating === true,
      podUid: targetRef?.kind === "Pod" && targetRef.uid !== "" ? targetRef.uid : undefined,
    })),
    ports: Object.fromEntries(
      (ports ?? []).flatMap((one) => (one.port ? [[endpointPort(one.protocol ?? "TCP", one.name ?? ""), one.port]] : [])),
    ),
  };
}

/** What is told of each change: the slice as it was and as it is. */
type Follower = (before: EndpointSlice | undefined, after: EndpointSlice | undefined) => void;

/** EndpointSlices that Kubernetes does not write itself. A cluster in which no Service of ours lacks a selector needs no right to read any. */
export interface EndpointSlices {
  /** Of a Service; undefined: they have not been read yet, and are from now on. */
  of(namespace: string, service: string): readonly EndpointSlice[] | undefined;
  readonly all: Iterable<EndpointSlice>;
  /** They are asked for and the API server does not let us read them. */
  readonly denied: boolean;
  /** Called after each change; must not throw. Returns the way to unsubscribe. */
  follow(follower: Follower): () => void;
  /** The first list is complete, or was refused; must not throw. Returns the way to unsubscribe. */
  followKnown(follower: () => void): () => void;
  run(signal: AbortSignal): Promise<void>;
}

export function makeEndpointSlices(deps: ListWatchDeps): EndpointSlices {
  const needed = Promise.withResolvers<void>();
  const followers = new Set<Follower>();
  const known = new Set<() => void>();
  /** By "demo/web". */
  const byService = new Map<string, Map<string, EndpointSlice>>();
  let denied = false;
  const keyOf = (namespace: string, service: string): string => `${namespace}/${service}`;
  const note = (before: EndpointSlice | undefined, after: EndpointSlice | undefined): void => {
    if (before !== undefined) byService.get(keyOf(before.namespace, before.service))?.delete(before.uid);
    if (after === undefined) return;
    const key = keyOf(after.namespace, after.service);
    const there = byService.get(key) ?? new Map<string, EndpointSlice>();
    byService.set(key, there.set(after.uid, after));
  };
  const before = new Map<string, EndpointSlice>();
  const set = makeListWatch<EndpointSlice>(deps, {
    path: "/apis/discovery.k8s.io/v1/endpointslices",
    query: { labelSelector: HAND_MADE },
    decode: decodeEndpointSlice,
    onChange: ({ kind, record }) => {
      const was = before.get(record.uid);
      const is = kind === "removed" ? undefined : record;
      if (is === undefined) before.delete(record.uid);
      else before.set(record.uid, is);
      note(was, is);
      for (const follower of followers) follower(was, is);
    },
    onSynced: () => {
      denied = false;
      for (const follower of known) follower();
    },
    onDenied: () => {
      denied = true;
      for (const follower of known) follower();
    },
  });
  const follow = <F>(all: Set<F>, follower: F): (() => void) => {
    all.add(follower);
    return () => void all.delete(follower);
  };
  return {
    of: (namespace, service) => {
      needed.resolve();
      if (!set.synced) return undefined;
      return [...(byService.get(keyOf(namespace, service))?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    get all() {
      return set.records.values();
    },
    get denied() {
      return denied;
    },
    follow: (follower) => follow(followers, follower),
    followKnown: (follower) => follow(known, follower),
    run: async (signal) => {
      const over = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => over.resolve(), { once: true });
      if (!signal.aborted) await Promise.race([needed.promise, over.promise]);
      if (!signal.aborted) await set.run(signal);
    },
  };
}
