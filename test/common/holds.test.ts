import assert from "node:assert/strict";
import { test } from "node:test";
import { holdHook, holdTokenIn, isHoldToken } from "../../common/holds.ts";
import { HOLD_TOKEN } from "../../common/names.ts";

const TOKEN = "Jq3xw0uZ7n_-aB1cD2eF3g";

test("the hook has no host, and its token is found in the path that the kubelet makes of it", () => {
  assert.deepEqual(holdHook(TOKEN), { httpGet: { path: `/hold/${TOKEN}`, port: 15_999 } });
  assert.equal(holdTokenIn(`/hold/${TOKEN}`), TOKEN);
  assert.equal(holdTokenIn(`//hold/${TOKEN}`), TOKEN, "as kubelets before 1.25 write it");
  assert.equal(HOLD_TOKEN, "clb-direct.io/hold");
});

test("what is no token is none", () => {
  for (const path of [
    "/",
    "/probe",
    "/hold/",
    `/hold/${TOKEN}x`,
    `/hold/${TOKEN}/`,
    `/held/${TOKEN}`,
    "/hold/../etc/passwd",
    `/hold/${TOKEN}?x=1`,
  ])
    assert.equal(holdTokenIn(path), undefined, path);
  assert.equal(isHoldToken(TOKEN), true);
  assert.equal(isHoldToken(""), false);
});
