import type { IntentPort } from "../domain/intent/intent-port.ts";
import { ruleWishKey, wishKey } from "../domain/intent/service-config.ts";

/** What of an owner's intent matters here. */
type Asking = { readonly configName?: string | undefined; readonly ports: readonly Pick<IntentPort, "protocol" | "port" | "rules">[] };

/**
 * What all owners that name one TkeServiceConfig ask for together, kept as they change: thousands of Services may name the same one, and each
 * pass over a load balancer asks for each of its owners.
 */
export class ConfigUses {
  /** By "<namespace>/<name>": how many owners ask for "TCP/80", or for "HTTP/80 shop.example.com /cart". */
  readonly #asked = new Map<string, Map<string, number>>();
  #version = 0;

  /** Another number when any owner asks for something else. */
  get version(): number {
    return this.#version;
  }

  /** One owner asks for something else now; undefined: it asked, or asks, for nothing. */
  changed(namespace: string, before: Asking | undefined, after: Asking | undefined): void {
    if (before === after) return;
    this.#version += 1;
    this.#count(namespace, after, 1);
    this.#count(namespace, before, -1);
  }

  /** What is asked for by who names this TkeServiceConfig, e.g. "TCP/80" (as of `wishKey`), "HTTP/80 shop.example.com /cart" (as of `ruleWishKey`). */
  askedThrough(namespace: string, configName: string): Pick<ReadonlySet<string>, "has"> {
    return this.#asked.get(`${namespace}/${configName}`) ?? NOTHING;
  }

  #count(namespace: string, asking: Asking | undefined, by: 1 | -1): void {
    if (asking?.configName === undefined) return;
    const config = `${namespace}/${asking.configName}`;
    const asked = this.#asked.get(config) ?? new Map<string, number>();
    for (const key of keysOf(asking)) {
      const count = (asked.get(key) ?? 0) + by;
      if (count > 0) asked.set(key, count);
      else asked.delete(key);
    }
    if (asked.size > 0) this.#asked.set(config, asked);
    else this.#asked.delete(config);
  }
}

const NOTHING: ReadonlySet<string> = new Set();

const keysOf = ({ ports }: Asking): string[] =>
  ports.flatMap(({ protocol, port, rules = [] }) => {
    const key = wishKey(protocol, port);
    return [key, ...rules.map((rule) => ruleWishKey(key, rule))];
  });
