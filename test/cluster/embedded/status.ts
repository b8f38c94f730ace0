import type { Resource } from "./resources.ts";

/** One wrong field, e.g. { reason: "FieldValueInvalid", field: "metadata.uid", message: "Invalid value: …" }. */
export type Cause = { readonly reason: string; readonly message: string; readonly field: string };
type Details = { name?: string; group?: string; kind?: string; causes?: readonly Cause[]; retryAfterSeconds?: number; uid?: string };
type Named = Pick<Resource, "group" | "plural" | "kind">;

export const wrong = {
  invalid: (field: string, value: unknown, why: string): Cause => ({
    reason: "FieldValueInvalid",
    message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
    field,
  }),
  required: (field: string, why = ""): Cause => ({ reason: "FieldValueRequired", message: `Required value${why && `: ${why}`}`, field }),
  forbidden: (field: string, why: string): Cause => ({ reason: "FieldValueForbidden", message: `Forbidden: ${why}`, field }),
  notSupported: (field: string, value: unknown, known: readonly string[]): Cause => ({
    reason: "FieldValueNotSupported",
    message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${known.map((one) => JSON.stringify(one)).join(", ")}`,
    field,
  }),
};

/** An answer other than success, written as the `Status` object that the real server sends. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;
  readonly reason: string;
  readonly details: Details | undefined;

  constructor(code: number, reason: string, message: string, details?: Details) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  get status(): object {
    const { message, reason, details, code } = this;
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, ...(details && { details }), code };
  }
}

const of = (resource: Named, name: string, more: Details = {}): Details => ({
  name,
  ...(resource.group && { group: resource.group }),
  kind: resource.plural,
  ...more,
});
export const groupResource = (resource: Named): string => (resource.group ? `${resource.plural}.${resource.group}` : resource.plural);

export const failure = {
  badRequest: (message: string) => new ApiError(400, "BadRequest", message),
  unauthorized: () => new ApiError(401, "Unauthorized", "Unauthorized"),
  forbidden: (resource: Named, name: string, why: string, causes?: readonly Cause[]) =>
    new ApiError(
      403,
      "Forbidden",
      name ? `${groupResource(resource)} "${name}" is forbidden: ${why}` : `${groupResource(resource)} is forbidden: ${why}`,
      of(resource, name, causes && { causes }),
    ),
  notFound: (resource: Named, name: string) =>
    new ApiError(404, "NotFound", `${groupResource(resource)} "${name}" not found`, of(resource, name)),
  noSuchResource: () => new ApiError(404, "NotFound", "the server could not find the requested resource", {}),
  methodNotAllowed: () => new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}),
  alreadyExists: (resource: Named, name: string, prefix = "") =>
    new ApiError(409, "AlreadyExists", `${prefix}${groupResource(resource)} "${name}" already exists`, of(resource, name)),
  conflict: (resource: Named, name: string, why: string) =>
    new ApiError(409, "Conflict", `Operation cannot be fulfilled on ${groupResource(resource)} "${name}": ${why}`, of(resource, name)),
  modified: (resource: Named, name: string) =>
    failure.conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again"),
  expired: (message: string) => new ApiError(410, "Expired", message),
  tooOld: (asked: number, oldest: number) => failure.expired(`too old resource version: ${asked} (${oldest})`),
  tooLarge: (asked: number, current: number) =>
    new ApiError(504, "Timeout", `Too large resource version: ${asked}, current: ${current}`, {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "" }],
      retryAfterSeconds: 1,
    }),
  unsupportedMediaType: (known: readonly string[]) =>
    new ApiError(
      415,
      "UnsupportedMediaType",
      `the body of the request was in an unknown format - accepted media types include: ${known.join(", ")}`,
      {},
    ),
  /** Throws away which operation failed, as the real server does for a JSON patch. */
  unprocessable: () => new ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {}),
  invalid: (resource: Named, name: string, causes: readonly Cause[]) => {
    const lines = causes.map(({ field, message }) => `${field}: ${message}`);
    const kind = resource.group ? `${resource.kind}.${resource.group}` : resource.kind;
    return new ApiError(422, "Invalid", `${kind} "${name}" is invalid: ${lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`}`, {
      ...of(resource, name, { causes }),
      kind: resource.kind,
    });
  },
};

/** A success without an object, e.g. of a binding (201) or of a DELETE that removed at once (200). */
export const success = (details?: Details, code?: number): object => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Success",
  ...(details && { details }),
  ...(code && { code }),
});
