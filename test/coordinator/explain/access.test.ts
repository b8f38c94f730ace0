import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { makeCheckAccess, namespaceOf } from "../../../coordinator/explain/access.ts";

/** An API server that knows the token "tina's" of our audience, who may read Namespace shop. */
function anApiServer() {
  const asked: unknown[] = [];
  const create = async <T>(path: string, body: unknown): Promise<T> => {
    const { spec } = body as { spec: { token?: string; resourceAttributes?: { namespace?: string } } };
    if (path.endsWith("/tokenreviews")) {
      if (spec.token === "away") throw new KubeApiError(path, "transport", "connect ECONNREFUSED");
      const user = { username: "system:serviceaccount:shop:tina", uid: "u1", groups: ["g"], extra: { k: ["v"] } };
      const audiences = spec.token === "tina's" ? ["clb-direct"] : ["https://kubernetes.default.svc"];
      const known = spec.token === "tina's" || spec.token === "for another audience";
      return (await Promise.resolve({
        status: known ? { authenticated: true, audiences, user } : { user: {}, error: "invalid bearer token" },
      })) as T;
    }
    asked.push(spec);
    return { status: { allowed: spec.resourceAttributes?.namespace === "shop" } } as T;
  };
  return { create, asked };
}
const url = (path: string): URL => new URL(`https://explain${path}`);

for (const [token, namespace, status] of [
  ["", "shop", 401],
  ["nobody's", "shop", 401],
  ["for another audience", "shop", 401],
  ["away", "shop", 503],
  ["tina's", "demo", 403],
  ["tina's", undefined, 403],
  ["tina's", "shop", undefined],
] as const)
  test(`token "${token}" in ${namespace ?? "all namespaces"}: ${status ?? "may read"}`, async () => {
    const refused = await makeCheckAccess(anApiServer())(token, namespace);
    assert.equal(refused?.status, status, refused?.text);
  });

test("the API server is asked about the whole user and one right", async () => {
  const api = anApiServer();
  await makeCheckAccess(api)("tina's", "shop");
  const resourceAttributes = { group: "clb-direct.io", resource: "explanations", verb: "get", namespace: "shop" };
  assert.deepEqual(api.asked, [
    { user: "system:serviceaccount:shop:tina", uid: "u1", groups: ["g"], extra: { k: ["v"] }, resourceAttributes },
  ]);
});

for (const [path, namespace] of [
  ["/explain?pod=shop/web-1", "shop"],
  ["/explain?namespace=shop", "shop"],
  ["/explain?loadBalancer=lb-1", undefined],
  ["/explain?loadBalancer=lb-1&namespace=shop", undefined],
  ["/explain?pod=web-1", undefined],
  ["/explain", undefined],
  ["/write-log?namespace=shop", undefined],
  ["/audit?pod=shop/web-1", undefined],
] as const)
  test(`${path} is about ${namespace ?? "all namespaces"}`, () => {
    assert.equal(namespaceOf(url(path)), namespace);
  });
