import { type ApiKey, type CloudOptions, TEST_KEY } from "../runtime/options.ts";
import type { StartedCloud } from "./start.ts";

type About = {
  readonly started: StartedCloud;
  readonly options: CloudOptions;
  readonly key: ApiKey;
  /** E.g. "scenario.yaml". */
  readonly account: string;
  readonly caFile: string | undefined;
};

/** What somebody who starts it by hand has to know, with a first call that works as it stands. */
export function banner({ started, options, key, account, caFile }: About): string {
  const { endpoint, adminUrl, tls, metadata, cloud } = started;
  const profile = typeof options.profile === "object" ? "of its own" : (options.profile ?? "fast");
  const ofTestKey = key === TEST_KEY;
  const { vpcs, instances, enis } = cloud.network;
  return `Emulated Tencent Cloud (clb, vpc, cvm, tag, sts), profile ${profile}
  account    ${account}: ${vpcs.size} VPCs, ${instances.size} instances, ${enis.size} ENIs, ${cloud.state().loadBalancers.length} load balancers
  API        http://${endpoint}${tls === undefined ? "" : `\n  HTTPS      https://${tls.endpoint}, any host name; CA ${caFile}`}
  admin      ${adminUrl}/state, /journal?since=0, /counts, /faults
  VIPs       ${options.vipCidr}
${[...metadata].map(([id, url]) => `  metadata   ${url} (${id})\n`).join("")}  SecretId   ${key.secretId}
  SecretKey  ${ofTestKey ? key.secretKey : "(as in TENCENTCLOUD_SECRET_KEY)"}
Point an SDK at it: protocol http, endpoint ${endpoint}; Python, Go, Java: endpoint of HttpProfile, Scheme "http".
A first call:
  ${firstCall(endpoint, key)}
Ctrl-C ends it.`;
}

/** A command for a shell in this repository. */
function firstCall(endpoint: string, key: ApiKey): string {
  const secretKey = key === TEST_KEY ? `"${key.secretKey}"` : "process.env.TENCENTCLOUD_SECRET_KEY";
  const client = "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";
  const credential = `{ secretId: "${key.secretId}", secretKey: ${secretKey} }`;
  const profile = `{ httpProfile: { protocol: "http://", endpoint: "${endpoint}" } }`;
  return `node --input-type=module -e '
    import { Client } from "${client}";
    const clb = new Client({ credential: ${credential}, region: "ap-guangzhou", profile: ${profile} });
    console.log(await clb.CreateLoadBalancer({ LoadBalancerType: "OPEN" }));'`;
}
