import type { Deployment } from "./objects.ts";

/** Surge rounds up, unavailability down; both 0 would stand still for ever, so one Pod may then be unavailable. Default 25 % each. */
export function fenceposts(deployment: Deployment): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const wanted = deployment.spec.replicas ?? 1;
  const maxSurge = amount(rolling?.maxSurge ?? "25%", wanted, Math.ceil);
  const maxUnavailable = amount(rolling?.maxUnavailable ?? "25%", wanted, Math.floor);
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : Math.min(maxUnavailable, wanted) };
}

const amount = (value: number | string, of: number, round: (share: number) => number): number =>
  typeof value === "number" ? value : round((Number.parseInt(value, 10) * of) / 100);
