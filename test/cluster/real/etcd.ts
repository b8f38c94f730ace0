/** What happens to a real cluster's data behind the API server's back, through etcd's JSON gateway. */
import { PORTS } from "./ports.ts";

/** Keys and revisions as etcd has them. `address` e.g. "10.244.3.203". */
export const etcdAt = (address: string) => {
  const call = async (path: string, body: object): Promise<unknown> => {
    const answer = await fetch(`http://${address}:${PORTS.etcd}/v3/kv/${path}`, { method: "POST", body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`etcd refused ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  };
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return {
    /** The newest revision, e.g. "812", which is the newest resourceVersion of all. */
    revision: async (): Promise<string> => {
      const { header } = (await call("range", { key: base64("/registry"), limit: 1 })) as { header: { revision: string } }; // as etcd documents it
      return header.revision;
    },
    /** States before that revision are forgotten. */
    compact: async (revision: string): Promise<void> => void (await call("compaction", { revision, physical: true })),
    /** Throws if there is no such key, e.g. "/registry/services/specs/demo/web". */
    remove: async (key: string): Promise<void> => {
      const { deleted } = (await call("deleterange", { key: base64(key) })) as { deleted?: string }; // left out where it is 0
      if (deleted !== "1") throw new Error(`etcd has no key ${key}`);
    },
  };
};
