import { kubePath } from "../../common/kubernetes/path.ts";
import { kindOfObject, type OwnerObject } from "../domain/intent/owner-object.ts";

/** Where the API server lists objects of this one's kind and Namespace. */
export const listPathOf = (object: OwnerObject): string =>
  kindOfObject(object) === "Service"
    ? kubePath`/api/v1/namespaces/${object.namespace}/services`
    : kubePath`/apis/networking.k8s.io/v1/namespaces/${object.namespace}/ingresses`;

/** Through `status`, so that no right to write the object itself is needed. */
export const statusPathOf = (object: OwnerObject): string => `${listPathOf(object)}${kubePath`/${object.name}/status`}`;
