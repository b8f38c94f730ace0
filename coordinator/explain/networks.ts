import type { NodeFacts, PodVerdict } from "../../common/reachability.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { Eni } from "../domain/eni.ts";
import type { ResolvedMode } from "../domain/network-mode.ts";
import type { Holds } from "../state/holds.ts";

/** What is known of a waiting Pod's network, what its agent found, and whether it is held; default: nothing. */
export type Networks = {
  readonly networkOf?: (
    podUid: string,
  ) => { readonly mode: ResolvedMode; readonly eni: Eni | undefined; readonly unjudged: string } | undefined;
  readonly verdictOf?: (podUid: string) => PodVerdict | undefined;
  /** What the metadata service told the agent of that node. */
  readonly nodeFacts?: (node: string) => NodeFacts | undefined;
  /** Pods whose preStop hook was called. */
  readonly holds?: Pick<Holds, "dials" | "answerOf">;
};

export type NetworkExplanation = {
  /** E.g. "tke-route-eni (the cluster's default network is tke-route-eni)"; undefined where nobody has asked yet. */
  readonly networkMode: string | undefined;
  /** Where it runs, as the node's metadata service says, e.g. "ins-1a2b3c4d in ap-guangzhou-3"; undefined: it says nothing. */
  readonly instance: string | undefined;
  /** E.g. "eni-pods0001 in subnet-pods0001 (ap-guangzhou-3), sg-pods0001". */
  readonly eni: string | undefined;
  /** What could not be found out. */
  readonly networkNote: string;
  /** What the agent found, place by place. */
  readonly verdicts: readonly string[];
  /** Its preStop hook was called, and what it waits for, e.g. "for 3 s: wait (weight 0 at lb-1 TCP:443)". */
  readonly held: string | undefined;
};

export function networkFields(
  pod: PodFact,
  { networkOf, verdictOf, nodeFacts, holds }: Networks,
  clock: { now(): number },
): NetworkExplanation {
  const network = networkOf?.(pod.uid);
  const { mode, eni, unjudged = "" } = network ?? {};
  const facts = nodeFacts?.(pod.nodeName);
  return {
    instance: facts && `${facts.instanceId} in ${facts.zone}`,
    networkMode: mode && `${mode.mode} (${mode.because})`,
    eni: eni && `${eni.id} in ${eni.subnetId} (${eni.zone}), ${eni.groups.join(", ") || "no security group"}`,
    networkNote: [pod.networkNote, unjudged].filter((note) => note !== "").join("; "),
    verdicts: (verdictOf?.(pod.uid)?.ports ?? []).flatMap(verdictTexts),
    held: heldText(pod.uid, holds, clock),
  };
}

/** E.g. "lb-1 TCP:443: probe open", "lb-1 TCP:443: security-group denied for clients: sg-web rule 3 (…)". */
function verdictTexts({ key, probe, probeText, sources }: PodVerdict["ports"][number]): string[] {
  const because = (text: string): string => (text === "" ? "" : `: ${text}`);
  return [
    `${key}: probe ${probe}${because(probeText)}`,
    ...sources.map((source) => `${key}: security-group ${source.verdict} for ${source.kind}${because(source.because)}`),
  ];
}

/** What a Pod waits for whose preStop hook was called. */
function heldText(podUid: string, holds: Networks["holds"], clock: { now(): number }): string | undefined {
  const dial = holds?.dials.get(podUid);
  if (dial === undefined) return undefined;
  const secondsSince = (ms: number): number => Math.round((clock.now() - ms) / 1_000);
  if (dial.releasedAtMs !== undefined) return `no more: its preStop calls were answered ${secondsSince(dial.releasedAtMs)} s ago`;
  const answer = holds?.answerOf(podUid);
  const open = dial.openConnections === undefined ? "" : `, ${dial.openConnections} connections open`;
  return `for ${secondsSince(dial.sinceMs)} s: ${answer === undefined ? "no answer yet" : `${answer.state} (${answer.reason})`}${open}`;
}
