import type { Logger } from "../../common/log.ts";
import type { Retire } from "../domain/safety/policy.ts";
import type { State } from "../state/state.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { makeConfigReconciler, type ConfigsDeps as ReconcilerDeps } from "./reconcile.ts";

/** TkeServiceConfigs that are worked on at once: each waits for one answer of the API server. */
const CONCURRENCY = 4;

export type ConfigsDeps = Pick<ReconcilerDeps, "client" | "clock" | "tell"> & {
  readonly state: Pick<State, "intents" | "mirror" | "objects">;
  /** `retire`: default: off. */
  readonly settings: Pick<ReconcilerDeps, "clusterId"> & { readonly retire?: Retire | undefined };
  readonly log: Logger;
  readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
};

/** The queue of TkeServiceConfigs that are made for owners, by UID of the owner. An installation that goes makes none. */
export function makeConfigsController({ state, settings, log, onOutcome, ...deps }: ConfigsDeps): Worker {
  const { intents, mirror, objects } = state;
  const config: ReconcilerDeps["config"] = (namespace, name) => objects.config(namespace, name);
  const { clusterId, retire = "off" } = settings;
  const reconcile =
    retire === "off"
      ? makeConfigReconciler({ ...deps, clusterId, intents, mirror, config })
      : () => Promise.resolve({ kind: "done" } as const);
  return new Worker({ name: "configs", reconcile, clock: deps.clock, log, concurrency: CONCURRENCY, onOutcome });
}
