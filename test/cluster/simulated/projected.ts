/** Files that a kubelet projects into a Pod, for processes that the harness starts in its place: a ServiceAccount token, a ConfigMap's key. */
import { rename, rm, writeFile } from "node:fs/promises";
import { answered, type Cluster, watchAll } from "./cluster.ts";
import { makeLoop } from "./loop.ts";
import type { Metadata } from "./objects.ts";

export type Projection = {
  /** Settles when the file is there for the first time. */
  readonly written: Promise<void>;
  /** Ends the upkeep and removes the file. */
  readonly stop: () => Promise<void>;
};

export type TokenOptions = {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** E.g. "clb-direct"; undefined: the API server's own audience. */
  readonly audience: string | undefined;
  /** At least 600 s on a real API server. */
  readonly expirationSeconds: number;
  /** The Pod that the token is bound to; it brings the node claim. */
  readonly pod: { readonly name: string; readonly uid: string };
  readonly file: string;
};

/** As the kubelet does: a new token at 80 % of the old one's life. A failed request is repeated, the old file stays. */
const RENEW_AT = 0.8;

type TokenRequest = { readonly status: { readonly token: string; readonly expirationTimestamp: string } };

export function projectToken({ client, log }: Cluster, options: TokenOptions): Projection {
  const { namespace, serviceAccount, audience, expirationSeconds, pod, file } = options;
  const written = Promise.withResolvers<void>();
  const body = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: {
      ...(audience === undefined ? {} : { audiences: [audience] }),
      expirationSeconds,
      boundObjectRef: { kind: "Pod", apiVersion: "v1", ...pod },
    },
  };
  const loop = makeLoop(
    `token of ${serviceAccount}`,
    async () => {
      const askedAtMs = Date.now();
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
      const { status } = await client.create<TokenRequest>(path, body);
      await writeWhole(file, status.token);
      written.resolve();
      return askedAtMs + (Date.parse(status.expirationTimestamp) - askedAtMs) * RENEW_AT;
    },
    log,
  );
  loop.trigger();
  return { written: written.promise, stop: () => loop.stop().then(() => rm(file, { force: true })) };
}

export type ConfigMapKeyOptions = { readonly namespace: string; readonly name: string; readonly key: string; readonly file: string };

type ConfigMap = { readonly metadata: Metadata; readonly data?: Readonly<Record<string, string>> };

/** The file appears with the key, follows it, and keeps its last content when the ConfigMap or the key goes. */
export function projectConfigMapKey(cluster: Cluster, options: ConfigMapKeyOptions): Projection {
  const { namespace, name, key, file } = options;
  const written = Promise.withResolvers<void>();
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  let present: string | undefined;
  const loop = makeLoop(
    `${file} from ConfigMap ${name}`,
    async () => {
      const value = await read();
      if (value === undefined || value === present) return undefined;
      await writeWhole(file, value);
      present = value;
      written.resolve();
      return undefined;
    },
    cluster.log,
  );
  const read = async (): Promise<string | undefined> => {
    try {
      return (await cluster.client.get<ConfigMap>(`${path}/${name}`)).data?.[key];
    } catch (error) {
      if (answered(error, 404)) return undefined;
      throw error;
    }
  };
  const on = { changed: loop.trigger, gone: loop.trigger };
  const watch = watchAll<ConfigMap>(cluster, path, { fieldSelector: `metadata.name=${name}` }, on);
  return {
    written: written.promise,
    stop: async () => {
      await Promise.all([watch.stop(), loop.stop()]);
      await rm(file, { force: true });
    },
  };
}

/** A reader sees the old content or the new one, never a part. */
async function writeWhole(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
