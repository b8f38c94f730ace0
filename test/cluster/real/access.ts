/** Kubeconfigs and clients for whoever is to ask the real API server. */
import { join } from "node:path";
import { makeClock } from "../../../common/clock.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import type { Material } from "../../../coordinator/tls/certificate.ts";
import { issueClient, type KubeUser, kubeconfigOf } from "./certificates.ts";
import { save } from "./files.ts";

export type Access = {
  /** Content of a kubeconfig file for that user: ADMIN, kubeletUser("node-a") or anybody. */
  readonly kubeconfig: (user: KubeUser) => Promise<string>;
  /** The same as a file in the cluster's directory, written once per user. */
  readonly kubeconfigFile: (user: KubeUser) => Promise<string>;
  /** A client for that user, closed with the cluster. */
  readonly client: (user: KubeUser) => Promise<KubeClient>;
};

/** `server` e.g. "https://10.244.3.203:6443". `close` ends the clients. */
export function makeAccess(server: string, authority: Material, directory: string): Access & { readonly close: () => Promise<void> } {
  const clients: KubeClient[] = [];
  const files = new Map<string, Promise<string>>();
  const kubeconfig = async (user: KubeUser): Promise<string> =>
    kubeconfigOf(server, authority.certPem, user, await issueClient(authority, user));
  const kubeconfigFile = (user: KubeUser): Promise<string> => {
    const name = `${[user.name, ...user.groups].join("+").replaceAll(/[^\w.+-]/g, "_")}.kubeconfig`;
    const file = files.get(name) ?? kubeconfig(user).then((text) => save(join(directory, name), text));
    files.set(name, file);
    return file;
  };
  return {
    kubeconfig,
    kubeconfigFile,
    client: async (user) => {
      const env = { KUBECONFIG: await kubeconfigFile(user) };
      const client = await makeKubeClient({ clock: makeClock(), env, userAgent: "real-cluster" });
      clients.push(client);
      return client;
    },
    close: async () => void (await Promise.all(clients.splice(0).map((client) => client.close()))),
  };
}
