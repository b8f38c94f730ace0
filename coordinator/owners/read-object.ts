import { apiDenied } from "../domain/api-denied.ts";
import { readIngress } from "../domain/intent/ingress.ts";
import type { Unread } from "../domain/intent/owner-intent.ts";
import { type OwnerObject, objectName } from "../domain/intent/owner-object.ts";
import { hasSelector, readService, type ServiceIntent, type ServiceReading } from "../domain/intent/service.ts";
import type { State } from "../state/state.ts";

/** What an object asks for, with what it refers to as it is watched now. */
export const makeReadObject =
  ({ serviceNamed, objects }: Pick<State, "serviceNamed" | "objects">) =>
  (object: OwnerObject, former: ServiceIntent | undefined): ServiceReading => {
    if ("kind" in object) return readIngress(object, { former, service: (name) => serviceNamed(object.namespace, name) });
    const slices = hasSelector(object) ? [] : objects.endpointSlices.of(object.namespace, object.name);
    return readService(object, slices, objects.tkeSwitches.directByDefault);
  };

/** Whether what an object refers to has not been read yet, and it cannot be read without; undefined: it can. */
export const makeUnread =
  ({ objects: { endpointSlices } }: { readonly objects: Pick<State["objects"], "endpointSlices"> }) =>
  (object: OwnerObject): Unread | undefined => {
    if ("kind" in object || hasSelector(object)) return undefined;
    if (endpointSlices.of(object.namespace, object.name) !== undefined) return undefined;
    if (!endpointSlices.denied) return { kind: "not yet" };
    const words = "it has no selector, so its Pods are those that its EndpointSlices name";
    return { kind: "denied", blocker: apiDenied(objectName(object), { verb: "list", resource: "endpointslices", words }) };
  };
