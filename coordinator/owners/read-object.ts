import { readIngress } from "../domain/intent/ingress.ts";
import type { OwnerObject } from "../domain/intent/owner-object.ts";
import { readService, type ServiceIntent, type ServiceReading } from "../domain/intent/service.ts";
import type { State } from "../state/state.ts";

/** What an object asks for, with what it refers to as it is watched now. */
export const makeReadObject =
  ({ serviceNamed }: Pick<State, "serviceNamed">) =>
  (object: OwnerObject, former: ServiceIntent | undefined): ServiceReading =>
    "kind" in object ? readIngress(object, { former, service: (name) => serviceNamed(object.namespace, name) }) : readService(object);
