import * as z from "zod";
import { type ListWatchDeps, makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { INJECT_LABEL } from "../../common/names.ts";

const Namespace = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string(), name: z.string(), labels: z.record(z.string(), z.string()) }),
});
type Misfit = { readonly uid: string; readonly resourceVersion: string; readonly name: string; readonly wish: string };

function decode(raw: unknown): Misfit {
  const { uid, resourceVersion, name, labels } = Namespace.parse(raw).metadata;
  return { uid, resourceVersion, name, wish: labels[INJECT_LABEL] ?? "" };
}

/**
 * Namespaces whose label asks for the gate in words that mean nothing, and no others. Nobody waits for them: until they are read, and where
 * they cannot be read, there are none.
 */
export interface MisfitNamespaces {
  /** What the label of that Namespace says, e.g. "true"; undefined: nothing, or what it may say. */
  wishOf(namespace: string): string | undefined;
  run(signal: AbortSignal): Promise<void>;
}

export function makeMisfitNamespaces(deps: ListWatchDeps): MisfitNamespaces {
  const set = makeListWatch<Misfit>(deps, {
    path: "/api/v1/namespaces",
    query: { labelSelector: `${INJECT_LABEL},${INJECT_LABEL} notin (enabled,disabled)` },
    decode,
    onChange: () => undefined, // passes come at least once a minute
  });
  return {
    wishOf: (namespace) => [...set.records.values()].find(({ name }) => name === namespace)?.wish,
    run: (signal) => set.run(signal),
  };
}

/** Where nobody is asked for by labels. */
export const NO_MISFITS: MisfitNamespaces = { wishOf: () => undefined, run: () => Promise.resolve() };
