/** The condition Ready of an owner as the API server has it; `since`: its last transition, e.g. "2026-01-02T03:04:05Z". */
export type ReadyCondition = {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number | undefined;
  readonly since: string;
};

/** Type of the condition that says whether this generation is at the load balancer; TKE's own. Source: tke-contract.md §2. */
export const READY_CONDITION = "Ready";
