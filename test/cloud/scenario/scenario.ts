import { createHash } from "node:crypto";
import * as z from "zod";
import type { Cloud } from "../cloud.ts";
import { parseScript } from "../input/yaml-script.ts";
import { type EniRecord, emptyNetwork, type Network, type PolicyRecord, type TemplateRecord } from "../model/network.ts";
import type { CloudOptions } from "../runtime/options.ts";
import { faultsIn } from "./references.ts";
import { type Eni, type Policy, SCENARIO, type Scenario } from "./schema.ts";

/** A cloud as a file describes it: what it is made with, and what is done to it before the first call. */
export type Plan = { readonly options: CloudOptions; readonly prepare: (cloud: Cloud) => void };

/** References are looked at only where everything has the form that it should have. */
const CHECKED = z
  .preprocess((given) => given ?? {}, SCENARIO)
  .pipe(
    z.custom<Scenario>().superRefine((scenario, context) => {
      for (const { path, message } of faultsIn(scenario)) context.addIssue({ code: "custom", path: [...path], message });
    }),
  );

/**
 * Reads a scenario. `name` is the file, for messages; `nowMs` becomes the time at which everything in it was made. Throws a TypeError with
 * one line per fault, e.g. `scenario.yaml:12: subnets[0].vpc: "vpc-x" is not in vpcs; there are vpc-demo0001`.
 */
export function readScenario(text: string, name: string, nowMs: number): Plan {
  const scenario = parseScript(text, CHECKED, name);
  const { region, profile, vips, assumed, limits } = scenario;
  return {
    options: {
      ...given(assumed),
      ...given({ region, profile, vipCidr: vips }),
      limits: given(limits ?? {}),
      network: networkOf(scenario, nowMs),
      certificates: scenario.certificates.map(({ id, name: title = id, cert, key }) => ({ id, name: title, certPem: cert, keyPem: key })),
    },
    prepare: (cloud) => {
      for (const [index, { id, name: title = id, type, tags, vip, vpc, subnet }] of scenario.loadBalancers.entries())
        try {
          cloud.addLoadBalancer({ type, tags, ...given({ id, name: title, vip, vpcId: vpc, subnetId: subnet }) });
        } catch (cause) {
          throw new TypeError(`${name}: loadBalancers[${index}]: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
        }
    },
  };
}

/** Without what is undefined: an option that is there and undefined is not the same as one that is left out. */
const given = <T extends object>(object: T) =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };

function networkOf(scenario: Scenario, nowMs: number): Network {
  const network = emptyNetwork();
  const { vpcs, subnets, instances, enis, securityGroups } = scenario;
  for (const { id, name = id, cidr } of vpcs) network.vpcs.set(id, { id, name, cidr });
  for (const { id, name = id, vpc: vpcId, cidr, zone } of subnets) network.subnets.set(id, { id, name, vpcId, cidr, zone });
  for (const instance of instances) addInstance(network, instance, nowMs);
  for (const eni of enis) addEni(network, eni, undefined, nowMs);
  for (const { id, name = id, description, tags, ingress, egress } of securityGroups)
    network.securityGroups.set(id, {
      id,
      name,
      description,
      projectId: 0,
      tags: new Map(Object.entries(tags)),
      createdMs: nowMs,
      updatedMs: nowMs,
      version: 0,
      ingress: ingress.map(policyOf),
      egress: egress.map(policyOf),
    });
  for (const kind of ["addressTemplates", "addressTemplateGroups", "serviceTemplates", "serviceTemplateGroups"] as const)
    for (const { id, name = id, members } of scenario[kind])
      network[kind].set(id, { id, name, members, createdMs: nowMs } satisfies TemplateRecord);
  network.globalRouterCidrs.push(...scenario.globalRouter);
  return network;
}

function addInstance(network: Network, instance: Scenario["instances"][number], nowMs: number): void {
  const { id, name = id, role, state, tags, enis } = instance;
  for (const [deviceIndex, eni] of enis.entries()) addEni(network, eni, { instanceId: id, deviceIndex }, nowMs);
  const home = network.subnets.get(enis[0]?.subnet ?? "");
  network.instances.set(id, {
    id,
    name,
    uuid: uuidOf(id),
    vpcId: home?.vpcId ?? "",
    subnetId: home?.id ?? "",
    zone: home?.zone ?? "",
    role,
    state,
    tags: new Map(Object.entries(tags)),
    createdMs: nowMs,
  });
}

function addEni(network: Network, eni: Eni, attachment: EniRecord["attachment"], nowMs: number): void {
  const { id, name = id, subnet: subnetId, ip: primaryIp, secondaryIps, securityGroups, tags, trunk } = eni;
  const subnet = network.subnets.get(subnetId);
  const primary = attachment?.deviceIndex === 0;
  network.enis.set(id, {
    id,
    name,
    vpcId: subnet?.vpcId ?? "",
    subnetId,
    zone: subnet?.zone ?? "",
    mac: (eni.mac ?? macOf(id)).toLowerCase(),
    primary,
    type: trunk ? 2 : primary ? 1 : 0,
    primaryIp,
    secondaryIps: new Set(secondaryIps.flat()),
    tags: new Map(Object.entries(tags)),
    createdMs: nowMs,
    securityGroupIds: securityGroups,
    attachment,
  });
}

/** `0.0.0.0/n` is stored as everything, whatever n is. Source: clb-api.md §6.3. */
const policyOf = (policy: Policy): PolicyRecord => ({
  action: policy.action,
  protocol: policy.protocol ?? "",
  port: policy.port ?? "ALL",
  serviceTemplate: policy.service,
  cidr: policy.cidr?.replace(/^0\.0\.0\.0\/\d+$/, "0.0.0.0/0"),
  ipv6Cidr: policy.ipv6Cidr,
  securityGroup: policy.securityGroup,
  addressTemplate: policy.addresses,
  description: policy.description,
});

const hexOf = (id: string): string => createHash("sha256").update(id).digest("hex");
/** The same for the same id in every run. */
const uuidOf = (id: string): string => hexOf(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
const macOf = (id: string): string => `20:90:6f:${hexOf(id).replace(/^(..)(..)(..).*$/, "$1:$2:$3")}`;
