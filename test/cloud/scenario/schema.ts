import * as z from "zod";
import { cidr, id, ip, ips, mac, name, tags } from "../input/fields.ts";
import { type CloudOptions, LIMITS } from "../runtime/options.ts";

const ms = z.number().min(0);
const profile = z.union(
  [
    z.enum(["fast", "tke2020"]),
    z.strictObject({
      apiLatencyMs: z.strictObject({
        default: ms,
        write: ms,
        jitterPct: z.number().min(0).max(100),
        byAction: z.record(z.string(), ms).default({}),
      }),
      taskMs: z.strictObject({ base: ms, perRuleOnLb: ms, perTarget: ms }),
      batchTargets: z.strictObject({ mode: z.enum(["sync", "async"]), busyAfterReturnMs: ms }),
      createLoadBalancerMs: ms,
    }),
  ],
  "must be fast, tke2020, or all times of a profile: apiLatencyMs, taskMs, batchTargets, createLoadBalancerMs (docs/emulated-cloud.md)",
);

/** The switches for what is not known of the real service. */
const assumed = z.strictObject({
  keepGoodTargetsOfFailedListener: z.boolean().optional(),
  reregisterUpdatesWeight: z.boolean().optional(),
  failedTaskApplies: z.boolean().optional(),
  allDeadAllAlive: z.boolean().optional(),
  unusedReferences: z.enum(["absent", "empty", "null"]).optional(),
  layer4LocationId: z.enum(["id", "empty", "absent"]).optional(),
  healthFields: z.enum(["model", "example", "deprecated", "boolean"]).optional(),
  checkMethod: z.enum(["lower", "as sent"]).optional(),
  underCreation: z.enum(["shown", "hidden"]).optional(),
  batchTasks: z.enum(["known", "unknown"]).optional(),
  taskLoadBalancerIds: z.enum(["filled", "null"]).optional(),
  lockedCode: z.enum(["FailedOperation.ResourceInOperating", "InternalError"]).optional(),
} satisfies { [K in keyof CloudOptions]?: z.ZodType });

const limits = z.partialRecord(z.enum(Object.keys(LIMITS) as (keyof typeof LIMITS)[]), z.int().min(0), {
  error: (issue) => (issue.code === "invalid_key" ? `no such limit; there are ${Object.keys(LIMITS).join(", ")}` : undefined),
});

const PORTS = 'must be like 80, "80,443", "8000-9000" or ALL';
const policy = z.strictObject({
  action: z.enum(["ACCEPT", "DROP"]),
  protocol: z.enum(["TCP", "UDP", "ICMP", "ICMPv6", "GRE", "ALL"]).optional(),
  /** "80", "80,443", "8000-9000" or "ALL"; YAML gives a single port as a number. */
  port: z.union([z.int().transform(String), z.string().regex(/^(all|\d+-\d+|\d+(,\d+)*)$/i, PORTS)], PORTS).optional(),
  service: z.union([id("ppm"), id("ppmg")], "must be the id of a service template or group (ppm-…, ppmg-…)").optional(),
  cidr: cidr.optional(),
  ipv6Cidr: z.cidrv6().optional(),
  securityGroup: id("sg").optional(),
  addresses: z.union([id("ipm"), id("ipmg")], "must be the id of an address template or group (ipm-…, ipmg-…)").optional(),
  description: z.string().optional(),
});

const eni = z.strictObject({
  id: id("eni"),
  name: name.optional(),
  subnet: id("subnet"),
  ip,
  secondaryIps: z.array(ips).default([]),
  securityGroups: z.array(id("sg")).default([]),
  mac: mac.optional(),
  trunk: z.boolean().default(false),
  tags,
});

const template = (prefix: string, members: z.ZodType<string>) =>
  z.strictObject({ id: id(prefix), name: name.optional(), members: z.array(members).min(1) });

const ADDRESS = /^[\d.]+(\/\d+|-[\d.]+)?$/;
const SERVICE = /^(tcp|udp):(all|\d+(-\d+)?(,\d+)*)$|^(icmp|icmpv6|gre)$/i;

/** Everything a scenario file may say; docs/emulated-cloud.md explains it. What refers to what is looked at in references.ts. */
export const SCENARIO = z.strictObject({
  region: z.string().min(1).optional(),
  profile: profile.optional(),
  limits: limits.optional(),
  assumed: assumed.default({}),
  vips: cidr.optional(),
  /** Ranges of GlobalRouter Pods: may be bound without an ENI. */
  globalRouter: z.array(cidr).default([]),
  vpcs: z.array(z.strictObject({ id: id("vpc"), name: name.optional(), cidr })).default([]),
  subnets: z.array(z.strictObject({ id: id("subnet"), name: name.optional(), vpc: id("vpc"), cidr, zone: z.string().min(1) })).default([]),
  instances: z
    .array(
      z.strictObject({
        id: id("ins"),
        name: name.optional(),
        role: z.string().min(1).optional(),
        state: z.enum(["RUNNING", "STOPPED"]).default("RUNNING"),
        tags,
        /** The first one is the primary ENI. */
        enis: z.array(eni).min(1),
      }),
    )
    .default([]),
  /** ENIs that are attached to nothing. */
  enis: z.array(eni).default([]),
  securityGroups: z
    .array(
      z.strictObject({
        id: id("sg"),
        name: name.optional(),
        description: z.string().max(100).default(""),
        tags,
        ingress: z.array(policy).default([]),
        egress: z.array(policy).default([]),
      }),
    )
    .default([]),
  addressTemplates: z
    .array(template("ipm", z.string().regex(ADDRESS, "must be like 10.0.0.1, 10.0.1.0/24 or 10.0.0.1-10.0.0.9")))
    .default([]),
  addressTemplateGroups: z.array(template("ipmg", id("ipm"))).default([]),
  serviceTemplates: z.array(template("ppm", z.string().regex(SERVICE, "must be like tcp:80, tcp:80,443, udp:all or icmp"))).default([]),
  serviceTemplateGroups: z.array(template("ppmg", id("ppm"))).default([]),
  certificates: z
    .array(z.strictObject({ id: z.string().min(1), name: name.optional(), cert: z.string(), key: z.string().default("") }))
    .default([]),
  loadBalancers: z
    .array(
      z.strictObject({
        id: id("lb").optional(),
        name: z.string().min(1).max(80).optional(),
        type: z.enum(["OPEN", "INTERNAL"]).default("OPEN"),
        vip: ip.optional(),
        vpc: id("vpc").optional(),
        subnet: id("subnet").optional(),
        tags,
      }),
    )
    .default([]),
});

export type Scenario = z.output<typeof SCENARIO>;
export type Eni = Scenario["enis"][number];
export type Policy = Scenario["securityGroups"][number]["ingress"][number];
