/** What the API server does not let the coordinator do, e.g. { verb: "patch", resource: "services/status", words: "… cannot patch resource …" }. */
export type ApiDenied = { readonly verb: string; readonly resource: string; readonly words: string };

/** What is said of it. `at` is whom it holds up, e.g. "Service shop/web". */
export const apiDenied = (
  at: string,
  { verb, resource, words }: ApiDenied,
): { readonly reason: "ApiAccessDenied"; readonly message: string } => ({
  reason: "ApiAccessDenied",
  message: `${at}: the coordinator may not ${verb} ${resource}: ${words}. Apply its rights (deploy/chart or deploy/install.yaml); it is tried again every 30 s at last`,
});
