import { connect, type Socket } from "node:net";
import type { Clock } from "../common/clock.ts";
import type { HeldPod, HoldAnswer } from "../common/holds.ts";
import type { Change } from "../common/kubernetes/list-watch.ts";
import { makeLatch } from "../common/latch.ts";
import { loop, type Part } from "../common/lifecycle.ts";
import type { Logger } from "../common/log.ts";
import { isOver, type PodFact, podName } from "../common/vocabulary.ts";
import type { Ended, Held, HoldsReport } from "./domain/say-holds.ts";
import { type FromAgent, type FromHold, type HoldPod, lineOf, makeLines, type Released, readFromHold } from "./hold/messages.ts";
import type { PodSource } from "./ports.ts";

export type HoldingDeps = {
  /** Where the hold server of this Pod listens; undefined: there is none. */
  readonly socketPath: string | undefined;
  readonly pods: () => PodSource;
  /** Who is held, or what was proven, has changed. */
  readonly onHolds: (holds: HoldsReport) => void;
  /** Metric hooks: a hold ended; so many new connections came to a Pod after the end of its hold. */
  readonly onReleased: (pod: Released) => void;
  readonly onLate: (connections: number) => void;
  readonly clock: Clock;
  readonly log: Logger;
};

/** The agent's side of the hold: it tells the hold server of Pods and of coordinators' answers, and the coordinators who waits. */
export interface Holding {
  readonly holds: HoldsReport;
  podChanged(change: Change<PodFact>): void;
  /** The Pods were listed; `next` is called then. */
  synced(next?: () => void): void;
  readonly onHoldAnswers: (answers: readonly HoldAnswer[]) => void;
  readonly part: Part;
  /** Stops first: says that this agent leaves, and stays for what the hold server still has to finish. */
  readonly leave: Part;
}

const AGAIN_MS = 500;
/** It speaks every 5 s, for its proof. */
const SILENT_MS = 15_000;
/** So many ends are remembered for streams that are slow; a node has few hundred Pods. */
const REMEMBERED = 512;
/** Below the Pod's 60 s, and the hold server's own limit of 55 s. */
const FINISH_MS = 56_000;
/** How long a hold server that stops as well may take to say so. */
const STOPPING_MS = 2_000;

export const makeHolding = (deps: HoldingDeps): Holding => new HoldLink(deps);

class HoldLink implements Holding {
  readonly part: Part;
  readonly leave: Part;
  readonly #deps: HoldingDeps;
  readonly #changed: ReturnType<typeof makeLatch>;
  /** What the hold server knows of each Pod, as text. */
  readonly #said = new Map<string, string>();
  #socket: Socket | undefined;
  #isStopping = false;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #holds: HoldsReport = { held: new Map(), released: [], proof: { proven: false, because: "no hold server" }, leaving: false };

  constructor(deps: HoldingDeps) {
    this.#deps = deps;
    this.#changed = makeLatch(deps.clock);
    this.part = loop("hold server's socket", (signal) => this.#run(signal));
    this.leave = { name: "holds", start: () => undefined, stop: (signal) => this.#leave(signal) };
  }

  get holds(): HoldsReport {
    return this.#holds;
  }

  podChanged(change: Change<PodFact>): void {
    const { record } = change;
    this.#noteDeletion(record);
    const pod = change.kind === "removed" ? undefined : holdPodOf(record);
    if (this.#socket === undefined || !this.#deps.pods().synced) return;
    const text = pod && JSON.stringify(pod);
    if (this.#said.get(record.uid) === text) return;
    if (pod === undefined || text === undefined) this.#said.delete(record.uid);
    else this.#said.set(record.uid, text);
    const [gone, pods] = pod === undefined ? [[record.uid], []] : [[], [pod]];
    const isProven = change.kind !== "removed" || change.evidence === "deleted";
    this.#say({ kind: "pods", complete: false, pods, removed: isProven ? gone : [], absent: isProven ? [] : gone });
  }

  synced(next?: () => void): void {
    next?.();
    if (this.#socket === undefined || !this.#deps.pods().synced) return;
    const pods = [...this.#deps.pods().records.values()].flatMap((record) => holdPodOf(record) ?? []);
    this.#said.clear();
    for (const pod of pods) this.#said.set(pod.uid, JSON.stringify(pod));
    this.#say({ kind: "pods", complete: true, pods, removed: [] });
  }

  readonly onHoldAnswers = (answers: readonly HoldAnswer[]): void => this.#say({ kind: "answers", answers: [...answers] });

  async #run(signal: AbortSignal): Promise<void> {
    const { socketPath, clock } = this.#deps;
    if (socketPath === undefined) return;
    while (!signal.aborted) {
      await this.#talk(socketPath, signal);
      await clock.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  /** One connection, to its end. */
  async #talk(path: string, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const over = new AbortController();
    const socket = connect(path);
    const end = (): void => void socket.destroy();
    signal.addEventListener("abort", end, { once: true });
    let why = "";
    socket.setEncoding("utf8").on("error", (error) => (why = error.message));
    socket.once("close", () => over.abort());
    socket.once("connect", () => {
      this.#socket = socket;
      this.#heardAtMs = clock.now();
      log.info("hold server found");
      this.synced();
    });
    const lines = makeLines((line) => this.#hear(readFromHold(line)));
    socket.on("data", (chunk) => {
      try {
        lines(String(chunk));
      } catch (err) {
        log.error({ err }, "the hold server said what is not understood: are its image and this one the same?");
        socket.destroy();
      }
    });
    while (!over.signal.aborted) {
      await clock.sleep(SILENT_MS, over.signal).catch(() => undefined);
      if (!over.signal.aborted && clock.now() > this.#heardAtMs + SILENT_MS)
        this.#set({ proof: { proven: false, because: "the hold server says nothing" } });
    }
    signal.removeEventListener("abort", end);
    const wasThere = this.#socket === socket;
    this.#socket = undefined;
    if (signal.aborted) return;
    if (wasThere) log.warn({ why }, "hold server is gone");
    this.#set({ held: new Map(), proof: { proven: false, because: `no hold server${why === "" ? "" : `: ${why}`}` } });
  }

  #hear(message: FromHold): void {
    this.#heardAtMs = this.#deps.clock.now();
    switch (message.kind) {
      case "held": {
        this.#isStopping = message.stopping;
        const held = message.pods.map((pod): Held => {
          const known = this.#holds.held.get(pod.uid);
          if (known !== undefined && known.openConnections === pod.openConnections) return known;
          const sinceMs = known?.sinceMs ?? this.#heardAtMs - pod.heldMs;
          const fact = this.#deps.pods().records.get(pod.uid);
          const graceSeconds = graceOf(fact) ?? known?.graceSeconds;
          const restarts = known === undefined ? fact?.restarts : known.restarts;
          return { uid: pod.uid, sinceMs, openConnections: pod.openConnections, ...stopOf({ graceSeconds, restarts }) };
        });
        return this.#set({ held: new Map(held.map((pod) => [pod.uid, pod])) });
      }
      case "released": {
        this.#deps.onReleased(message.pod);
        const { uid, end, lowered, heldMs } = message.pod;
        const { graceSeconds, restarts } = this.#holds.held.get(uid) ?? {};
        // Its container is started anew after this, and others of the Pod may have been while it waited.
        const counted = this.#deps.pods().records.get(uid)?.restarts ?? restarts;
        return this.#release({ uid, end, lowered, heldMs, ...stopOf({ graceSeconds, restarts: counted }) });
      }
      case "late":
        return this.#deps.onLate(message.connections);
      case "proof": {
        const { proven, because } = message;
        const { proof } = this.#holds;
        return proof.proven === proven && proof.because === because ? undefined : this.#set({ proof: { proven, because } });
      }
      default:
        return message satisfies never;
    }
  }

  /** A dial may come before the deletion is known, and a second DELETE may shorten the grace period. */
  #noteDeletion(pod: PodFact): void {
    const known = this.#holds.held.get(pod.uid);
    const graceSeconds = graceOf(pod);
    if (known === undefined || graceSeconds === undefined || graceSeconds === known.graceSeconds) return;
    this.#set({ held: new Map([...this.#holds.held, [pod.uid, { ...known, graceSeconds }]]) });
  }

  #release(pod: Ended["pod"]): void {
    const { held, released } = this.#holds;
    const number = (released.at(-1)?.number ?? 0) + 1;
    const left = new Map([...held].filter(([uid]) => uid !== pod.uid));
    this.#set({ held: left, released: [...released, { number, pod, atMs: this.#heardAtMs }].slice(-REMEMBERED) });
  }

  #set(change: Partial<HoldsReport>): void {
    this.#holds = { ...this.#holds, ...change };
    this.#deps.onHolds(this.#holds);
    this.#changed.set();
  }

  #say(message: FromAgent): void {
    this.#socket?.write(lineOf(message));
  }

  async #leave(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    this.#set({ leaving: true });
    const begunAtMs = clock.now();
    while (this.#socket !== undefined && this.#holds.held.size > 0 && !signal.aborted) {
      const limitMs = begunAtMs + (this.#isStopping ? FINISH_MS : STOPPING_MS);
      if (clock.now() >= limitMs) return; // else only this container ends, and the next one goes on with the same hold server
      await this.#changed.wait(limitMs - clock.now(), signal);
    }
  }
}

/** How long its containers may take to stop: whoever deletes a Pod may give it less, or more, than its spec and its probes say. */
const graceOf = (pod: PodFact | undefined): number | undefined =>
  (pod?.deletionAtMs === undefined ? undefined : pod.hold?.deletionGraceSeconds) ?? pod?.hold?.longestGraceSeconds;

/** What is known of it. */
const stopOf = ({
  graceSeconds,
  restarts,
}: Pick<HeldPod, "graceSeconds" | "restarts"> = {}): Pick<HeldPod, "graceSeconds" | "restarts"> => ({
  ...(graceSeconds !== undefined && { graceSeconds }),
  ...(restarts !== undefined && { restarts }),
});

/** undefined: none of this Pod's calls come here. */
function holdPodOf(pod: PodFact): HoldPod | undefined {
  const { hold, deletionAtMs: atMs } = pod;
  if (hold === undefined || isOver(pod)) return undefined; // its address may be another Pod's by now
  const graceSeconds = hold.deletionGraceSeconds ?? hold.graceSeconds;
  return {
    uid: pod.uid,
    name: podName(pod),
    ips: [...pod.ips],
    token: hold.token,
    graceSeconds: hold.graceSeconds,
    ...(atMs !== undefined && { deletion: { atMs, graceSeconds } }),
  };
}
