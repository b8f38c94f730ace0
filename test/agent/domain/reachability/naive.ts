/** A second evaluator of security groups, written from the documents and not from the first: one sender and one packet at a time. */
import { isIPv4 } from "node:net";
import type { SecurityGroup } from "../../../../common/reachability.ts";

type Packet = { readonly protocol: string; readonly port: number; readonly from: string };

const octets = (ip: string): number => ip.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);

function isSender(ip: string, source: string): boolean {
  if (!isIPv4(ip)) throw new Error("the naive evaluator knows IPv4 only");
  if (source.includes(":")) return false;
  if (source.includes("-")) {
    const [from = "", to = ""] = source.split("-");
    return octets(from) <= octets(ip) && octets(ip) <= octets(to);
  }
  const [address = "", bits = "32"] = source.split("/");
  const size = 2 ** (32 - Number(bits));
  return Math.floor(octets(ip) / size) === Math.floor(octets(address) / size);
}

function isService({ protocol, port }: Packet, service: string): boolean {
  const [name = "", ports = "all"] = service.toLowerCase().split(":");
  if (name !== "all" && name !== protocol.toLowerCase()) return false;
  return ports.split(",").some((one) => {
    if (one === "all") return true;
    const [from = "", to = from] = one.split("-");
    return Number(from) <= port && port <= Number(to);
  });
}

/** Group after group, rule after rule, the first that fits; nothing that fits: denied. */
export function isLetIn(groups: readonly SecurityGroup[], packet: Packet): boolean {
  for (const { rules } of groups)
    for (const rule of rules.toSorted((one, other) => one.index - other.index))
      if (rule.sources.some((source) => isSender(packet.from, source)) && rule.services.some((service) => isService(packet, service)))
        return rule.accept;
  return false;
}

/** Where the answer may change: the first and last address of every source, and those beside them. */
export function edges(groups: readonly SecurityGroup[]): string[] {
  const text = (value: number): string => [24, 16, 8, 0].map((bits) => Math.floor(value / 2 ** bits) % 256).join(".");
  const found = new Set([0, 2 ** 32 - 1]);
  for (const { rules } of groups)
    for (const source of rules.flatMap((rule) => rule.sources)) {
      if (source.includes(":")) continue;
      const [address = "", bits = "32"] = source.split("/");
      const [first = "", last] = address.split("-");
      const size = 2 ** (32 - Number(bits));
      const from = last === undefined ? Math.floor(octets(first) / size) * size : octets(first);
      const to = last === undefined ? from + size - 1 : octets(last);
      for (const edge of [from - 1, from, to, to + 1]) if (edge >= 0 && edge < 2 ** 32) found.add(edge);
    }
  return [...found].map(text);
}
