/** A client that remembers what was created through it, so that exactly this can be taken away again. */
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { until } from "../cluster/process.ts";
import { answered } from "../cluster/simulated/cluster.ts";

export type Memory = {
  readonly client: KubeClient;
  /** Deletes a namespace, if it was created here, and waits until it is gone. From the first call on nothing can be created. */
  readonly takeAwayNamespace: (name: string) => Promise<void>;
  /** Deletes all that was created, last first, and waits for the namespaces among it. */
  readonly takeAwayRest: () => Promise<void>;
};

/** Pods end within their grace period of 30 s, the load balancer's own objects before that. */
const GONE_MS = 90_000;
const LOOK_MS = 250;
const NAMESPACES = "/api/v1/namespaces";

export function remember(plain: KubeClient): Memory {
  const made: string[] = [];
  const running = new Set<Promise<unknown>>();
  let ending = false;
  const create: KubeClient["create"] = async <T>(path: string, body: unknown): Promise<T> => {
    if (ending) throw new Error(`POST ${path}: the demo is ending`);
    const creating = plain.create<T>(path, body);
    running.add(creating);
    try {
      const object = await creating;
      const name = nameOf(object);
      if (name !== undefined && !path.endsWith("/token")) made.push(`${path}/${name}`);
      return object;
    } finally {
      running.delete(creating);
    }
  };
  const end = async (): Promise<void> => {
    ending = true;
    await Promise.allSettled(running);
  };
  const gone = (path: string): Promise<boolean> =>
    plain.get(path).then(
      () => false,
      (error: unknown) => answered(error, 404),
    );
  const remove = (path: string): Promise<void> =>
    plain.delete(path).catch((error: unknown) => {
      if (!answered(error, 404, 409)) throw error; // gone, or a namespace that ends already
    });
  const untilGone = (path: string): Promise<unknown> => until(`${path} is gone`, () => gone(path), GONE_MS, LOOK_MS);
  return {
    client: { ...plain, create },
    takeAwayNamespace: async (name) => {
      await end();
      const path = `${NAMESPACES}/${name}`;
      if (!made.includes(path)) return;
      await remove(path);
      await untilGone(path);
    },
    takeAwayRest: async () => {
      await end();
      const namespaces = made.filter((path) => path.startsWith(`${NAMESPACES}/`) && path.split("/").length === 5);
      // What is in a namespace goes with it.
      const isWithin = (path: string): boolean =>
        namespaces.some((one) => path.includes(`/namespaces/${one.slice(NAMESPACES.length + 1)}/`));
      for (const path of made.filter((one) => !isWithin(one)).toReversed()) await remove(path);
      for (const namespace of namespaces) await untilGone(namespace);
    },
  };
}

function nameOf(object: unknown): string | undefined {
  if (typeof object !== "object" || object === null || !("metadata" in object)) return undefined;
  const { metadata } = object;
  if (typeof metadata !== "object" || metadata === null || !("name" in metadata)) return undefined;
  return typeof metadata.name === "string" ? metadata.name : undefined;
}
