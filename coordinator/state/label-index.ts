import type { PodFact } from "../../common/vocabulary.ts";
import type { PodIndex } from "./pod-index.ts";

type Labels = Readonly<Record<string, string>>;

/**
 * The Pods by those labels that selectors name. When a leader begins, thousands of Services are looked at one after the other: the Pods of
 * their namespace are gone through once for all of them.
 */
export class LabelIndex {
  readonly #pods: Pick<PodIndex, "inNamespace">;
  /** By namespace and label, e.g. "shop app=web". How many selectors name it, and its Pods; no Pods yet: the namespace has to be swept. */
  readonly #labels = new Map<string, { uses: number; pods: Map<string, PodFact> | undefined }>();
  /** By namespace: labels that are named and whose Pods are not known. */
  readonly #unswept = new Map<string, Set<string>>();

  constructor(pods: Pick<PodIndex, "inNamespace">) {
    this.#pods = pods;
  }

  /** A selector names these labels from now on. */
  use(namespace: string, selector: Labels): void {
    for (const key of keysOf(namespace, selector)) {
      const known = this.#labels.get(key);
      if (known !== undefined) {
        known.uses += 1;
        continue;
      }
      this.#labels.set(key, { uses: 1, pods: undefined });
      const unswept = this.#unswept.get(namespace) ?? new Set<string>();
      this.#unswept.set(namespace, unswept.add(key));
    }
  }

  /** A selector names them no longer. */
  unuse(namespace: string, selector: Labels): void {
    for (const key of keysOf(namespace, selector)) {
      const known = this.#labels.get(key);
      if (known === undefined) continue;
      known.uses -= 1;
      if (known.uses > 0) continue;
      this.#labels.delete(key);
      this.#unswept.get(namespace)?.delete(key);
    }
  }

  /** Pods with the rarest of the labels: all that the selector can select, and perhaps others. The selector has to be in use. */
  candidates(namespace: string, selector: Labels): Iterable<PodFact> {
    this.#sweep(namespace);
    let fewest: ReadonlyMap<string, PodFact> | undefined;
    for (const key of keysOf(namespace, selector)) {
      const pods = this.#labels.get(key)?.pods;
      if (pods !== undefined && (fewest === undefined || pods.size < fewest.size)) fewest = pods;
    }
    return fewest?.values() ?? [];
  }

  podChanged(before: PodFact | undefined, after: PodFact | undefined): void {
    if (before !== undefined) for (const key of keysOf(before.namespace, before.labels)) this.#labels.get(key)?.pods?.delete(before.uid);
    if (after !== undefined) for (const key of keysOf(after.namespace, after.labels)) this.#labels.get(key)?.pods?.set(after.uid, after);
  }

  /** Goes through the Pods of a namespace once for all labels that were named since the last time. */
  #sweep(namespace: string): void {
    const unswept = this.#unswept.get(namespace);
    if (unswept === undefined) return;
    this.#unswept.delete(namespace);
    for (const key of unswept) {
      const known = this.#labels.get(key);
      if (known !== undefined) known.pods = new Map();
    }
    for (const pod of this.#pods.inNamespace(namespace))
      for (const key of keysOf(namespace, pod.labels)) if (unswept.has(key)) this.#labels.get(key)?.pods?.set(pod.uid, pod);
  }
}

function* keysOf(namespace: string, labels: Labels): Iterable<string> {
  for (const name in labels) yield `${namespace} ${name}=${labels[name] ?? ""}`;
}
