import type { KubeClient } from "./requests.ts";

/** What of a client only reads, for one that treats its writes in another way. */
export const readsOf = (client: KubeClient): Pick<KubeClient, "server" | "get" | "list" | "watch" | "close"> => ({
  server: client.server,
  get: (path, options) => client.get(path, options),
  list: (path, query, options) => client.list(path, query, options),
  watch: (path, query, onEvent, signal) => client.watch(path, query, onEvent, signal),
  close: () => client.close(),
});
