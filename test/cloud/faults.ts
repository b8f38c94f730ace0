/** What goes wrong. `task-failed` and `lost-response` meet writes only. */
export type FaultKind =
  | { readonly kind: "error"; readonly code: string; readonly message?: string }
  | { readonly kind: "http"; readonly status: number }
  | { readonly kind: "reset" }
  | { readonly kind: "latency"; readonly ms: number }
  | { readonly kind: "task-failed"; readonly message: string }
  /** The write takes effect, its answer never arrives. */
  | { readonly kind: "lost-response" };

/** E.g. `{ kind: "error", code: "InternalError", action: "BatchRegisterTargets", count: 2 }`. Without count and duration it lasts until cleared. */
export type Fault = FaultKind & {
  /** One action, or every one. */
  readonly action?: string;
  readonly loadBalancerId?: string;
  /** How many calls it meets. */
  readonly count?: number;
  /** How long it lasts, in ms of the cloud's clock. */
  readonly durationMs?: number;
};

type Active = { readonly fault: Fault; left: number; readonly untilMs: number };

export interface Faults {
  add(fault: Fault): void;
  clear(): void;
  list(): Fault[];
  /** The faults that meet this call; each is used up by one. */
  take(call: { action: string; isWrite: boolean; loadBalancerIds: readonly string[]; nowMs: number }): Fault[];
}

export function makeFaults(clock: { now(): number }): Faults {
  let active: Active[] = [];
  return {
    add: (fault) => void active.push({ fault, left: fault.count ?? Infinity, untilMs: clock.now() + (fault.durationMs ?? Infinity) }),
    clear: () => {
      active = [];
    },
    list: () => active.map(({ fault }) => fault),
    take: ({ action, isWrite, loadBalancerIds, nowMs }) => {
      active = active.filter(({ left, untilMs }) => left > 0 && untilMs > nowMs);
      const met = active.filter(
        ({ fault }) =>
          (fault.action ?? action) === action &&
          (fault.loadBalancerId === undefined || loadBalancerIds.includes(fault.loadBalancerId)) &&
          (isWrite || (fault.kind !== "task-failed" && fault.kind !== "lost-response")),
      );
      for (const one of met) one.left--;
      return met.map(({ fault }) => fault);
    },
  };
}

const NEEDS: Readonly<Record<FaultKind["kind"], readonly [field: string, type: string] | undefined>> = {
  error: ["code", "string"],
  http: ["status", "number"],
  reset: undefined,
  latency: ["ms", "number"],
  "task-failed": ["message", "string"],
  "lost-response": undefined,
};

/** A fault out of JSON; throws a TypeError that names the field and what it must be. */
export function parseFault(value: unknown): Fault {
  if (typeof value !== "object" || value === null) throw new TypeError("a fault must be an object");
  const given = new Map<string, unknown>(Object.entries(value));
  const kind = given.get("kind");
  if (typeof kind !== "string" || !Object.hasOwn(NEEDS, kind)) throw new TypeError(`kind must be one of ${Object.keys(NEEDS).join(", ")}`);
  const need = NEEDS[kind as FaultKind["kind"]];
  const allowed: Record<string, string> = {
    kind: "string",
    action: "string",
    loadBalancerId: "string",
    count: "number",
    durationMs: "number",
  };
  if (kind === "error") allowed["message"] = "string";
  if (need !== undefined) {
    allowed[need[0]] = need[1];
    if (!given.has(need[0])) throw new TypeError(`a fault of kind "${kind}" needs ${need[0]} (a ${need[1]})`);
  }
  for (const [name, item] of given) {
    if (!Object.hasOwn(allowed, name)) throw new TypeError(`a fault of kind "${kind}" has no field ${name}`);
    if (typeof item !== allowed[name]) throw new TypeError(`${name} must be a ${allowed[name]}`);
  }
  return value as Fault; // every field was checked above
}
