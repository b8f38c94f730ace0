/** What the API server does not let the coordinator do, e.g. { verb: "patch", resource: "services/status", words: "… cannot patch resource …" }. */
export type ApiDenied = { readonly verb: string; readonly resource: string; readonly words: string };

/** A role lacks a rule; what a quota, an admission policy or a webhook refuses, and what a Namespace that ends does not take, is 403 as well. */
export const lacksRight = (words: string): boolean => /cannot \w+ resource/.test(words);

const RIGHTS = "Apply its rights (deploy/chart or deploy/install.yaml)";
const POLICY =
  "No right is missing: a quota, an admission policy or a webhook refuses it, which these words name; make room for the coordinator's ServiceAccount there";

/** What is said of it. `at` is whom it holds up, e.g. "Service shop/web". */
export const apiDenied = (
  at: string,
  { verb, resource, words }: ApiDenied,
): { readonly reason: "ApiAccessDenied"; readonly message: string } => ({
  reason: "ApiAccessDenied",
  message: `${at}: the coordinator may not ${verb} ${resource}: ${words}. ${lacksRight(words) ? RIGHTS : POLICY}; it is tried again every 30 s at last`,
});
