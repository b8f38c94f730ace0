/** Pods that are created without a pause while the webhook's replicas are replaced. */
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { isInjected } from "../cluster/injected.ts";

/** `bare`: without the gate, which the webhook's `failurePolicy: Ignore` allows; `refused`: not created. */
export type Counts = { readonly created: number; readonly bare: number; readonly refused: number };

const EVERY_MS = 50; // twenty a second

/** Creates Pods with these labels as dry runs, twenty a second, until `over` is called, which resolves with what they got. */
export function startCreations(admin: KubeClient, path: string, labels: object): { readonly over: () => Promise<Counts> } {
  const counts = { created: 0, bare: 0, refused: 0 };
  const running = new Set<Promise<void>>();
  const create = async (): Promise<void> => {
    try {
      counts.bare += (await isInjected(admin, path, labels)) ? 0 : 1;
      counts.created += 1;
    } catch {
      counts.refused += 1;
    }
  };
  const timer = setInterval(() => {
    const one = create().finally(() => running.delete(one));
    running.add(one);
  }, EVERY_MS);
  return {
    over: async () => {
      clearInterval(timer);
      await Promise.all(running);
      return counts;
    },
  };
}
