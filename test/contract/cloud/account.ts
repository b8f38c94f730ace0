import type { TestContext } from "node:test";
import { Client as CvmClient } from "tencentcloud-sdk-nodejs/tencentcloud/services/cvm/v20170312/cvm_client.js";
import { Client as TagClient } from "tencentcloud-sdk-nodejs/tencentcloud/services/tag/v20180813/tag_client.js";
import { Client as VpcClient } from "tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_client.js";
import type { StartOptions } from "../../cloud/cli/start.ts";
import { TEST_KEY } from "../../cloud/runtime/options.ts";
import { readScenario } from "../../cloud/scenario/scenario.ts";
import { withCloud } from "./fixture.ts";

/** Two VPCs, nodes in both, an ENI that belongs to none. */
const ACCOUNT = `
vpcs:
  - { id: vpc-1, cidr: 10.0.0.0/16 }
  - { id: vpc-2, cidr: 10.1.0.0/16 }
subnets:
  - { id: subnet-a, vpc: vpc-1, cidr: 10.0.1.0/24, zone: ap-guangzhou-3 }
  - { id: subnet-b, vpc: vpc-2, cidr: 10.1.1.0/24, zone: ap-guangzhou-4 }
instances:
  - id: ins-1
    name: node-1
    role: reader
    tags: { pool: blue }
    enis:
      - { id: eni-1, subnet: subnet-a, ip: 10.0.1.2, securityGroups: [sg-1], mac: "20:90:6F:00:00:01" }
      - { id: eni-2, subnet: subnet-a, ip: 10.0.1.3, secondaryIps: [10.0.1.10-10.0.1.12], securityGroups: [sg-2, sg-1] }
  - { id: ins-2, state: STOPPED, enis: [{ id: eni-3, subnet: subnet-b, ip: 10.1.1.2, trunk: true }] }
enis: [{ id: eni-9, subnet: subnet-a, ip: 10.0.1.112, tags: { free: "yes" } }]
securityGroups:
  - id: sg-1
    name: web
    ingress:
      - { action: ACCEPT, protocol: TCP, port: "80,443", cidr: 0.0.0.0/8 }
      - { action: ACCEPT, service: ppmg-1, addresses: ipmg-1 }
      - { action: DROP, protocol: ALL, securityGroup: sg-2, description: the rest }
    egress: [{ action: ACCEPT, protocol: ALL, ipv6Cidr: "::/0" }]
  - { id: sg-2, name: empty }
addressTemplates: [{ id: ipm-1, members: [10.0.0.1, 10.0.1.0/24] }]
addressTemplateGroups: [{ id: ipmg-1, name: all, members: [ipm-1] }]
serviceTemplates: [{ id: ppm-1, name: http, members: ["tcp:80,443"] }, { id: ppm-2, members: [icmp] }]
serviceTemplateGroups: [{ id: ppmg-1, members: [ppm-2, ppm-1] }]
globalRouter: [172.16.0.0/16]
loadBalancers:
  - { id: lb-old, name: from before, vpc: vpc-1, tags: { owner: shop } }
`;

/** The account above, for a cloud in this process. */
export const accountPlan = () => readScenario(ACCOUNT, "account", Date.now());

/** A cloud with the account above, and the SDK's clients of its services. */
export async function withAccount(t: TestContext, options: StartOptions = {}) {
  const plan = accountPlan();
  const limits = { vpcPerSecond: 100_000, cvmPerSecond: 100_000, ...options.limits };
  const started = await withCloud(t, { ...plan.options, metadataPort: 0, ...options, limits });
  plan.prepare(started.cloud);
  const client = {
    credential: TEST_KEY,
    region: "ap-guangzhou",
    profile: { httpProfile: { protocol: "http://", endpoint: started.endpoint } },
  } as const;
  return { ...started, vpc: new VpcClient(client), cvm: new CvmClient(client), tags: new TagClient(client) };
}

/** A filter of VPC or CVM. */
export const filter = (Name: string, ...Values: string[]) => ({ Name, Values });
