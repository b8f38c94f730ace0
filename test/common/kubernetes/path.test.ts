import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import { kubePath } from "../../../common/kubernetes/path.ts";
import { startScriptedServer } from "./scripted-server.ts";

const isRefusal = (error: unknown): boolean => error instanceof KubeApiError && error.failure === "badRequest" && error.code === 400;

test("a value in a path is one segment", () => {
  assert.equal(kubePath`/api/v1/namespaces/${"shop"}/pods/${"web-1"}/status`, "/api/v1/namespaces/shop/pods/web-1/status");
  assert.equal(kubePath`/api/v1/namespaces/shop/pods/${"a?b#c d"}`, "/api/v1/namespaces/shop/pods/a%3Fb%23c%20d");
});

for (const name of ["../services/web", "..", ".", "", "a/b", "a%2fb"])
  test(`a value that can be no object's name is refused: "${name}"`, () => {
    assert.throws(() => kubePath`/api/v1/namespaces/shop/pods/${name}/status`, isRefusal);
  });

const CROOKED = ["/api/v1/namespaces/a/pods/../services/web", "/api/v1/pods/%2e%2e/services", "/api/v1/pods/x%2Fy", "/api/v1//pods"];
for (const path of [...CROOKED, "/api/v1/pods?x=1", "/api/v1/pods#x", "/api/v1/pods\\..\\services", "api/v1/pods"])
  test(`the client sends no path that a server would read in another way: ${path}`, async (t) => {
    const server = await startScriptedServer();
    const client = await makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: server.kubeconfig } });
    t.after(async () => {
      await client.close();
      await server.close();
    });
    await assert.rejects(client.get(path), isRefusal);
    await assert.rejects(client.patch(path, {}, "merge"), isRefusal);
    const end = await client.watch(path, {}, () => undefined, new AbortController().signal);
    assert.ok(end.kind === "failed" && isRefusal(end.error), end.kind);
    assert.deepEqual(server.seen, []);
  });

test("no path of the API is put together without kubePath", () => {
  const byHand = globSync("{agent,common,coordinator}/**/*.ts").flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/(?<!kubePath)`\/apis?\/[^`]*\$\{[^`]*`/g)].map(([text]) => `${file}: ${text}`),
  );
  assert.deepEqual(byHand, []);
});
