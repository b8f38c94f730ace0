/** One wrong field, e.g. { reason: "FieldValueInvalid", field: "metadata.uid", message: "Invalid value: …" }. */
export type Cause = { readonly reason: string; readonly message: string; readonly field: string };
type Named = { readonly group: string; readonly plural: string; readonly kind: string };

const quoted = JSON.stringify;
const cause = (reason: string, field: string, message: string): Cause => ({ reason: `FieldValue${reason}`, message, field });
export const wrong = {
  invalid: (field: string, value: unknown, why: string) => cause("Invalid", field, `Invalid value: ${quoted(value)}: ${why}`),
  required: (field: string, why = "") => cause("Required", field, `Required value${why && `: ${why}`}`),
  forbidden: (field: string, why: string) => cause("Forbidden", field, `Forbidden: ${why}`),
};

/** An answer other than success, written as the `Status` object that the real server sends. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;
  readonly status: object;

  constructor(code: number, reason: string, message: string, details?: object) {
    super(message);
    this.code = code;
    const head = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason };
    this.status = { ...head, ...(details && { details }), code };
  }
}

const full = ({ group, plural }: Named): string => (group ? `${plural}.${group}` : plural);
/** An error about one object; `causes` go into its details. */
function about(code: number, reason: string, resource: Named, name: string, message: string, causes?: readonly Cause[]): ApiError {
  const { group, plural, kind } = resource;
  return new ApiError(code, reason, message, {
    name,
    group: group || undefined,
    kind: reason === "Invalid" ? kind : plural,
    ...(causes && { causes }),
  });
}

export const failure = {
  badRequest: (message: string) => new ApiError(400, "BadRequest", message),
  unauthorized: () => new ApiError(401, "Unauthorized", "Unauthorized"),
  forbidden: (resource: Named, name: string, why: string, causes?: readonly Cause[]) =>
    about(403, "Forbidden", resource, name, `${full(resource)} ${quoted(name)} is forbidden: ${why}`, causes),
  notFound: (resource: Named, name: string) => about(404, "NotFound", resource, name, `${full(resource)} "${name}" not found`),
  noSuchResource: () => new ApiError(404, "NotFound", "the server could not find the requested resource", {}),
  methodNotAllowed: () => new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}),
  alreadyExists: (resource: Named, name: string, prefix = "") =>
    about(409, "AlreadyExists", resource, name, `${prefix}${full(resource)} "${name}" already exists`),
  conflict: (resource: Named, name: string, why: string) =>
    about(409, "Conflict", resource, name, `Operation cannot be fulfilled on ${full(resource)} "${name}": ${why}`),
  expired: (message: string) => new ApiError(410, "Expired", message),
  unsupportedMediaType: (known: readonly string[]) => {
    const why = `the body of the request was in an unknown format - accepted media types include: ${known.join(", ")}`;
    return new ApiError(415, "UnsupportedMediaType", why, {});
  },
  /** Throws away which operation failed, as the real server does for a JSON patch. */
  unprocessable: () => new ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {}),
  invalid: (resource: Named, name: string, causes: readonly Cause[]) => {
    const lines = causes.map(({ field, message }) => `${field}: ${message}`).join(", ");
    const kind = resource.group ? `${resource.kind}.${resource.group}` : resource.kind;
    const message = `${kind} "${name}" is invalid: ${causes.length === 1 ? lines : `[${lines}]`}`;
    return about(422, "Invalid", resource, name, message, causes);
  },
  tooLarge: (asked: number, current: number) => {
    const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "" }];
    const message = `Too large resource version: ${asked}, current: ${current}`;
    return new ApiError(504, "Timeout", message, { causes, retryAfterSeconds: 1 });
  },
};

/** A success without an object, e.g. { code: 201 } of a binding or { details } of a DELETE that removed at once. */
export const success = (more: { readonly code: number } | { readonly details: object }): string =>
  JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", ...more });
