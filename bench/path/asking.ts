/** Requests of one node to the Pods of the other, and what the Pods and the kernel saw of them. */
import { run } from "../../test/cluster/real/nodes/run.ts";

/** What the client of the sample application is told (test/cluster/real/nodes/app/ask.go). */
type Asked = { readonly targets: readonly string[]; readonly kept: boolean; readonly workers: number; readonly requests: number };

/** What it says; times are microseconds of a request, with its connection where that is new. */
export type Told = {
  readonly requests: number;
  readonly failed: number;
  readonly fault: string;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  /** Answers by Pod. */
  readonly pods: Readonly<Record<string, number>>;
  /** Requests by the address from which the Pods saw them come. */
  readonly sources: Readonly<Record<string, number>>;
  /** The connections, e.g. "10.245.1.3:41000 10.245.1.65:8080". */
  readonly links: readonly string[];
};

export type Ask = (asked: Asked) => Promise<Told>;

/** `enter` is what goes before a command line on the asking node's network; `application` the file of its program. */
export const makeAsk =
  (enter: readonly string[], application: string): Ask =>
  async (asked) =>
    JSON.parse(await run([...enter, application, "ask", JSON.stringify(asked)])) as Told;

/** Entries of connection tracking for one connection, e.g. { entries: 1.5, newTarget: 1, newSource: 1 }: those of all nodes, and on the asked one those that rewrite an address. */
export type Tracked = { readonly entries: number; readonly newTarget: number; readonly newSource: number };

/** One line of /proc/net/nf_conntrack: the addresses as they were sent, and those that the answer has. */
type Entry = {
  readonly source: string;
  readonly target: string;
  readonly answers: string;
  readonly answered: string;
  /** E.g. "10.245.1.3:41000 10.245.1.2:30080". */
  readonly link: string;
};

/** E.g. "ipv4 2 tcp 6 119 TIME_WAIT src=10.245.1.3 dst=10.245.1.2 sport=41000 dport=30080 src=10.245.1.65 dst=10.245.1.2 sport=8080 …". */
export function entriesOf(listing: string): readonly Entry[] {
  return listing.split("\n").flatMap((line): Entry[] => {
    const of = (name: string): string[] => [...line.matchAll(new RegExp(`\\b${name}=(\\S+)`, "g"))].map(([, value = ""]) => value);
    const [[source, answers], [target, answered], [port], [targetPort]] = [of("src"), of("dst"), of("sport"), of("dport")];
    if (source === undefined || answers === undefined || target === undefined || answered === undefined) return [];
    return [{ source, target, answers, answered, link: `${source}:${port} ${target}:${targetPort}` }];
  });
}

export const listingOf = async (enter: readonly string[]): Promise<readonly Entry[]> =>
  entriesOf(await run([...enter, "cat", "/proc/self/net/nf_conntrack"]));

/** What connections to node `askedNode` or its Pods left behind. */
export type Trace = {
  /** As they were opened. */
  readonly links: readonly string[];
  readonly askedNode: string;
  /** Of the asked node, afterwards. */
  readonly there: readonly Entry[];
  /** Of the asking node, before and afterwards: its own end of the connections is the client's and does not count, what the asked node passed on does. */
  readonly hereBefore: readonly Entry[];
  readonly here: readonly Entry[];
};

export function trackedOf({ links, askedNode, there, hereBefore, here }: Trace): Tracked {
  const opened = new Set(links);
  const known = new Set(hereBefore.map(({ link }) => link));
  const first = there.filter(({ link }) => opened.has(link));
  const second = here.filter(({ source, link }) => source === askedNode && !known.has(link));
  const per = (count: number): number => count / Math.max(1, opened.size);
  return {
    entries: per(first.length + second.length),
    newTarget: per(first.filter(({ target, answers }) => target !== answers).length),
    newSource: per(first.filter(({ source, answered }) => source !== answered).length),
  };
}
