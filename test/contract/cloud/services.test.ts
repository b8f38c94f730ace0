import assert from "node:assert/strict";
import { test } from "node:test";
import { CommonClient } from "tencentcloud-sdk-nodejs/tencentcloud/common/common_client.js";
import { makeClock } from "../../../common/clock.ts";
import { LIMITS } from "../../cloud/runtime/options.ts";
import { withAccount } from "./account.ts";
import { failsWith, sdkFor, withCloud } from "./fixture.ts";
import { call } from "./signer.ts";

const NOW_MS = 1_700_000_000_000;

test("tags: read back by resource and by filter, in pages", async (t) => {
  const { tags, cloud } = await withAccount(t);
  const named = (id: string): string => `qcs::clb:ap-guangzhou:uin/100000000001:clb/${id}`;
  const ids = Array.from(
    { length: 3 },
    (_, index) => cloud.addLoadBalancer({ id: `lb-${index}`, tags: { owner: "shop", shard: String(index % 2) } }).loadBalancerId,
  );
  cloud.addLoadBalancer({ id: "lb-bare" });
  const found = async (TagFilters: { TagKey: string; TagValue?: string[] }[]) =>
    (await tags.GetResources({ TagFilters })).ResourceTagMappingList?.map(({ Resource }) => Resource);
  assert.deepEqual(await found([{ TagKey: "owner" }]), [named("lb-old"), ...ids.map(named)]);
  assert.deepEqual(
    await found([
      { TagKey: "owner", TagValue: ["shop"] },
      { TagKey: "shard", TagValue: ["0", "7"] },
    ]),
    [named("lb-0"), named("lb-2")],
  );
  const pages: (string | undefined)[] = [];
  for (let token = ""; pages.length === 0 || token !== ""; ) {
    const page = await tags.GetResources({ MaxResults: 3, PaginationToken: token });
    pages.push(page.ResourceTagMappingList?.map(({ Resource }) => Resource?.split("/").at(-1)).join());
    token = page.PaginationToken ?? "";
  }
  assert.deepEqual(pages, ["lb-old,lb-0,lb-1", "lb-2"]);
  const all = await tags.GetResources({ ResourceList: [named("lb-1"), named("lb-2"), named("lb-bare")], MaxResults: 1 });
  assert.deepEqual(
    all.ResourceTagMappingList?.map(({ Tags }) => Tags?.map(({ TagKey, TagValue }) => `${TagKey}=${TagValue}`)),
    [
      ["owner=shop", "shard=1"],
      ["owner=shop", "shard=0"],
    ],
  );
  await failsWith("InvalidParameter.PaginationTokenInvalid", tags.GetResources({ PaginationToken: "page 2" }));
  await tags.GetResources({ MaxResults: 200, TagFilters: Array.from({ length: 6 }, () => ({ TagKey: "owner" })) });
  await failsWith("InvalidParameterValue.Range", tags.GetResources({ MaxResults: 201 }));
  await failsWith(
    "InvalidParameterValue.Length",
    tags.GetResources({ TagFilters: Array.from({ length: 7 }, () => ({ TagKey: "owner" })) }),
  );
});

const tokenOf = (claims: object): string =>
  ["{}", JSON.stringify(claims), "signature"].map((part) => Buffer.from(part).toString("base64url")).join(".");

test("a ServiceAccount's token is exchanged for keys that work and end", async (t) => {
  const start = Date.now();
  let wallMs = start;
  const { endpoint, cloud } = await withAccount(t, { wallMs: () => wallMs });
  const asked = {
    ProviderId: "cls-1",
    WebIdentityToken: tokenOf({ exp: start / 1000 + 60 }),
    RoleArn: "qcs::cam::uin/1:roleName/clb",
    RoleSessionName: "s",
    DurationSeconds: 200,
  };
  // As the SDK's OIDCRoleArnCredential asks, which only talks to sts.tencentcloudapi.com.
  const sts = new CommonClient(endpoint, "2018-08-13", {
    credential: { secretId: "", secretKey: "" },
    region: "ap-guangzhou",
    profile: { httpProfile: { protocol: "http://" } },
  });
  const ask = (
    change: object = {},
  ): Promise<{ ExpiredTime: number; Credentials: { TmpSecretId: string; TmpSecretKey: string; Token: string } }> =>
    sts.request("AssumeRoleWithWebIdentity", { ...asked, ...change }, { skipSign: true });
  const { Credentials: keys, ExpiredTime } = await ask();
  assert.equal(ExpiredTime, Math.floor(start / 1000 + 200));
  const sdk = sdkFor(endpoint, { secretId: keys.TmpSecretId, secretKey: keys.TmpSecretKey, token: keys.Token });
  await sdk.DescribeQuota(null);
  assert.equal(cloud.journal.of("call").at(-1)?.caller, "role/clb");
  await ask({ DurationSeconds: 43_200 });
  await failsWith("InvalidParameter.OverTimeError", ask({ DurationSeconds: 43_201 }));
  await failsWith("InvalidParameter.ParamError", ask({ RoleArn: "clb" }));
  await failsWith("InvalidParameter.WebIdentityTokenError", ask({ WebIdentityToken: "no token" }));
  wallMs = start + 60_001;
  await failsWith("InvalidParameter.WebIdentityTokenError", ask());
  wallMs = start + 200_000;
  await failsWith("AuthFailure.TokenFailure", sdk.DescribeQuota(null));
});

test("the metadata service knows its node, its interfaces and its role's keys", async (t) => {
  const { metadata, endpoint } = await withAccount(t);
  const get = async (path: string, node = "ins-1"): Promise<string> => {
    const answer = await fetch(`${metadata.get(node)}${path}`);
    return answer.ok ? answer.text() : String(answer.status);
  };
  assert.deepEqual([...metadata.keys()], ["ins-1", "ins-2"]);
  assert.equal(await get("instance-id"), "ins-1");
  assert.equal(await get("instance-id", "ins-2"), "ins-2");
  assert.equal(await get("mac"), "20:90:6F:00:00:01");
  assert.equal(await get("placement/zone"), "ap-guangzhou-3");
  const [first, second] = (await get("network/interfaces/macs/")).split("\n");
  assert.equal(first, "20:90:6F:00:00:01/");
  assert.equal(await get(`network/interfaces/macs/${second}primary-local-ipv4`), "10.0.1.3");
  assert.equal(await get(`network/interfaces/macs/${second}local-ipv4s/`), "10.0.1.3/\n10.0.1.10/\n10.0.1.11/\n10.0.1.12/");
  assert.equal(await get(`network/interfaces/macs/${second}local-ipv4s/10.0.1.11/gateway`), "10.0.1.1");
  assert.equal(await get(`network/interfaces/macs/${second}local-ipv4s/10.0.1.11/subnet-mask`), "255.255.255.0");
  assert.equal(await get("eni-id"), "404"); // it does not tell ids of ENIs
  assert.equal(await get("cam/security-credentials/", "ins-2"), "404"); // no role
  const role = await get("cam/security-credentials/");
  const keys = JSON.parse(await get(`cam/security-credentials/${role}`)) as Record<
    "TmpSecretId" | "TmpSecretKey" | "Token" | "Code",
    string
  >;
  assert.deepEqual([role, keys.Code], ["reader", "Success"]);
  await sdkFor(endpoint, { secretId: keys.TmpSecretId, secretKey: keys.TmpSecretKey, token: keys.Token }).DescribeQuota(null);
  assert.equal((JSON.parse(await get(`cam/security-credentials/${role}`)) as typeof keys).Token, keys.Token);
});

test("each service has its own rate", async (t) => {
  const clock = { ...makeClock(), now: () => NOW_MS }; // one second, however long the calls take
  const { endpoint } = await withCloud(t, { clock, limits: { vpcPerSecond: LIMITS.vpcPerSecond, cvmPerSecond: LIMITS.cvmPerSecond } });
  const codes = async (action: string, calls: number): Promise<number> => {
    const answers = await Promise.all(Array.from({ length: calls }, () => call(endpoint, { action, version: "2017-03-12" })));
    return answers.filter(({ response }) => response.Error?.Code === "RequestLimitExceeded").length;
  };
  assert.equal(await codes("DescribeSecurityGroups", LIMITS.vpcPerSecond + 3), 3);
  assert.equal(await codes("DescribeInstances", LIMITS.cvmPerSecond + 2), 2);
});
