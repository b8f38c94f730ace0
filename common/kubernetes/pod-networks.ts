import * as z from "zod";
import { POD_NETWORKS, POD_NETWORKS_STATUS } from "../names.ts";
import { NO_NETWORKS, type PodNetworks } from "../vocabulary.ts";

/** An element of the JSON form of the first annotation; multus takes names as well. */
const Asked = z.array(z.union([z.string(), z.object({ name: z.string() })]));
const Status = z.array(z.object({ name: z.string().default(""), mac: z.string().default(""), default: z.boolean().default(false) }));
/** More than a Pod has networks; what follows is not kept. */
const MOST_NETWORKS = 16;

/**
 * What the two annotations of a Pod say (tke-contract.md R8, §9): `networks` is a comma list or a JSON list of names, `status` the JSON list
 * that multus wrote. One that cannot be read counts as absent, and `fault` names it.
 */
export function readNetworks(networks: unknown, status: unknown): PodNetworks {
  if (networks === undefined && status === undefined) return NO_NETWORKS;
  const faults: string[] = [];
  const asked = orFault(faults, POD_NETWORKS, "a comma list or a JSON list of names", () => askedIn(networks)) ?? [];
  const given = orFault(faults, POD_NETWORKS_STATUS, "the JSON list that multus writes", () => statusIn(status));
  return {
    asked: asked.slice(0, MOST_NETWORKS),
    statusName: plainName(given?.name ?? ""),
    statusMac: given?.mac.toLowerCase() ?? "",
    fault: faults.join("; "),
  };
}

function orFault<T>(faults: string[], name: string, wanted: string, read: () => T): T | undefined {
  try {
    return read();
  } catch {
    faults.push(`annotation ${name} is not ${wanted} and counts as absent`);
    return undefined;
  }
}

function askedIn(value: unknown): readonly string[] {
  if (value === undefined) return [];
  const text = z.string().parse(value).trim();
  const names = text.startsWith("[")
    ? Asked.parse(JSON.parse(text)).map((one) => (typeof one === "string" ? one : one.name))
    : text.split(",");
  return names.map(plainName).filter((name) => name !== "");
}

/** A name may carry its namespace and the interface's name: "kube-system/tke-route-eni@eth1". */
const plainName = (name: string): string => name.trim().replace(/^.*\//, "").replace(/@.*$/, "");

/** The default network, else the first. */
function statusIn(value: unknown): z.infer<typeof Status>[number] | undefined {
  if (value === undefined) return undefined;
  const networks = Status.parse(JSON.parse(z.string().parse(value)));
  return networks.find((network) => network.default) ?? networks[0];
}
