import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import type { Logger } from "../../common/log.ts";
import { OWNER_TAG } from "../../common/names.ts";
import type { ListenerRecord, OwnerRecord } from "../domain/intent/owner-record.ts";
import { LISTENER_PROTOCOLS, type LoadBalancer } from "../domain/load-balancer.ts";
import type { Records } from "./records.ts";

/** Where a listener is on record. `key` e.g. "TCP/80". */
export type RecordedListener = { readonly owner: OwnerRecord; readonly key: string; readonly listener: ListenerRecord };

/** What becomes of a record; the same or undefined: it stays as it is. */
type RecordChange = (known: OwnerRecord | undefined) => OwnerRecord | undefined;

const Protocol = z.enum(LISTENER_PROTOCOLS);
const Optional = z.string().optional();
const Reference = z.object({ kind: z.enum(["Service", "Ingress", "Pod"]), namespace: z.string(), name: z.string(), uid: z.string() });
const Check = z.object({
  enabled: z.boolean(),
  intervalSeconds: z.number(),
  timeoutSeconds: z.number(),
  healthyCount: z.number(),
  unhealthyCount: z.number(),
});
const Strings = z.array(z.string());
const Selector = z.record(z.string(), z.string());
const Certificate = z.union([z.looseObject({ secret: z.string() }), z.looseObject({ certIds: Strings })]);
const Backend = z.looseObject({
  targetPort: z.union([z.number(), z.string()]),
  endpoint: z.looseObject({ service: z.string(), port: z.string() }).optional(),
  selector: Selector.optional(),
  service: z.looseObject({ name: z.string(), port: z.number() }).optional(),
});
const Rule = z.looseObject({
  domain: z.string(),
  url: z.string(),
  certificate: Certificate.optional(),
  backend: Backend.optional(),
  redirect: z
    .union([z.literal("none"), z.looseObject({ protocol: Protocol, port: z.number(), domain: z.string(), url: z.string() })])
    .optional(),
});
const Port = Backend.extend({ protocol: Protocol, port: z.number(), certificate: Certificate.optional(), rules: z.array(Rule).optional() });
const Weight = z.looseObject({ protocol: z.string(), port: z.number(), statefulSet: z.string(), index: z.number(), weight: z.number() });
/** Whatever a pass goes into: one that is of another shape would end every pass over its load balancer. */
const Stored = z.object({
  ref: Reference,
  order: z.string(),
  intent: z.looseObject({
    service: Reference,
    source: z.discriminatedUnion("kind", [
      z.looseObject({ kind: z.literal("existing"), loadBalancerId: z.string() }),
      z.looseObject({ kind: z.literal("create"), subnetId: Optional }),
    ]),
    selector: Selector,
    ports: z.array(Port),
    configName: Optional,
    className: Optional,
    unserved: z.array(z.looseObject({})),
    settings: z.looseObject({ securityGroups: Strings.optional() }).optional(),
    weights: z.looseObject({ byDefault: z.number(), entries: z.array(Weight) }).optional(),
  }),
  formerSelectors: z.array(Selector),
  at: Optional,
  madeFor: Optional,
  leftRules: z.record(z.string(), z.record(z.string(), z.number())).optional(),
  inherited: z.array(z.object({ namespace: z.string(), selector: Selector })).optional(),
  listeners: z.record(
    z.string(),
    z.looseObject({
      id: z.string(),
      healthCheck: z.looseObject(Check.shape),
      scheduler: z.enum(["WRR", "LEAST_CONN", "IP_HASH"]),
      uncheckedRules: Strings.optional(),
      rules: Strings.optional(),
      formerName: Optional,
      renamed: z.looseObject({ to: z.string(), atMs: z.number(), state: z.string() }).optional(),
    }),
  ),
});

/**
 * Of two who have the same listener on record. What became of the name of one that several share stands in the record of one of them. Else the
 * younger one has taken it over, and a leader has fallen before it stored that the elder one has it no more.
 */
const isBefore = (entry: RecordedListener, known: RecordedListener): boolean =>
  entry.listener.rules !== undefined && known.listener.rules !== undefined
    ? known.listener.renamed === undefined
    : entry.owner.order > known.owner.order;

const keyOf = (uid: string): string => `owner.${uid}`;
const isOwnerKey = (key: string): boolean => key.startsWith("owner.");

/** What is stored of each owner, by its load balancer. */
export class OwnerRecords {
  readonly #records: Records;
  readonly #log: Logger;
  /** By load balancer and UID. */
  readonly #owners = new Map<string, Map<string, OwnerRecord>>();
  /** By load balancer and the listener's id. */
  readonly #listeners = new Map<string, Map<string, RecordedListener>>();
  readonly #writes = new Map<string, Promise<unknown>>();
  readonly #versions = new Map<string, number>();

  constructor(records: Records, log: Logger) {
    this.#records = records;
    this.#log = log;
  }

  /** Another number when anything on record of that load balancer has changed. */
  version(loadBalancerId: string): number {
    return this.#versions.get(loadBalancerId) ?? 0;
  }

  /** Takes in what a former leader stored, one load balancer after the other; once, when the records have been read. */
  *restore(): Generator<void> {
    for (const scope of this.#records.scopes) {
      const records: OwnerRecord[] = [];
      const misplaced: string[] = [];
      for (const [key, value] of this.#records.entries(scope)) {
        if (!isOwnerKey(key)) continue;
        const stored = decode(value, scope);
        if (stored === undefined) this.#log.warn({ scope, key }, "the record of an owner is not understood; what it has is found anew");
        else if (stored.at === scope && keyOf(stored.record.ref.uid) === key) records.push(stored.record);
        else {
          this.#log.error(
            { scope, key },
            "somebody has put the record of another owner or load balancer here; what this one has is found anew",
          );
          misplaced.push(key);
        }
      }
      this.#records.forget(scope, misplaced);
      if (records.length > 0) this.#note(scope, records);
      yield;
    }
  }

  get loadBalancerIds(): Iterable<string> {
    return this.#owners.keys();
  }

  of(loadBalancerId: string): Iterable<OwnerRecord> {
    return this.#owners.get(loadBalancerId)?.values() ?? [];
  }

  get(loadBalancerId: string, uid: string): OwnerRecord | undefined {
    return this.#owners.get(loadBalancerId)?.get(uid);
  }

  /** The load balancer's tag says that it was made for this owner, or for a vanished one of its name whose place it has taken. */
  isMadeFor({ loadBalancerId, tags }: Pick<LoadBalancer, "loadBalancerId" | "tags">, uid: string): boolean {
    return tags[OWNER_TAG] === (this.get(loadBalancerId, uid)?.madeFor ?? uid);
  }

  /** The listener with this id, if it is on record. */
  listener(loadBalancerId: string, listenerId: string): RecordedListener | undefined {
    return this.#listeners.get(loadBalancerId)?.get(listenerId);
  }

  /**
   * Stores what `change` makes of the record; undefined: as it is. One change of a load balancer after the other, each on what the last one
   * made. Rejects with KubeApiError: then nothing has changed.
   */
  async update(loadBalancerId: string, uid: string, change: RecordChange, signal: AbortSignal): Promise<void> {
    await this.updateAll(loadBalancerId, new Map([[uid, change]]), signal);
  }

  /** The same for several owners (by UID) at once. */
  async updateAll(loadBalancerId: string, changes: ReadonlyMap<string, RecordChange>, signal: AbortSignal): Promise<void> {
    const before = this.#writes.get(loadBalancerId);
    const write = (async () => {
      await before?.catch(() => undefined);
      const changed = [...changes].flatMap(([uid, change]): OwnerRecord[] => {
        const known = this.get(loadBalancerId, uid);
        const record = change(known);
        return record === undefined || record === known || isDeepStrictEqual(record, known) ? [] : [record];
      });
      if (changed.length === 0) return;
      const texts = new Map(changed.map((record) => [keyOf(record.ref.uid), JSON.stringify({ ...record, at: loadBalancerId })]));
      await this.#records.put(loadBalancerId, texts, signal);
      this.#note(loadBalancerId, changed);
    })();
    this.#writes.set(loadBalancerId, write);
    await write;
  }

  /** The owner has nothing there any more. */
  remove(loadBalancerId: string, uid: string): void {
    const known = this.get(loadBalancerId, uid);
    if (known === undefined) return;
    this.#owners.get(loadBalancerId)?.delete(uid);
    this.#index(loadBalancerId);
    this.#records.forget(loadBalancerId, [keyOf(uid)]);
  }

  /** The load balancer is no longer ours to remember. */
  forget(loadBalancerId: string): void {
    this.#noteChange(loadBalancerId);
    this.#owners.delete(loadBalancerId);
    this.#listeners.delete(loadBalancerId);
  }

  #note(loadBalancerId: string, records: readonly OwnerRecord[]): void {
    const owners = this.#owners.get(loadBalancerId) ?? new Map<string, OwnerRecord>();
    for (const record of records) owners.set(record.ref.uid, record);
    this.#owners.set(loadBalancerId, owners);
    this.#index(loadBalancerId);
  }

  #noteChange(loadBalancerId: string): void {
    this.#versions.set(loadBalancerId, this.version(loadBalancerId) + 1);
  }

  #index(loadBalancerId: string): void {
    this.#noteChange(loadBalancerId);
    const listeners = new Map<string, RecordedListener>();
    for (const owner of this.of(loadBalancerId))
      for (const [key, listener] of Object.entries(owner.listeners)) {
        const known = listeners.get(listener.id);
        const entry = { owner, key, listener };
        if (known === undefined || isBefore(entry, known)) listeners.set(listener.id, entry);
      }
    this.#listeners.set(loadBalancerId, listeners);
  }
}

/** `at`: the load balancer for which it was stored; a former version did not say so. Undefined: it is no record of ours. */
function decode(value: string, scope: string): { readonly record: OwnerRecord; readonly at: string } | undefined {
  try {
    const stored: unknown = JSON.parse(value);
    if (!Stored.safeParse(stored).success) return undefined;
    // As it was stored, not as the schema gives it, with other keys first: that would be another text of the same record, and be written again.
    const { at = scope, ...record } = stored as OwnerRecord & { at?: string }; // oxlint-disable-line typescript/no-unsafe-type-assertion -- what we wrote ourselves, its shape checked
    return { record, at };
  } catch {
    return undefined;
  }
}
