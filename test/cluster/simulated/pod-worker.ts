/** The life of one Pod on a simulated node: address, application, status, preStop, SIGTERM, last DELETE. */
import { type Clock, makeClock } from "../../../common/clock.ts";
import type { AddressPool } from "./address-pool.ts";
import { type Application, startApplication } from "./application.ts";
import { answered, type Cluster, pathOf } from "./cluster.ts";
import { type Loop, makeLoop } from "./loop.ts";
import type { Pod } from "./objects.ts";
import { type PodRuntime, planPodStatus } from "./pod-status.ts";
import { type Caller, runPreStop } from "./pre-stop.ts";

export type WorkerDeps = Pick<Cluster, "client" | "log"> & {
  readonly hostIp: string;
  readonly addresses: AddressPool;
  readonly holdAddress?: string | undefined;
  /** Default: real time. */
  readonly clock?: Clock | undefined;
};

/** What a container gets for SIGTERM even when its hook used up the grace period. Source: kubelet's minimumGracePeriodInSeconds. */
const LEAST_TERM_MS = 2000;
const RETRY_MS = 200;
/** What the API server fills in. */
const DEFAULT_GRACE_SECONDS = 30;
/** So long after a deletion by force the containers get their SIGTERM, whatever their hooks do. Seen on kubelet 1.36. */
const FORCED_MS = 1000;

/**
 * Value "true" on a Pod whose process the test harness runs itself, e.g. an agent: its object gets a status and an end, but no server
 * and no hooks.
 */
export const EXTERNAL = "simulated-cluster/external";

/** Value "true" on a Pod whose readiness probe is to fail from now on: its containers go on serving, and their status says "not ready". */
export const UNREADY = "simulated-cluster/unready";

/**
 * On a Pod that the kubelet ends by itself, without a deletion. "restart": its containers are stopped and started anew, as after a failed
 * liveness probe. "shutdown 20": its node goes down, with so many seconds of grace; phase Failed follows when the containers have ended, and
 * the object stays. Each value acts once. Source: kubelet 1.36, killContainer and its shutdown manager.
 */
export const KILLED = "simulated-cluster/killed";

export class PodWorker {
  readonly #deps: WorkerDeps;
  readonly #clock: Clock;
  #pod: Pod;
  #runtime: PodRuntime;
  #applications: readonly Application[] = [];
  #status: Loop;
  #over = new AbortController();
  /** Aborts the hooks when the grace period ends with which they began: a second DELETE with a shorter one does not reach them. */
  #grace = new AbortController();
  #isGraceTimed = false;
  #graceEndsAtMs = Number.POSITIVE_INFINITY;
  #work: Promise<void>;
  #terminating = false;
  #isStarted = false;
  /** The last value of KILLED that acted. */
  #killed: string | undefined;
  /** The kubelet stops the containers, without a deletion. */
  #stopping: Promise<void> | undefined;

  constructor(deps: WorkerDeps, pod: Pod) {
    this.#deps = deps;
    this.#clock = deps.clock ?? makeClock();
    this.#pod = pod;
    this.#runtime = {
      phase: "Pending",
      ip: undefined,
      hostIp: deps.hostIp,
      startedAtMs: undefined,
      containersReady: false,
      restarts: 0,
      reason: "ContainersNotReady",
      message: `containers with unready status: [${pod.spec.containers.map(({ name }) => name).join(" ")}]`,
    };
    this.#status = makeLoop(`status of ${pod.metadata.name}`, () => this.#writeStatus(), deps.log);
    this.#work = pod.metadata.deletionTimestamp === undefined ? this.#run() : Promise.resolve();
    this.see(pod);
  }

  /** The newest version of the Pod's object. */
  see(pod: Pod): void {
    this.#keepNewer(pod);
    this.#status.trigger();
    const containersReady = this.#isStarted && !this.#isUnready;
    if (!this.#terminating && this.#runtime.containersReady !== containersReady) this.#be({ containersReady });
    this.#seeKill(pod);
    const grace = pod.metadata.deletionGracePeriodSeconds;
    if (pod.metadata.deletionTimestamp === undefined || grace === undefined) return;
    this.#endGraceIn(grace * 1000);
    if (this.#terminating) return;
    this.#terminating = true;
    this.#work = this.#terminate();
  }

  #seeKill({ metadata }: Pod): void {
    const killed = metadata.annotations?.[KILLED];
    if (killed === undefined || killed === this.#killed || !this.#isStarted || this.#terminating || this.#stopping !== undefined) return;
    this.#killed = killed;
    this.#stopping = this.#kill(killed).finally(() => (this.#stopping = undefined));
  }

  get #isUnready(): boolean {
    return this.#pod.metadata.annotations?.[UNREADY] === "true";
  }

  /** The object is gone. By force, if nothing announced it: the hooks are called all the same, and not waited for. */
  async gone(): Promise<void> {
    if (!this.#terminating && this.#isStarted) {
      this.#terminating = true;
      for (const container of this.#pod.spec.containers) void runPreStop(container, this.#caller, this.#over.signal);
      await this.#sleep(FORCED_MS);
    }
    await this.stop();
  }

  /** The kubelet stops, or nothing of the Pod is left to be waited for: SIGKILL, and the address is free. */
  async stop(): Promise<void> {
    this.#over.abort();
    this.#grace.abort();
    for (const application of this.#applications) application.kill();
    this.#giveBack();
    await this.#status.stop();
    await this.#stopping;
    await this.#work;
  }

  async #run(): Promise<void> {
    const { addresses, hostIp } = this.#deps;
    const pod = this.#pod;
    for (;;) {
      const ip = pod.spec.hostNetwork === true ? hostIp : addresses.take(pod.status?.podIP);
      if (ip !== undefined) {
        this.#be({ phase: "Running", ip, startedAtMs: this.#clock.now() });
        break;
      }
      if (await this.#pause()) return; // all addresses are in use: the Pod stays Pending until one is given back
    }
    await this.#startContainers();
  }

  async #startContainers(): Promise<void> {
    const { log } = this.#deps;
    const pod = this.#pod;
    const address = pod.spec.hostNetwork === true ? undefined : this.#runtime.ip;
    const containers = pod.metadata.annotations?.[EXTERNAL] === "true" ? [] : pod.spec.containers;
    this.#applications = containers.map((container) => startApplication(container, pod.metadata.name, address));
    try {
      await Promise.all(this.#applications.map(({ ready }) => ready));
      if (this.#terminating || this.#over.signal.aborted) return;
      this.#isStarted = true;
      this.#be({ containersReady: !this.#isUnready });
    } catch (err) {
      if (this.#terminating || this.#over.signal.aborted) return; // it was ended before it was ready
      log.error({ err, pod: pod.metadata.name }, "simulated application cannot listen");
      this.#be({ reason: "ContainerCannotRun", message: err instanceof Error ? err.message : String(err) });
    }
  }

  async #terminate(): Promise<void> {
    await this.#endContainers(this.#grace.signal, () => this.#graceEndsAtMs);
    await this.#stopping;
    if (this.#over.signal.aborted) return;
    this.#be({ phase: "Succeeded", containersReady: false, reason: "PodCompleted", message: "" });
    await this.#remove();
  }

  /** Every container gets SIGTERM after its own hook; the hook's time counts against the grace period. */
  async #endContainers(graceOver: AbortSignal, graceEndsAtMs: () => number): Promise<void> {
    const { spec } = this.#pod;
    await Promise.all(
      this.#applications.map(async (application, index) => {
        const container = spec.containers[index];
        const failed = container && (await runPreStop(container, this.#caller, graceOver));
        if (failed !== undefined && !this.#over.signal.aborted)
          this.#deps.log.debug({ pod: this.#pod.metadata.name, failed }, "preStop hook failed");
        const left = Math.max(graceEndsAtMs() - this.#clock.now(), LEAST_TERM_MS);
        await Promise.race([application.terminate(), this.#sleep(left)]);
        application.kill();
      }),
    );
  }

  /** See KILLED. The hooks are called as ever, and nobody is told of it before the containers have ended. */
  async #kill(value: string): Promise<void> {
    const [how, seconds] = value.split(" ");
    const graceMs = Number(seconds ?? this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000;
    const endsAtMs = this.#clock.now() + graceMs;
    const grace = new AbortController();
    void this.#sleep(graceMs).then(() => grace.abort());
    await this.#endContainers(grace.signal, () => endsAtMs);
    if (this.#over.signal.aborted || this.#terminating) return;
    this.#isStarted = false;
    if (how === "shutdown")
      return this.#be({
        phase: "Failed",
        containersReady: false,
        reason: "Terminated",
        message: "Pod was terminated in response to imminent node shutdown.",
      });
    const restarts = this.#runtime.restarts + 1;
    this.#be({ containersReady: false, restarts, reason: "ContainersNotReady", message: "containers are started anew" });
    await this.#startContainers();
  }

  /** The kubelet's last word: status of the end, then DELETE with grace 0. The answer to it comes as `stop`. */
  async #remove(): Promise<void> {
    const { metadata } = this.#pod;
    const options = { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } };
    while (!this.#over.signal.aborted) {
      try {
        await this.#writeStatus();
        return await this.#deps.client.delete(pathOf("pods", metadata), options);
      } catch (error) {
        if (answered(error, 404, 409)) return; // gone, or another Pod has the name
        if (await this.#pause()) return;
      }
    }
  }

  async #writeStatus(): Promise<undefined> {
    const patch = planPodStatus(this.#pod, this.#runtime, this.#clock.now());
    if (patch === undefined || this.#over.signal.aborted) return;
    try {
      this.#keepNewer(await this.#deps.client.patch<Pod>(pathOf("pods", this.#pod.metadata, "status"), patch, "strategic"));
    } catch (error) {
      if (!answered(error, 404, 422)) throw error; // gone, or another Pod has the name: the watch will say so
    }
  }

  #be(change: Partial<PodRuntime>): void {
    this.#runtime = { ...this.#runtime, ...change };
    this.#status.trigger();
  }

  /** The watch may tell what we already know better from the answer to our own write. */
  #keepNewer(pod: Pod): void {
    if (BigInt(pod.metadata.resourceVersion ?? 0) >= BigInt(this.#pod.metadata.resourceVersion ?? 0)) this.#pod = pod;
  }

  get #caller(): Caller {
    return { podIp: this.#runtime.ip ?? "", holdAddress: this.#deps.holdAddress, clock: this.#clock };
  }

  #endGraceIn(ms: number): void {
    const endsAtMs = this.#clock.now() + ms;
    if (endsAtMs >= this.#graceEndsAtMs) return;
    this.#graceEndsAtMs = endsAtMs;
    if (this.#isGraceTimed) return;
    this.#isGraceTimed = true;
    void this.#sleep(ms).then(() => this.#grace.abort());
  }

  /** Until then, or until the Pod is over. */
  #sleep(ms: number): Promise<void> {
    return this.#clock.sleep(ms, this.#over.signal).catch(() => undefined);
  }

  #giveBack(): void {
    const { ip } = this.#runtime;
    if (ip !== undefined && this.#pod.spec.hostNetwork !== true) this.#deps.addresses.giveBack(ip);
  }

  /** True when the Pod is over. */
  async #pause(): Promise<boolean> {
    await this.#sleep(RETRY_MS);
    return this.#over.signal.aborted || (this.#terminating && this.#runtime.phase === "Pending");
  }
}
