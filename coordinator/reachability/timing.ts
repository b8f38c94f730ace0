/** How often groups, ENIs and load balancers are looked at again for a Pod that waits, milliseconds; own choice: a person edits and looks. */
export const LOOK_AGAIN_MS = 10_000;
/** For so long an address may be missing from the account's lists before anybody is told: they lag behind (tke-contract.md §9). */
export const MISSING_MS = 15_000;
/** A reign begins: agents have connected by then, or a watch replaces them. As long as the default of AGENT_GRACE_MS. */
export const BEGINNING_MS = 10_000;
/** So long a bind waits then for the first word about its Pod: a read of ENIs, one of groups and the agent's answer take some 200 ms; own choice. */
export const FIRST_WORD_MS = 2_000;
