import type { Logger } from "../../common/log.ts";
import type { NodeFacts, PodTask, PodVerdict, SecurityGroup } from "../../common/reachability.ts";
import type { NodeFindings } from "../state/node-findings.ts";
import { makeSpeaker, type Speaker } from "./speaker.ts";

/** One message to an agent. `tasks.complete`: what was asked before, by whomever, is over. */
export type Asking =
  | { readonly kind: "group"; readonly group: SecurityGroup }
  | { readonly kind: "tasks"; readonly complete: boolean; readonly pods: readonly PodTask[]; readonly removed: readonly string[] };

/** One agent's stream. */
export interface AgentStream {
  verdicts(pods: readonly PodVerdict[]): void;
  nodeFacts(facts: NodeFacts): void;
  close(): void;
}

export interface NodeTasks extends NodeFindings {
  /** An agent has connected. `say` resolves when there is room for the next message; what changes meanwhile is told with it. */
  attach(node: string, say: (asking: Asking) => Promise<void>): AgentStream;
}

/** Pods in one message: about 30 kB. */
const MOST_PODS = 100;

/** `told`: UIDs that the agent was asked about; `groups`: the versions of groups that it has. */
type Stream = {
  readonly node: string;
  readonly due: Set<string>;
  readonly told: Set<string>;
  readonly groups: Map<string, string>;
  readonly dueGroups: Set<string>;
  isFirst: boolean;
};
type Attached = Stream & { readonly speaker: Speaker };
type Wanted = { readonly node: string; readonly task: PodTask; readonly text: string };

/** Tasks for the agents of this replica's streams: of each Pod the latest, so that a slow agent costs no memory. */
export const makeNodeTasks = (log: Logger): NodeTasks => new Tasks(log);

class Tasks implements NodeTasks {
  readonly #log: Logger;
  readonly #wanted = new Map<string, Wanted>();
  readonly #byNode = new Map<string, Set<string>>();
  readonly #groups = new Map<string, SecurityGroup>();
  readonly #verdicts = new Map<string, PodVerdict>();
  readonly #facts = new Map<string, NodeFacts>();
  readonly #streams = new Map<string, Set<Attached>>();
  readonly #listeners = new Set<(podUid: string) => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  ask(node: string, task: PodTask): void {
    const text = JSON.stringify(task);
    const known = this.#wanted.get(task.uid);
    if (known?.node === node && known.text === text) return;
    if (known !== undefined && known.node !== node) this.forget(task.uid);
    this.#wanted.set(task.uid, { node, task, text });
    const uids = this.#byNode.get(node) ?? new Set();
    this.#byNode.set(node, uids.add(task.uid));
    const said = this.#verdicts.get(task.uid);
    // Of a port that is asked about as before the old word counts until the new one comes.
    if (said !== undefined) this.#verdicts.set(task.uid, about(said, task));
    this.#due(node, task.uid);
  }

  forget(podUid: string): void {
    const known = this.#wanted.get(podUid);
    this.#verdicts.delete(podUid);
    if (known === undefined) return;
    this.#wanted.delete(podUid);
    const left = this.#byNode.get(known.node);
    left?.delete(podUid);
    if (left?.size === 0) this.#byNode.delete(known.node);
    this.#due(known.node, podUid);
  }

  push(group: SecurityGroup): void {
    if (this.#groups.get(group.id)?.version === group.version) return;
    this.#groups.set(group.id, group);
    for (const stream of this.#all()) {
      if (!stream.groups.has(group.id) && !this.#byNode.has(stream.node)) continue;
      stream.dueGroups.add(group.id);
      stream.speaker.wake();
    }
  }

  clear(): void {
    for (const map of [this.#wanted, this.#byNode, this.#groups, this.#verdicts]) map.clear();
    for (const stream of this.#all()) {
      for (const set of [stream.due, stream.told, stream.dueGroups, stream.groups]) set.clear();
      stream.isFirst = true; // the next word of this replica is of another reign
    }
  }

  verdictOf(podUid: string): PodVerdict | undefined {
    return this.#verdicts.get(podUid);
  }

  hasAgent(node: string): boolean {
    return this.#streams.has(node);
  }

  nodeFacts(node: string): NodeFacts | undefined {
    return this.#facts.get(node);
  }

  follow(listener: (podUid: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  attach(node: string, say: (asking: Asking) => Promise<void>): AgentStream {
    const sets = {
      due: new Set(this.#byNode.get(node)),
      told: new Set<string>(),
      groups: new Map<string, string>(),
      dueGroups: new Set<string>(),
    };
    const next = (): readonly Asking[] | undefined => this.#next(stream);
    const speaker = makeSpeaker({ node, what: "tasks", next, say, log: this.#log });
    const stream: Attached = { node, ...sets, isFirst: true, speaker };
    const those = this.#streams.get(node) ?? new Set();
    this.#streams.set(node, those.add(stream));
    speaker.wake();
    return {
      verdicts: (pods) => {
        for (const verdict of pods) this.#take(node, verdict);
      },
      nodeFacts: (told) => void this.#facts.set(node, told),
      close: () => {
        speaker.close();
        those.delete(stream);
        if (those.size > 0 || this.#streams.get(node) !== those) return;
        this.#streams.delete(node);
        this.#facts.delete(node);
      },
    };
  }

  /** What was not asked of that node counts for nothing. */
  #take(node: string, verdict: PodVerdict): void {
    const known = this.#wanted.get(verdict.uid);
    if (known?.node !== node) return;
    this.#verdicts.set(verdict.uid, about(verdict, known.task));
    for (const listener of this.#listeners) listener(verdict.uid);
  }

  *#all(): Iterable<Attached> {
    for (const those of this.#streams.values()) yield* those;
  }

  #due(node: string, uid: string): void {
    for (const stream of this.#streams.get(node) ?? []) {
      stream.due.add(uid);
      stream.speaker.wake();
    }
  }

  /** Takes what is due: first the rules, then the tasks that are judged by them. */
  #next(stream: Stream): readonly Asking[] | undefined {
    if (stream.due.size === 0 && stream.dueGroups.size === 0) return undefined;
    const uids = [...stream.due].slice(0, MOST_PODS);
    for (const uid of uids) stream.due.delete(uid);
    const mine = uids.flatMap((uid) => {
      const one = this.#wanted.get(uid);
      return one?.node === stream.node ? [one.task] : [];
    });
    const pods = new Set(mine.map(({ uid }) => uid));
    const removed = uids.filter((uid) => !pods.has(uid) && stream.told.delete(uid));
    for (const uid of pods) stream.told.add(uid);
    const ids = new Set([...stream.dueGroups, ...mine.flatMap(groupsOf)]);
    stream.dueGroups.clear();
    const fresh = [...ids].flatMap((id): Asking[] => {
      const group = this.#groups.get(id);
      if (group === undefined || stream.groups.get(id) === group.version) return [];
      stream.groups.set(id, group.version);
      return [{ kind: "group", group }];
    });
    if (mine.length === 0 && removed.length === 0) return fresh;
    const complete = stream.isFirst;
    stream.isFirst = false;
    return [...fresh, { kind: "tasks", complete, pods: mine, removed }];
  }
}

/** What the verdict says of the ports of this task. Where no group is asked any more, a word about one is old. */
function about({ uid, ports }: PodVerdict, task: PodTask): PodVerdict {
  const asked = new Map(task.ports.map((port) => [port.key, port]));
  return {
    uid,
    ports: ports.flatMap((port) => {
      const one = asked.get(port.key);
      if (one === undefined || !asked.delete(port.key)) return []; // of each port one word
      if (one.groups.length > 0 || port.sources.every(({ verdict }) => verdict === "unknown")) return [port];
      return [{ ...port, sources: one.sources.map(({ kind }) => ({ kind, verdict: "unknown" as const, because: one.unjudged })) }];
    }),
  };
}

const groupsOf = ({ ports }: PodTask): string[] =>
  ports.flatMap(({ groups, sources }) => [...groups, ...sources.flatMap((set) => set.admittedBy)]);
