/** The account that the emulated cloud begins with in the demo: the simulated nodes as instances, their Pods' addresses on ENIs, a security group. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AddressPlan } from "../cluster/network.ts";
import { writeCertificates } from "./ingress.ts";
import type { DemoOptions } from "./options.ts";

const GROUP = "sg-web00001";

/** The instance that is node number `index`, e.g. "ins-node0001". */
export const instanceOf = (index: number): string => `ins-node000${index + 1}`;

/** The file for `--scenario`; undefined where the nodes are not ours to describe. */
export async function writeAccount(
  { cluster, deny, ingress }: Pick<DemoOptions, "cluster" | "deny" | "ingress">,
  plan: AddressPlan,
  directory: string,
): Promise<string | undefined> {
  if (cluster !== "embedded" && !ingress) return undefined;
  const file = join(directory, "account.yaml");
  const described = cluster === "embedded" ? account(plan, deny) : {};
  await writeFile(file, JSON.stringify(ingress ? await writeCertificates(described, plan, directory) : described)); // JSON is YAML
  return file;
}

function account(plan: AddressPlan, deny: number | undefined) {
  const range = `${plan.kind === "namespace" ? "10" : "127"}.244.0.0/16`;
  const drop =
    deny === undefined ? [] : [{ action: "DROP", protocol: "TCP", port: deny, cidr: "0.0.0.0/0", description: "the demo's --deny" }];
  const all = { action: "ACCEPT", protocol: "ALL", port: "ALL", cidr: "0.0.0.0/0" };
  return {
    vpcs: [{ id: "vpc-demo0001", name: "demo", cidr: range }],
    subnets: [{ id: "subnet-demo0001", name: "demo", vpc: "vpc-demo0001", cidr: range, zone: "ap-guangzhou-3" }],
    instances: ["node-a", "node-b"].map((name, index) => ({
      id: instanceOf(index),
      name,
      enis: [
        { id: `eni-node000${index + 1}`, subnet: "subnet-demo0001", ip: plan.nodeAddress(index), securityGroups: [GROUP] },
        {
          id: `eni-pods000${index + 1}`,
          subnet: "subnet-demo0001",
          ip: plan.nodeAddress(index + 10),
          // The simulated nodes take Pods' addresses from one pool, so which of the two ENIs has an address is not which node has the Pod.
          secondaryIps: plan.podAddresses.filter((_, at) => at % 2 === index),
          securityGroups: [GROUP],
        },
      ],
    })),
    securityGroups: [{ id: GROUP, name: "web", ingress: [...drop, all], egress: [all] }],
  };
}
