import { createPrivateKey, X509Certificate } from "node:crypto";
import { isWithin } from "../model/ranges.ts";
import type { Eni, Policy, Scenario } from "./schema.ts";

type Path = readonly (string | number)[];
/** What is wrong, and where in the file. */
export type Fault = { readonly path: Path; readonly message: string };

/** What does not fit together: names of nothing, addresses twice or outside their subnet, rules that say two things. */
export function faultsIn(scenario: Scenario): Fault[] {
  return [
    ...twice(scenario),
    ...scenario.subnets.flatMap((subnet, index) => subnetFaults(scenario, subnet, ["subnets", index])),
    ...interfaceFaults(scenario),
    ...scenario.securityGroups.flatMap((group, index) =>
      (["ingress", "egress"] as const).flatMap((side) =>
        group[side].flatMap((policy, place) => policyFaults(scenario, policy, ["securityGroups", index, side, place])),
      ),
    ),
    ...repeated(
      scenario.loadBalancers.flatMap(({ vip: value }, index) =>
        value === undefined ? [] : [{ value, path: ["loadBalancers", index, "vip"] }],
      ),
    ),
    ...memberFaults(scenario, "addressTemplateGroups", "addressTemplates"),
    ...memberFaults(scenario, "serviceTemplateGroups", "serviceTemplates"),
    ...scenario.certificates.flatMap((certificate, index) => certificateFaults(certificate, ["certificates", index])),
    ...scenario.loadBalancers.flatMap(({ vpc, subnet, type }, index) => [
      ...unknown(scenario, "vpcs", vpc, ["loadBalancers", index, "vpc"]),
      ...unknown(scenario, "subnets", subnet, ["loadBalancers", index, "subnet"]),
      ...(type === "INTERNAL" && subnet === undefined
        ? [{ path: ["loadBalancers", index], message: "an INTERNAL load balancer needs vpc and subnet; add them" }]
        : []),
    ]),
  ];
}

/** The lists whose members have ids. */
type Listed = {
  [K in keyof Scenario]: Scenario[K] extends readonly { id?: string | undefined }[] ? K : never;
}[keyof Scenario];

const LISTS: readonly Exclude<Listed, undefined>[] = [
  "vpcs",
  "subnets",
  "instances",
  "enis",
  "securityGroups",
  "addressTemplates",
  "addressTemplateGroups",
  "serviceTemplates",
  "serviceTemplateGroups",
  "certificates",
  "loadBalancers",
];

/** `list: "vpcs"`: the id must be one of the file's. */
function unknown(scenario: Scenario, list: Exclude<Listed, undefined>, id: string | undefined, path: Path): Fault[] {
  const ids = scenario[list].map((one) => one.id);
  if (id === undefined || ids.includes(id)) return [];
  return [{ path, message: `"${id}" is not in ${list}; ${ids.length === 0 ? "add it there" : `there are ${ids.join(", ")}`}` }];
}

function twice(scenario: Scenario): Fault[] {
  const placed = LISTS.flatMap((list) => scenario[list].map(({ id }, index) => ({ id, path: [list, index, "id"] as Path })));
  const ofNodes = scenario.instances.flatMap(({ enis }, node) =>
    enis.map(({ id }, index) => ({ id, path: ["instances", node, "enis", index, "id"] as Path })),
  );
  return repeated([...placed, ...ofNodes].flatMap(({ id, path }) => (id === undefined ? [] : [{ value: id, path }])));
}

function repeated(found: readonly { readonly value: string; readonly path: Path }[]): Fault[] {
  const seen = new Set<string>();
  return found.flatMap(({ value, path }) => {
    if (seen.has(value)) return [{ path, message: `"${value}" is given twice; give each its own` }];
    seen.add(value);
    return [];
  });
}

function subnetFaults(scenario: Scenario, { vpc, cidr }: Scenario["subnets"][number], path: Path): Fault[] {
  const range = scenario.vpcs.find(({ id }) => id === vpc)?.cidr;
  if (range === undefined) return unknown(scenario, "vpcs", vpc, [...path, "vpc"]);
  return isWithin(cidr, range) ? [] : [{ path: [...path, "cidr"], message: `"${cidr}" is outside ${vpc}, which has ${range}` }];
}

function interfaceFaults(scenario: Scenario): Fault[] {
  const free = scenario.enis.map((eni, index) => ({ eni, path: ["enis", index] as Path }));
  const attached = scenario.instances.flatMap(({ enis }, node) =>
    enis.map((eni, index) => ({ eni, path: ["instances", node, "enis", index] as Path, first: enis[0] })),
  );
  const all = [...free.map((one) => ({ ...one, first: undefined })), ...attached];
  return [
    ...all.flatMap(({ eni, path, first }) => eniFaults(scenario, eni, path, first)),
    ...repeated(all.flatMap(({ eni, path }) => addressesIn(eni).map(({ address, at }) => ({ value: address, path: [...path, ...at] })))),
  ];
}

const addressesIn = (eni: Eni): { readonly address: string; readonly at: Path }[] => [
  { address: eni.ip, at: ["ip"] },
  ...eni.secondaryIps.flatMap((row, index) => row.map((address) => ({ address, at: ["secondaryIps", index] }))),
];

function eniFaults(scenario: Scenario, eni: Eni, path: Path, first: Eni | undefined): Fault[] {
  const subnet = scenario.subnets.find(({ id }) => id === eni.subnet);
  if (subnet === undefined) return unknown(scenario, "subnets", eni.subnet, [...path, "subnet"]);
  const home = scenario.subnets.find(({ id }) => id === first?.subnet);
  return [
    ...addressesIn(eni)
      .filter(({ address }) => !isWithin(address, subnet.cidr))
      .slice(0, 1)
      .map(({ address, at }) => ({ path: [...path, ...at], message: `${address} is outside ${subnet.id}, which has ${subnet.cidr}` })),
    ...(home !== undefined && home.vpc !== subnet.vpc
      ? [
          {
            path: [...path, "subnet"],
            message: `"${eni.subnet}" is in ${subnet.vpc}, the instance in ${home.vpc}; all its ENIs must be in one VPC`,
          },
        ]
      : []),
    ...eni.securityGroups.flatMap((id, index) => unknown(scenario, "securityGroups", id, [...path, "securityGroups", index])),
  ];
}

function policyFaults(scenario: Scenario, policy: Policy, path: Path): Fault[] {
  const { service, protocol, port, addresses, securityGroup } = policy;
  const sources = (["cidr", "ipv6Cidr", "securityGroup", "addresses"] as const).filter((name) => policy[name] !== undefined);
  const says = (message: string): Fault[] => [{ path, message }];
  return [
    ...(sources.length === 1
      ? []
      : says(`needs one of cidr, ipv6Cidr, securityGroup and addresses, has ${sources.join(" and ") || "none"}`)),
    ...(service !== undefined && (protocol !== undefined || port !== undefined) ? says("service goes without protocol and port") : []),
    ...(service === undefined && protocol === undefined ? says("needs a protocol, or a service") : []),
    ...((protocol === "TCP" || protocol === "UDP") && port === undefined ? says(`${protocol} needs a port; ALL are all`) : []),
    ...(protocol === "ALL" && port !== undefined && port.toUpperCase() !== "ALL"
      ? says(`protocol ALL goes with port ALL only, got "${port}"`)
      : []),
    ...unknown(scenario, "securityGroups", securityGroup, [...path, "securityGroup"]),
    ...unknown(scenario, addresses?.startsWith("ipmg") ? "addressTemplateGroups" : "addressTemplates", addresses, [...path, "addresses"]),
    ...unknown(scenario, service?.startsWith("ppmg") ? "serviceTemplateGroups" : "serviceTemplates", service, [...path, "service"]),
  ];
}

function memberFaults(
  scenario: Scenario,
  groups: "addressTemplateGroups" | "serviceTemplateGroups",
  templates: "addressTemplates" | "serviceTemplates",
): Fault[] {
  return scenario[groups].flatMap(({ members }, index) =>
    members.flatMap((id, place) => unknown(scenario, templates, id, [groups, index, "members", place])),
  );
}

/** A certificate without a key is that of an authority (for clients' certificates). */
function certificateFaults({ cert, key }: Scenario["certificates"][number], path: Path): Fault[] {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    return [
      { path: [...path, "cert"], message: "is no PEM certificate; paste it whole below `cert: |`, from -----BEGIN CERTIFICATE----- on" },
    ];
  }
  try {
    if (key === "" || certificate.checkPrivateKey(createPrivateKey(key))) return [];
    return [{ path: [...path, "key"], message: "is not the key of this certificate" }];
  } catch {
    return [{ path: [...path, "key"], message: "is no PEM private key without a password" }];
  }
}
