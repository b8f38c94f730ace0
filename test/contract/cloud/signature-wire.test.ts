import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Client } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";
import { readQuery } from "../../cloud/http/query.ts";
import { verifySignature } from "../../cloud/http/signature.ts";
import { type ApiKey, TEST_KEY } from "../../cloud/runtime/options.ts";
import { failsWith, sdkFor, withCloud } from "./fixture.ts";
import { type Answered, call, type Wish } from "./signer.ts";

/** The cloud, and calls to it that are not made by the Node SDK. */
async function wired(t: TestContext) {
  const { endpoint, cloud } = await withCloud(t);
  const send = (wish: Partial<Wish>): Promise<Answered> => call(endpoint, { action: "DescribeLoadBalancers", ...wish });
  const succeeds = async (wish: Partial<Wish>): Promise<Answered["response"]> => {
    const { status, response } = await send(wish);
    assert.equal(status, 200);
    assert.equal(response.Error, undefined, response.Error?.Message);
    return response;
  };
  const fails = async (code: string, wish: Partial<Wish>): Promise<void> => {
    const { status, response } = await send(wish);
    assert.deepEqual([status, response.Error?.Code], [200, code], response.Error?.Message);
  };
  return { endpoint, cloud, send, succeeds, fails };
}

test("accepts the example of the provider's own page about signatures", () => {
  const key: ApiKey = { secretId: "AKID********************************", secretKey: "*".repeat(32) };
  const body = String.raw`{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`;
  const headers = {
    "content-type": "application/json; charset=utf-8",
    host: "cvm.tencentcloudapi.com",
    "x-tc-action": "DescribeInstances",
    "x-tc-timestamp": "1551113065",
    authorization: `TC3-HMAC-SHA256 Credential=${key.secretId}/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f`,
  };
  const request = { method: "POST", query: "", headers, body: Buffer.from(body) };
  assert.equal(verifySignature(request, { find: () => key }, 1_551_113_065_000), key);
});

test("a POST may be written in every documented way", async (t) => {
  const { succeeds, cloud } = await wired(t);
  const { loadBalancerId } = cloud.addLoadBalancer();
  const payload = `{ "LoadBalancerIds" : [ "${loadBalancerId}" ] }`;
  const ways: Partial<Wish>[] = [
    { contentType: "application/json; charset=utf-8" },
    { contentType: "application/json;charset=UTF-8" },
    { signedHeaders: ["content-type", "host", "x-tc-action"] },
    { signedHeaders: ["host", "content-type"] },
    { signedHeaders: ["content-type", "host", "x-tc-action", "x-tc-timestamp", "x-tc-version"] },
    { headers: { "X-TC-Content-SHA256": "UNSIGNED-PAYLOAD" } },
    { host: "clb.tencentcloudapi.com" },
    { host: "CLB.internal.tencentcloudapi.com" },
    { authorization: (scope, names, signature) => `TC3-HMAC-SHA256 Signature=${signature},SignedHeaders=${names},Credential=${scope}` },
    {
      authorization: (scope, names, signature) => `TC3-HMAC-SHA256  Credential=${scope},  SignedHeaders=${names},  Signature=${signature}`,
    },
  ];
  for (const way of ways) assert.equal((await succeeds({ payload, ...way }))["TotalCount"], 1, JSON.stringify(way));
});

test("a GET carries lists, objects, numbers and booleans in its query", async (t) => {
  const { endpoint, succeeds, fails, cloud } = await wired(t);
  const [first, second] = ["a", "b"].map((owner) => cloud.addLoadBalancer({ tags: { owner } }).loadBalancerId);
  const get = { method: "GET" } as const;
  const ids = ({ LoadBalancerSet }: Answered["response"]) =>
    (LoadBalancerSet as { LoadBalancerId: string }[]).map((one) => one.LoadBalancerId);
  assert.deepEqual(ids(await succeeds({ ...get, payload: "" })), [second, first]); // newest first
  assert.deepEqual(ids(await succeeds({ ...get, payload: `LoadBalancerIds.0=${second}&Limit=20` })), [second]);
  assert.deepEqual(ids(await succeeds({ ...get, payload: "Filters.0.Name=tag%3Aowner&Filters.0.Values.1=b&Filters.0.Values.0=x" })), [
    second,
  ]);
  assert.deepEqual(ids(await succeeds({ ...get, payload: "Offset=1&Limit=1" })), [first]);
  await fails("InvalidParameter", { ...get, payload: "Limit=many" });
  await fails("UnknownParameter", { ...get, payload: "Colour=red" });
  await fails("MissingParameter", { ...get, action: "DeleteLoadBalancer", payload: "ForceDelete=true" });
  await succeeds({ ...get, action: "DeleteLoadBalancer", payload: `ForceDelete=True&LoadBalancerIds.0=${first}` });
  const httpProfile = { protocol: "http://", endpoint, reqMethod: "GET" } as const;
  const sdk = new Client({ credential: TEST_KEY, region: "ap-guangzhou", profile: { httpProfile } });
  assert.equal((await sdk.DescribeLoadBalancers({ Filters: [{ Name: "tag:owner", Values: ["b"] }] })).TotalCount, 1);
});

test("the items of a list in a query are in the order of their numbers, however they are sent", () => {
  const items = Array.from({ length: 12 }, (_, index) => `item-${index}`);
  const query = items
    .map((item, index) => `List.${index}=${item}`)
    .toSorted()
    .join("&");
  const fields = { List: { type: "array", of: { type: "string" } } } as const;
  assert.deepEqual(readQuery(`${query}&Unknown.0.Name=x`, fields), { List: items, Unknown: { 0: { Name: "x" } } });
});

test("refuses what is no signed GET or JSON POST", async (t) => {
  const { endpoint, fails, cloud } = await wired(t);
  await fails("AuthFailure.InvalidAuthorization", { headers: { Authorization: "SKIP" } });
  await fails("AuthFailure.InvalidAuthorization", { signedHeaders: ["host", "x-tc-action"] });
  await fails("AuthFailure.SignatureFailure", {
    authorization: (scope, names) => `TC3-HMAC-SHA256 Credential=${scope}, SignedHeaders=${names}, Signature=${"0".repeat(64)}`,
  });
  await fails("AuthFailure.SecretIdNotFound", { key: { ...TEST_KEY, secretId: "AKIDunknown" } });
  await fails("AuthFailure.SignatureExpire", { timestamp: Math.floor(Date.now() / 1000) - 330 });
  await fails("AuthFailure.SignatureExpire", { timestamp: Math.floor(Date.now() / 1000) + 330 });
  await fails("InvalidRequest", { contentType: "multipart/form-data; boundary=x", payload: "--x--" });
  await fails("InvalidRequest", { payload: "{" });
  await fails("MissingParameter", { headers: { "X-TC-Action": "" } });
  await fails("MissingParameter", { headers: { "X-TC-Version": "" } });
  assert.equal(
    (await fetch(`http://${endpoint}/`, { method: "PUT", body: "{}" }).then((answer) => answer.text())).includes("UnsupportedProtocol"),
    true,
  );
  const codes = cloud.journal.of("call").map(({ code }) => code);
  assert.equal(codes.filter((code) => code === "OK").length, 0);
  assert.equal(codes.length, 11); // refused calls are in the journal as well
});

test("a GET may have 32 KB and a POST 10 MB", async (t) => {
  const { succeeds, fails } = await wired(t);
  const query = (bytes: number): string => "LoadBalancerName=".padEnd(bytes, "x");
  await succeeds({ method: "GET", payload: query(32 * 1024) });
  await fails("RequestSizeLimitExceeded", { method: "GET", payload: query(32 * 1024 + 1) });
  const body = (bytes: number): string => `{"LoadBalancerName":"${"x".repeat(bytes - 23)}"}`;
  await succeeds({ payload: body(10 * 1024 * 1024) });
  await fails("RequestSizeLimitExceeded", { payload: body(10 * 1024 * 1024 + 1) });
});

test("a host name that names a service reaches only that one, whatever region it names", async (t) => {
  const { succeeds, fails } = await wired(t);
  const vpc = { action: "DescribeNetworkInterfaces", version: "2017-03-12" };
  await succeeds({ ...vpc, host: "vpc.ap-guangzhou.tencentcloudapi.com" });
  await succeeds({ ...vpc, host: "vpc.internal.tencentcloudapi.com" });
  await fails("InvalidAction", { ...vpc, host: "cvm.tencentcloudapi.com" });
  await fails("NoSuchVersion", { ...vpc, host: "clb.tencentcloudapi.com" });
});

test("the rate is counted by the region of the host name, not by X-TC-Region", async (t) => {
  const { endpoint } = await withCloud(t, { limits: { clbPerSecond: 4 } });
  const codeOf = async (wish: Partial<Wish>) => (await call(endpoint, { action: "DescribeQuota", ...wish })).response.Error?.Code ?? "OK";
  const codes = await Promise.all(
    ["ap-one", "ap-two", "ap-three"].flatMap((region) => [1, 2, 3].map(() => codeOf({ headers: { "X-TC-Region": region } }))),
  );
  assert.ok(codes.includes("RequestLimitExceeded"), codes.join()); // 9 calls in one or two seconds, 4 a second
  const hosts = ["ap-guangzhou", "ap-shanghai"].map((region) => `clb.${region}.tencentcloudapi.com`);
  assert.deepEqual(await Promise.all(hosts.flatMap((host) => [codeOf({ host }), codeOf({ host })])), ["OK", "OK", "OK", "OK"]);
});

test("temporary keys need their token, and end", async (t) => {
  const start = Date.now();
  let wallMs = start;
  const { endpoint, cloud } = await withCloud(t, { wallMs: () => wallMs });
  const key = cloud.keyring.issue("reader", 60);
  assert.equal((await sdkFor(endpoint, key).DescribeQuota(null)).QuotaSet?.length, 8);
  const { token: _token, ...bare } = key;
  await failsWith("AuthFailure.TokenFailure", sdkFor(endpoint, bare).DescribeQuota(null));
  await failsWith("AuthFailure.TokenFailure", sdkFor(endpoint, { ...key, token: "another" }).DescribeQuota(null));
  wallMs = start + 59_000;
  await sdkFor(endpoint, key).DescribeQuota(null);
  wallMs = start + 60_000;
  await failsWith("AuthFailure.TokenFailure", sdkFor(endpoint, key).DescribeQuota(null));
  assert.deepEqual(new Set(cloud.journal.of("call").map(({ caller }) => caller)), new Set(["role/reader", "unknown"]));
});

test("answers have a length and the trace id of the request, whatever the case of its name", async (t) => {
  const { send } = await wired(t);
  const { headers, response } = await send({ headers: { "x-TC-traceID": "t-1" } });
  assert.equal(headers["x-tc-traceid"], "t-1");
  assert.ok(Number(headers["content-length"]) > 0);
  assert.equal(headers["transfer-encoding"], undefined);
  assert.match(String(response["RequestId"]), /^[0-9a-f-]{36}$/);
});
