import { type AnyFields, checkRequest, type Fields } from "../../model/request-fields.ts";
import type { CallContext } from "../../runtime/call.ts";

/** A response as the service sends it: any property may be missing or `null`, whatever the SDK's type says. */
export type Answer<T> = T extends readonly (infer Item)[]
  ? Answer<Item>[]
  : T extends object
    ? { [K in keyof T]?: Answer<T[K]> | null }
    : T;

/** The same with every documented field, so that the compiler tells which one is forgotten. */
export type Whole<T> = { readonly [K in keyof T]-?: Answer<NonNullable<T[K]>> | null };

/** What an action answers with; the cloud adds the RequestId. */
export type Reply<Response> = Whole<Omit<Response, "RequestId">>;

/** Of actions that only say that they heard. */
export type NoReply = Record<string, never>;

/** One row of the tables: what an action accepts and does. `Ports` is what it needs of the cloud beside the account. */
export type Action<Ports = unknown> = {
  readonly isWrite: boolean;
  readonly fields: AnyFields;
  /** Throws the CloudError of the first fault in the request. */
  readonly check: (request: unknown) => void;
  /** `request` must have passed `check`. Throws CloudError. */
  readonly run: (request: unknown, call: CallContext, ports: Ports) => Promise<object>;
};

export type ActionTable<Ports = unknown> = { readonly [action: string]: Action<Ports> };

type Row<Request, Response, Ports> = {
  readonly fields: Fields<Request>;
  readonly run: (request: Request, call: CallContext, ports: Ports) => Reply<Response> | Promise<Reply<Response>>;
};

/** An action that changes nothing and is never locked out. */
export const read = <Request, Response, Ports = unknown>(row: Row<Request, Response, Ports>): Action<Ports> => erase(row, false);

/** An action that changes something. */
export const write = <Request, Response, Ports = unknown>(row: Row<Request, Response, Ports>): Action<Ports> => erase(row, true);

function erase<Request, Response, Ports>({ fields, run }: Row<Request, Response, Ports>, isWrite: boolean): Action<Ports> {
  const anyFields = fields as AnyFields; // the precise type was checked where the row was written
  return {
    isWrite,
    fields: anyFields,
    check: (request) => checkRequest(request, anyFields),
    run: async (request, call, ports) => run(withoutNulls(request) as Request, call, ports), // `check` has seen every field
  };
}

/** A field that is null says nothing, as one that is left out: some SDKs send it. What has no null comes back as it is. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map(withoutNulls);
    return items.every((item, index) => item === value[index]) ? value : items;
  }
  const entries = Object.entries(value);
  const kept = entries.flatMap(([name, item]): [string, unknown][] => (item === null ? [] : [[name, withoutNulls(item)]]));
  return kept.length === entries.length && kept.every(([, item], index) => item === entries[index]?.[1]) ? value : Object.fromEntries(kept);
}

/** An action that has its ports. */
export type OfferedAction = Omit<Action, "run"> & { readonly run: (request: unknown, call: CallContext) => Promise<object> };

export const withPorts = <Ports>(table: ActionTable<Ports>, ports: Ports): { readonly [action: string]: OfferedAction } =>
  Object.fromEntries(
    Object.entries(table).map(([name, action]) => [name, { ...action, run: (request, call) => action.run(request, call, ports) }]),
  );

/** Pieces that many rows share. */
export const text = { type: "string" } as const;
export const integer = { type: "integer" } as const;
export const flag = { type: "boolean" } as const;
export const unused = { type: "unused" } as const;
export const requiredText = { type: "string", required: true, min: 1 } as const;
export const port = { type: "integer", required: true, min: 1, max: 65_535 } as const;
export const weight = { type: "integer", min: 0, max: 100 } as const;
export const filters = {
  type: "array",
  max: 10,
  of: { type: "object", fields: { Name: requiredText, Values: { type: "array", required: true, max: 100, of: text } } },
} as const;
export const texts = (max = Infinity) => ({ type: "array", max, of: text }) as const;

/** Beijing time, as the service writes it, e.g. "2026-01-31 08:00:00". */
export const cloudTime = (ms: number): string => new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19).replace("T", " ");
