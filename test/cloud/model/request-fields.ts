import { CloudError } from "./errors.ts";

/**
 * What a request may hold. One table per action (services/) drives all validation; `Fields<Request>` over the SDK's own
 * request types lets the compiler check every name, that none is left out, and what is required.
 */
type StringField = { readonly type: "string"; readonly min?: number; readonly max?: number; readonly oneOf?: readonly string[] };
type IntegerField = { readonly type: "integer"; readonly min?: number; readonly max?: number; readonly oneOf?: readonly number[] };
type BooleanField = { readonly type: "boolean" };
type ArrayField = { readonly type: "array"; readonly of: AnyField; readonly min?: number; readonly max?: number };
type ObjectField = { readonly type: "object"; readonly fields: AnyFields };
/** Accepted as it comes and without effect here. */
type UnusedField = { readonly type: "unused" };
type AnyField = (StringField | IntegerField | BooleanField | ArrayField | ObjectField | UnusedField) & { readonly required?: boolean };
export type AnyFields = { readonly [name: string]: AnyField };

type FieldFor<V> =
  | UnusedField
  | ([V] extends [string]
      ? StringField
      : [V] extends [number | bigint]
        ? IntegerField
        : [V] extends [boolean]
          ? BooleanField
          : V extends readonly (infer Item)[]
            ? Omit<ArrayField, "of"> & { readonly of: FieldFor<Item> }
            : { readonly type: "object"; readonly fields: Fields<V> });

export type Fields<T> = {
  readonly [K in keyof T]-?: FieldFor<NonNullable<T[K]>> &
    (object extends Pick<T, K> ? { readonly required?: false } : { readonly required: true });
};

/** Findings in the order in which the service reports them (clb-api.md §8.3): all missing, then all wrong, then all unknown. */
type Findings = { readonly missing: CloudError[]; readonly wrong: CloudError[]; readonly unknown: CloudError[] };

/** Throws the first CloudError: MissingParameter, InvalidParameter, InvalidParameterValue(.Length, .Range), UnknownParameter. */
export function checkRequest(request: unknown, fields: AnyFields): void {
  const findings: Findings = { missing: [], wrong: [], unknown: [] };
  checkObject(request, fields, "", findings);
  const first = findings.missing[0] ?? findings.wrong[0] ?? findings.unknown[0];
  if (first !== undefined) throw first;
}

function checkObject(value: unknown, fields: AnyFields, path: string, found: Findings): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    found.wrong.push(wrongType(path || "request", "an object", value));
    return;
  }
  // Plain look-ups: a batch has thousands of fields, and a map of each target was most of its cost.
  const given = value as Readonly<Record<string, unknown>>;
  const prefix = path === "" ? "" : `${path}.`;
  for (const name of Object.keys(fields)) {
    const item = given[name];
    const field = fields[name];
    if (field === undefined) continue;
    if (isGiven(item)) checkValue(item, field, prefix + name, found);
    else if (field.required)
      found.missing.push(new CloudError("MissingParameter", `The request is missing a required parameter \`${prefix}${name}\`.`));
  }
  for (const name of Object.keys(given))
    if (isGiven(given[name]) && !Object.hasOwn(fields, name))
      found.unknown.push(new CloudError("UnknownParameter", `The parameter \`${prefix}${name}\` is not recognized.`));
}

const isGiven = (item: unknown): boolean => item !== null && item !== undefined;

function checkValue(value: unknown, field: AnyField, path: string, found: Findings): void {
  switch (field.type) {
    case "unused":
      return;
    case "string":
      if (typeof value !== "string") found.wrong.push(wrongType(path, "a string", value));
      else if (field.oneOf !== undefined && !field.oneOf.includes(value)) found.wrong.push(notOneOf(path, field.oneOf, value));
      else checkLength(value.length, field, path, found);
      return;
    case "integer":
      if (typeof value !== "number" || !Number.isInteger(value)) found.wrong.push(wrongType(path, "an integer", value));
      else if (field.oneOf !== undefined && !field.oneOf.includes(value)) found.wrong.push(notOneOf(path, field.oneOf, value));
      else if (value < (field.min ?? -Infinity) || value > (field.max ?? Infinity))
        found.wrong.push(
          new CloudError(
            "InvalidParameterValue.Range",
            `\`${path}\` must be from ${field.min ?? "any"} to ${field.max ?? "any"}, got ${value}.`,
          ),
        );
      return;
    case "boolean":
      if (typeof value !== "boolean") found.wrong.push(wrongType(path, "a boolean", value));
      return;
    case "array":
      if (!Array.isArray(value)) found.wrong.push(wrongType(path, "an array", value));
      else {
        checkLength(value.length, field, path, found);
        for (const [index, item] of value.entries()) checkValue(item, field.of, `${path}.${index}`, found);
      }
      return;
    case "object":
      checkObject(value, field.fields, path, found);
      return;
    default:
      field satisfies never;
  }
}

function checkLength(length: number, limits: { readonly min?: number; readonly max?: number }, path: string, found: Findings): void {
  const { min = 0, max = Infinity } = limits;
  if (length >= min && length <= max) return;
  found.wrong.push(new CloudError("InvalidParameterValue.Length", `Length of \`${path}\` must be from ${min} to ${max}, got ${length}.`));
}

const wrongType = (path: string, wanted: string, value: unknown): CloudError =>
  new CloudError("InvalidParameter", `The parameter \`${path}\` must be ${wanted}, got ${JSON.stringify(value)?.slice(0, 80)}.`);

const notOneOf = (path: string, allowed: readonly (string | number)[], value: string | number): CloudError =>
  new CloudError("InvalidParameterValue", `\`${path}\` must be one of ${allowed.join(", ")}, got ${value}.`);
