/** How often groups, ENIs and load balancers are looked at again for a Pod that waits, milliseconds; own choice: a person edits and looks. */
export const LOOK_AGAIN_MS = 10_000;
/** For so long an address may be missing from the account's lists before anybody is told: they lag behind (tke-contract.md §9). */
export const MISSING_MS = 15_000;
