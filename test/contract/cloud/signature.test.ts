import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { verifySignature } from "../../cloud/http/signature.ts";
import { CloudError } from "../../cloud/model/errors.ts";
import { type ApiKey, TEST_KEY } from "../../cloud/runtime/options.ts";
import { failsWith, sdkFor, withCloud } from "./fixture.ts";

/** Made by the SDK's own signer; clb-api.md §1.2. */
const KEY: ApiKey = { secretId: "AKIDEXAMPLE0000000000000000000000000", secretKey: "EXAMPLEKEY000000000000000000000000" };
const NOW_MS = 1_700_000_000_000;
const SCOPED = { body: '{"LoadBalancerIds":["lb-12345678"],"Limit":20}', host: "clb.tencentcloudapi.com", service: "clb" };
const SCOPED_SIGNATURE = "e1f5ec85052423a7dbf7b724003f50cfc5ba1c7b09a03904743faf3c50b721ba";

function signed(of: { body: string; host: string; service: string }, signature: string, extra: Record<string, string> = {}) {
  const scope = `${KEY.secretId}/2023-11-14/${of.service}/tc3_request`;
  const authorization = `TC3-HMAC-SHA256 Credential=${scope}, SignedHeaders=content-type;host, Signature=${signature}`;
  const headers = { "content-type": "application/json", host: of.host, "x-tc-timestamp": "1700000000", authorization, ...extra };
  return { method: "POST", query: "", headers, body: Buffer.from(of.body) };
}

const verify = (request: ReturnType<typeof signed>, nowMs = NOW_MS, key = KEY): ApiKey =>
  verifySignature(request, { find: (secretId) => (secretId === key.secretId ? key : undefined) }, nowMs);
const refused = (code: string) => (error: unknown) => error instanceof CloudError && error.code === code;

test("accepts the signatures of the SDK's own signer", () => {
  assert.equal(createHash("sha256").update(SCOPED.body).digest("hex"), "951b7fb4e6f078b815d32db215bebb59fec4960f1860cb6412ac8d88b61cd395");
  assert.equal(verify(signed(SCOPED, SCOPED_SIGNATURE)), KEY);
  const local = { body: '{"TaskId":"6c915c06-53e0-4717-9358-09b32cf47f08"}', host: "127.0.0.1:8080", service: "127" };
  assert.equal(verify(signed(local, "2b69e20e597378b78ccd2b9113bd77d2e6426940992d0fd477af36c57d76fe41")), KEY);
});

test("refuses what was changed after signing, and what cannot be read", () => {
  assert.throws(() => verify(signed({ ...SCOPED, body: `${SCOPED.body} ` }, SCOPED_SIGNATURE)), refused("AuthFailure.SignatureFailure"));
  assert.throws(
    () => verify(signed({ ...SCOPED, host: "vpc.tencentcloudapi.com" }, SCOPED_SIGNATURE)),
    refused("AuthFailure.SignatureFailure"),
  );
  assert.throws(() => verify(signed(SCOPED, SCOPED_SIGNATURE, { "content-type": "text/plain" })), refused("AuthFailure.SignatureFailure"));
  assert.throws(() => verify(signed(SCOPED, SCOPED_SIGNATURE, { authorization: "Bearer x" })), refused("AuthFailure.InvalidAuthorization"));
});

test("accepts a clock that is 300 s off and refuses one that is 301 s off", () => {
  for (const sign of [1, -1]) {
    assert.equal(verify(signed(SCOPED, SCOPED_SIGNATURE), NOW_MS + sign * 300_000), KEY);
    assert.throws(() => verify(signed(SCOPED, SCOPED_SIGNATURE), NOW_MS + sign * 301_000), refused("AuthFailure.SignatureExpire"));
  }
});

test("wants the token of temporary credentials", () => {
  const temporary = { ...KEY, token: "right" };
  assert.equal(verify(signed(SCOPED, SCOPED_SIGNATURE, { "x-tc-token": "right" }), NOW_MS, temporary), temporary);
  assert.throws(
    () => verify(signed(SCOPED, SCOPED_SIGNATURE, { "x-tc-token": "wrong" }), NOW_MS, temporary),
    refused("AuthFailure.TokenFailure"),
  );
  assert.throws(() => verify(signed(SCOPED, SCOPED_SIGNATURE), NOW_MS, temporary), refused("AuthFailure.TokenFailure"));
});

test("tells the SDK which half of its key is wrong", async (t) => {
  const { endpoint, cloud } = await withCloud(t);
  await failsWith("AuthFailure.SecretIdNotFound", sdkFor(endpoint, { ...TEST_KEY, secretId: "AKIDother" }).DescribeQuota(null));
  await failsWith("AuthFailure.SignatureFailure", sdkFor(endpoint, { ...TEST_KEY, secretKey: "other" }).DescribeQuota(null));
  assert.equal((await sdkFor(endpoint).DescribeQuota(null)).QuotaSet?.length, 8);
  const codes = cloud.journal.of("call").map(({ code }) => code);
  assert.deepEqual(codes, ["AuthFailure.SecretIdNotFound", "AuthFailure.SignatureFailure", "OK"]);
});

test("answers errors with HTTP 200, a length, the trace id and a request id", async (t) => {
  const { endpoint } = await withCloud(t);
  const response = await fetch(`http://${endpoint}/`, { method: "POST", headers: { "x-tc-traceid": "trace-1" }, body: "{}" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-tc-traceid"), "trace-1");
  const text = await response.text();
  assert.equal(Number(response.headers.get("content-length")), Buffer.byteLength(text));
  const { Response } = JSON.parse(text) as { Response: { Error: { Code: string }; RequestId: string } };
  assert.equal(Response.Error.Code, "AuthFailure.InvalidAuthorization");
  assert.match(Response.RequestId, /^[0-9a-f-]{36}$/);
});

test("routes by version and action", async (t) => {
  const { sdk } = await withCloud(t);
  await failsWith("InvalidAction", sdk.request("DescribeNothing", {}));
  await failsWith("NoSuchVersion", Object.assign(sdkFor((await withCloud(t)).endpoint), { apiVersion: "2001-01-01" }).DescribeQuota(null));
});
