import type { PodVerdict } from "../../common/reachability.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { Eni } from "../domain/eni.ts";
import type { ResolvedMode } from "../domain/network-mode.ts";

/** What is known of a waiting Pod's network, and what its agent found; default: nothing. */
export type Networks = {
  readonly networkOf?: (
    podUid: string,
  ) => { readonly mode: ResolvedMode; readonly eni: Eni | undefined; readonly unjudged: string } | undefined;
  readonly verdictOf?: (podUid: string) => PodVerdict | undefined;
};

export type NetworkExplanation = {
  /** E.g. "tke-route-eni (the cluster's default network is tke-route-eni)"; undefined where nobody has asked yet. */
  readonly networkMode: string | undefined;
  /** E.g. "eni-pods0001 in subnet-pods0001 (ap-guangzhou-3), sg-pods0001". */
  readonly eni: string | undefined;
  /** What could not be found out. */
  readonly networkNote: string;
  /** What the agent found, place by place. */
  readonly verdicts: readonly string[];
};

export function networkFields(pod: PodFact, { networkOf, verdictOf }: Networks): NetworkExplanation {
  const network = networkOf?.(pod.uid);
  const { mode, eni, unjudged = "" } = network ?? {};
  return {
    networkMode: mode && `${mode.mode} (${mode.because})`,
    eni: eni && `${eni.id} in ${eni.subnetId} (${eni.zone}), ${eni.groups.join(", ") || "no security group"}`,
    networkNote: [pod.networkNote, unjudged].filter((note) => note !== "").join("; "),
    verdicts: (verdictOf?.(pod.uid)?.ports ?? []).flatMap(verdictTexts),
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
