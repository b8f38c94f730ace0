import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { LEADER_LEASE } from "../../common/names.ts";
import { OVER } from "../../common/signals.ts";
import { GIVEN_UP_MS, type LeaseTimes, leaseStep, mayWrite, NO_LEASE, type SeenLease, see } from "./lease.ts";

export type ElectorDeps = {
  readonly client: Pick<KubeClient, "get" | "replace">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  /** Unique per process start, e.g. "clb-direct-coordinator-6f9c_3f2a". */
  readonly identity: string;
  readonly times: LeaseTimes;
  /** Runs while this process leads, and ends soon after either signal. */
  readonly lead: (reign: Reign) => Promise<void>;
  readonly onChange?: (leading: boolean) => void;
};

/** `retire`: finish what is running and end; the Lease is kept until then. `lost`: another may lead already, end at once. */
export type Reign = { readonly retire: AbortSignal; readonly lost: AbortSignal };

type LeaseObject = {
  readonly metadata: { readonly resourceVersion: string };
  readonly spec?: { readonly holderIdentity?: string | null; readonly leaseDurationSeconds?: number; readonly leaseTransitions?: number };
};

/** One leader among the replicas, by a Lease: the loop around lease.ts. */
export class Elector {
  readonly #deps: ElectorDeps;
  readonly #path: string;
  #lease: SeenLease | undefined;
  /** When our last successful write of the Lease was begun. */
  #renewedAtMs: number | undefined;
  #reign: { readonly retire: AbortController; readonly lost: AbortController; readonly over: Promise<void> } | undefined;

  constructor(deps: ElectorDeps) {
    this.#deps = deps;
    this.#path = kubePath`/apis/coordination.k8s.io/v1/namespaces/${deps.namespace}/leases/${LEADER_LEASE}`;
  }

  get leading(): boolean {
    return this.#reign !== undefined;
  }

  /** The fence: asked before each write, to the cloud and to the API server. Judged by our own clock alone, so that a process that was frozen notices. */
  readonly mayWrite = (): boolean => this.leading && mayWrite(this.#renewedAtMs, this.#deps.clock.now(), this.#deps.times);

  /** Takes part until the signal aborts; then lets its reign finish, still renewing, and gives the Lease up. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, times } = this.#deps;
    const never = new AbortController().signal;
    while (!stop.aborted || this.leading) {
      if (stop.aborted) this.#reign?.retire.abort();
      const waitMs = await this.#round(stop, this.leading ? never : stop).catch((err: unknown) => {
        if (!isCancelled(err, stop)) this.#deps.log.warn({ err }, "Lease not read or written");
        return times.retryMs;
      });
      if (this.leading && !mayWrite(this.#renewedAtMs, clock.now(), times)) await this.#abdicate("the Lease could not be renewed in time");
      await this.#pause(waitMs, stop);
    }
    await this.#giveUp();
  }

  /** Until the next round is due, this process is asked to stop, or a reign that was asked to retire is over. */
  async #pause(ms: number, stop: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const wake = (): void => timer.abort(OVER);
    if (!stop.aborted) stop.addEventListener("abort", wake, { once: true });
    else if (this.#reign === undefined) return;
    else void this.#reign.over.then(wake);
    await this.#deps.clock.sleep(ms, timer.signal).catch(() => undefined);
    stop.removeEventListener("abort", wake);
  }

  /** One read and, where due, one write; returns how long to wait. `signal` ends the calls: a last renewal outlives `stop`. */
  async #round(stop: AbortSignal, signal: AbortSignal): Promise<number> {
    const { clock, identity, times, log } = this.#deps;
    // The holder does not read before it renews: its write fails if anybody touched the Lease, and that is all it needs to know.
    if (!this.leading) await this.#read(signal);
    const lease = this.#lease ?? NO_LEASE;
    const step = leaseStep({ lease, identity, renewedAtMs: this.leading ? this.#renewedAtMs : undefined, nowMs: clock.now(), times });
    if (step.kind === "wait") return this.leading ? Math.min(step.ms, times.renewMs) : step.ms;
    const taking = step.kind === "acquire";
    const begunMs = clock.now();
    try {
      await this.#write(identity, lease, taking, signal);
    } catch (err) {
      if (!isConflict(err)) throw err;
      // Edited, deleted and made anew, or taken by another: read again. If it is still ours, the next round renews it.
      await this.#read(signal);
      if (this.leading && this.#lease?.holder !== identity) await this.#abdicate(`the Lease is held by "${this.#lease?.holder ?? ""}"`);
      return 0;
    }
    this.#renewedAtMs = begunMs;
    if (stop.aborted && !this.leading) return 0; // the reign ended while its last renewal was under way: no other begins
    if (!this.leading) this.#ascend();
    else if (taking || lease.resourceVersion === "") log.warn("Lease was gone or free and has been taken back");
    return times.renewMs;
  }

  async #read(signal: AbortSignal): Promise<void> {
    const read = await this.#deps.client
      .get<LeaseObject>(this.#path, { signal, timeoutMs: this.#deps.times.renewMs })
      .catch((err: unknown) => {
        if (err instanceof KubeApiError && err.failure === "notFound") return undefined;
        throw err;
      });
    this.#lease = see(this.#lease, read && toSeen(read), this.#deps.clock.now());
  }

  async #write(holder: string, lease: SeenLease, taking: boolean, signal: AbortSignal): Promise<void> {
    const { client, clock, namespace, times } = this.#deps;
    const time = microTime(clock.now());
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: LEADER_LEASE, namespace, ...(lease.resourceVersion !== "" && { resourceVersion: lease.resourceVersion }) },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: Math.ceil((holder === "" ? GIVEN_UP_MS : times.durationMs) / 1000),
        renewTime: time,
        leaseTransitions: lease.transitions + (taking ? 1 : 0),
        ...(taking && { acquireTime: time }),
      },
    };
    const written = await client.replace<LeaseObject>(this.#path, body, { signal, timeoutMs: times.renewMs });
    this.#lease = see(this.#lease, toSeen(written), clock.now());
  }

  #ascend(): void {
    const { log, identity, lead, onChange } = this.#deps;
    const retire = new AbortController();
    const lost = new AbortController();
    log.info({ identity }, "leading");
    const reign = { retire, lost, over: Promise.resolve() };
    this.#reign = reign; // before the first call asks the fence
    onChange?.(true);
    reign.over = lead({ retire: retire.signal, lost: lost.signal })
      .catch((err: unknown) => {
        log.error({ err }, "leading ended badly");
        lost.abort(); // what still runs of it must not write beside the next reign
      })
      .finally(() => {
        this.#reign = undefined;
        onChange?.(false);
      });
  }

  async #abdicate(because: string): Promise<void> {
    const reign = this.#reign;
    if (reign === undefined) return;
    this.#deps.log.warn({ because }, "leading no more");
    reign.lost.abort();
    await reign.over;
  }

  /** A successor need not wait for the expiry. Only what is ours is given up. */
  async #giveUp(): Promise<void> {
    const { identity, log } = this.#deps;
    const never = new AbortController().signal;
    const free = async (): Promise<void> => {
      if (this.#lease?.holder === identity) await this.#write("", this.#lease, false, never);
    };
    await free()
      .catch(async (err: unknown) => {
        if (!isConflict(err)) throw err;
        await this.#read(never); // a renewal that was not answered in time has been carried out nevertheless
        await free();
      })
      .catch((err: unknown) => log.warn({ err }, "Lease not given up, it will expire"));
  }
}

const isConflict = (err: unknown): boolean => err instanceof KubeApiError && err.code === 409;

const toSeen = ({ metadata, spec }: LeaseObject): Omit<SeenLease, "changedAtMs"> => ({
  resourceVersion: metadata.resourceVersion,
  holder: spec?.holderIdentity ?? "",
  durationMs: (spec?.leaseDurationSeconds ?? 0) * 1000,
  transitions: spec?.leaseTransitions ?? 0,
});

/** Exactly six digits after the second, or the API server refuses it (kubernetes.md §7). */
const microTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, -1)}000Z`;
