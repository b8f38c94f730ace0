import type { Resource } from "./resources.ts";

/** One wrong field, e.g. { reason: "FieldValueInvalid", field: "metadata.uid", message: "Invalid value: …" }. */
export type Cause = { readonly reason: string; readonly message: string; readonly field: string };
type Details = { name?: string; group?: string; kind?: string; causes?: readonly Cause[]; retryAfterSeconds?: number; uid?: string };
type Named = Pick<Resource, "group" | "plural" | "kind">;

const quoted = JSON.stringify;
export const wrong = {
  invalid: (field: string, value: unknown, why: string): Cause => {
    return { reason: "FieldValueInvalid", message: `Invalid value: ${quoted(value)}: ${why}`, field };
  },
  required: (field: string, why = ""): Cause => ({ reason: "FieldValueRequired", message: `Required value${why && `: ${why}`}`, field }),
  forbidden: (field: string, why: string): Cause => ({ reason: "FieldValueForbidden", message: `Forbidden: ${why}`, field }),
  notSupported: (field: string, value: unknown, known: readonly string[]): Cause => {
    const message = `Unsupported value: ${quoted(value)}: supported values: ${known.map((one) => quoted(one)).join(", ")}`;
    return { reason: "FieldValueNotSupported", message, field };
  },
};

/** An answer other than success, written as the `Status` object that the real server sends. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;
  readonly status: object;

  constructor(code: number, reason: string, message: string, details?: Details) {
    super(message);
    this.code = code;
    const head = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason };
    this.status = { ...head, ...(details && { details }), code };
  }
}

const of = ({ group, plural }: Named, name: string, more: Details = {}): Details => ({
  name,
  ...(group && { group }),
  kind: plural,
  ...more,
});
const full = ({ group, plural }: Named): string => (group ? `${plural}.${group}` : plural);

export const failure = {
  badRequest: (message: string) => new ApiError(400, "BadRequest", message),
  unauthorized: () => new ApiError(401, "Unauthorized", "Unauthorized"),
  forbidden: (resource: Named, name: string, why: string, causes?: readonly Cause[]) => {
    const what = name ? `${full(resource)} ${quoted(name)}` : full(resource);
    return new ApiError(403, "Forbidden", `${what} is forbidden: ${why}`, of(resource, name, causes && { causes }));
  },
  notFound: (resource: Named, name: string) => new ApiError(404, "NotFound", `${full(resource)} "${name}" not found`, of(resource, name)),
  noSuchResource: () => new ApiError(404, "NotFound", "the server could not find the requested resource", {}),
  methodNotAllowed: () => new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}),
  alreadyExists: (resource: Named, name: string, prefix = "") =>
    new ApiError(409, "AlreadyExists", `${prefix}${full(resource)} "${name}" already exists`, of(resource, name)),
  conflict: (resource: Named, name: string, why: string) =>
    new ApiError(409, "Conflict", `Operation cannot be fulfilled on ${full(resource)} "${name}": ${why}`, of(resource, name)),
  expired: (message: string) => new ApiError(410, "Expired", message),
  tooLarge: (asked: number, current: number) => {
    const cause = { reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "" };
    const details = { causes: [cause], retryAfterSeconds: 1 };
    return new ApiError(504, "Timeout", `Too large resource version: ${asked}, current: ${current}`, details);
  },
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
    return new ApiError(422, "Invalid", message, { ...of(resource, name, { causes }), kind: resource.kind });
  },
};

/** A success without an object, e.g. of a binding (201) or of a DELETE that removed at once (200). */
export const success = (details?: Details, code?: number): object => {
  const head = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };
  return { ...head, ...(details && { details }), ...(code && { code }) };
};
