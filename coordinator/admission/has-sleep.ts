import type { Clock } from "../../common/clock.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";

/** preStop.sleep is on by default from Kubernetes 1.30 on; before, the field is dropped and an empty hook makes the Pod invalid. Source: KEP-3960. */
const FIRST_MINOR = 30;
/** An API server that did not answer is asked again after so long. Milliseconds. */
const AGAIN_MS = 30_000;

/** Whether the API server knows preStop.sleep, as far as it has said; asks when somebody wants to know. */
export function makeHasSleep({ client, clock }: { readonly client: Pick<KubeClient, "get">; readonly clock: Clock }): () => boolean {
  let known: boolean | undefined;
  let askedMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (known === undefined && clock.now() - askedMs >= AGAIN_MS) {
      askedMs = clock.now();
      client.get<unknown>("/version").then(
        (version) => (known = minorOf(version) >= FIRST_MINOR),
        () => undefined, // asked again
      );
    }
    return known ?? false;
  };
}

/** E.g. 34 of "34+", as some vendors write it. */
const minorOf = (version: unknown): number =>
  Number(member(version, "major")) > 1 ? Number.POSITIVE_INFINITY : Number.parseInt(String(member(version, "minor")), 10);
