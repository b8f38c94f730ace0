import type { Call } from "../domain/call.ts";
import { kindOfObject } from "../domain/intent/owner-object.ts";
import type { PlaceId } from "../domain/load-balancer.ts";
import { type Problem, tkeCode } from "../domain/problem.ts";
import { certificateCode } from "../domain/refused-call.ts";
import type { Intents } from "../state/intents.ts";
import type { ListenerOwners } from "../state/listener-owners.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import { ownerOfSubject, subjectsOf } from "./call-subjects.ts";
import { describeForTable, nameOf } from "./wording.ts";

export type TellRefusedDeps = {
  readonly intents: Pick<Intents, "of">;
  readonly listenerOwners: Pick<ListenerOwners, "of" | "ofNewRule">;
  readonly tell: (problem: Problem) => void;
  readonly facts: Pick<PodFacts, "pods">;
  readonly mirror: Pick<Mirror, "read">;
};

/** An Event about a call of one item that the cloud refused: at the Pod that it would have bound, else at the owner of the listener or rule. */
export function tellRefused(
  { facts, intents, listenerOwners, mirror, tell }: TellRefusedDeps,
  loadBalancerId: string,
  call: Call,
  refusal: string,
): void {
  if ("targets" in call) {
    const [slot] = call.targets;
    const pod = slot && facts.pods.get(slot.podUid);
    if (slot === undefined || pod === undefined) return;
    const { namespace, name, uid } = pod;
    const message = `Pod ${namespace}/${name}: load balancer ${loadBalancerId} refused to bind ${slot.ip}:${slot.port}: ${refusal}`;
    tell({ object: { kind: "Pod", namespace, name, uid }, type: "Warning", reason: "BindRefused", message });
    return tellPartlyBound({ listenerOwners, mirror, tell }, loadBalancerId, slot);
  }
  if ("loadBalancer" in call) {
    for (const { ref } of intents.of(loadBalancerId)) {
      const message = `${ref.kind} ${ref.namespace}/${ref.name}: load balancer ${loadBalancerId} refused ${describeForTable(call).what}: ${refusal}. Correct the annotation; it is tried again, every 30 s at last`;
      tell({ object: ref, type: "Warning", reason: "WriteRefused", message });
    }
    return;
  }
  const [subject] = subjectsOf(call);
  if (subject === undefined) return;
  const { listener, owner } = ownerOfSubject(listenerOwners, loadBalancerId, mirror.read(loadBalancerId)?.listeners ?? [], subject);
  if (owner === undefined) return;
  const named = "name" in subject ? subject.name : subject.listenerId;
  const what = `load balancer ${loadBalancerId} refused ${describeForTable(call).what} of ${listener?.listenerId ?? named}`;
  const fix = "It is tried again, every 30 s at last, and everything else goes on: correct what the message names.";
  const message = `${owner.kind} ${owner.namespace}/${owner.name}: ${what}: ${refusal}. ${fix}`;
  const code = certificateCode(refusal);
  if (code === undefined) return tell({ object: owner, type: "Warning", reason: "WriteRefused", message });
  tell({ object: owner, type: "Warning", reason: "CertificateUnavailable", message: tkeCode(code, message, kindOfObject(owner)) });
}

/** Names no Pod, so that one Event on the owner covers all of them. */
function tellPartlyBound(
  { listenerOwners, mirror, tell }: Pick<TellRefusedDeps, "listenerOwners" | "mirror" | "tell">,
  loadBalancerId: string,
  place: PlaceId,
): void {
  const { listenerId: id } = place;
  const { owner } = ownerOfSubject(listenerOwners, loadBalancerId, mirror.read(loadBalancerId)?.listeners ?? [], place);
  if (owner === undefined) return;
  const message = `${nameOf(owner)}: load balancer ${loadBalancerId} refused to bind some of its Pods to listener ${id}; the others are bound. See the Events of those Pods (BindRefused)`;
  tell({ object: owner, type: "Warning", reason: "BindRefused", message: tkeCode("E5009", message, kindOfObject(owner)) });
}
