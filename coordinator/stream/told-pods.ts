import { status } from "@grpc/grpc-js";
import type { PodFact } from "../../common/vocabulary.ts";
import type { PodReport, Snapshot } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { toPodFact } from "../../proto/wire.ts";
import { MOST_OF_NODE, sizeOf, tooLarge } from "../nodes/report-fault.ts";
import { StreamEnd } from "./stream-end.ts";

/** Kubernetes keeps 12 500 Pods that have ended, at worst all of one node (--terminated-pod-gc-threshold), beside those that live. */
const MOST_PODS = 14_000;
/** UIDs and versions are kept as they were said, also those of Pods that do not count; both have some 40 characters. Own choice. */
const LONGEST_ID = 256;

/** What one agent says of Pods, as facts. Everything here throws what the agent shall be told where that is more than a node can have. */
export interface ToldPods {
  factOf(report: PodReport): PodFact;
  /** The whole snapshot once its last part has come; else undefined. What came of another one before is dropped. */
  part(snapshot: Snapshot): readonly PodFact[] | undefined;
  /** `count`: Pods that it has told of with differences too. */
  check(count: number): void;
}

export function makeToldPods(nodeName: string): ToldPods {
  const exhausted = (what: string): StreamEnd => new StreamEnd(status.RESOURCE_EXHAUSTED, `node "${nodeName}": ${what}`);
  const tooMany = (what: string): StreamEnd => exhausted(`${what} more than ${MOST_PODS} Pods is none`);
  let parts: { readonly sequence: bigint; readonly pods: PodFact[]; characters: number } | undefined;

  const factOf: ToldPods["factOf"] = (report) => {
    for (const field of ["uid", "resourceVersion"] as const)
      if (report[field].length > LONGEST_ID)
        throw exhausted(`${field} of a Pod has ${report[field].length} characters, at most ${LONGEST_ID} are kept`);
    return toPodFact(report, nodeName);
  };
  return {
    factOf,
    part({ sequence, pods, more }) {
      const kept = parts?.sequence === sequence ? parts : { sequence, pods: [], characters: 0 };
      const isWhole = !more && kept.pods.length === 0; // is bounded as every message is
      for (const report of pods) {
        const pod = factOf(report);
        kept.pods.push(pod);
        if (isWhole) continue;
        kept.characters += sizeOf(pod);
        if (kept.characters > MOST_OF_NODE)
          throw exhausted(`snapshot refused: ${tooLarge(`of the first ${kept.pods.length} Pods`, kept.characters)}`);
      }
      if (kept.pods.length > MOST_PODS) throw tooMany("a snapshot of");
      parts = more ? kept : undefined;
      return more ? undefined : kept.pods;
    },
    check(count) {
      if (count > MOST_PODS) throw tooMany("a node that reports");
    },
  };
}
