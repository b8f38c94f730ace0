import { isIPv4 } from "node:net";

/** Whether it is written as a range, e.g. "10.0.1.0/24". */
export function isRange(given: string): boolean {
  const [address = "", prefix = ""] = given.split("/");
  return isIPv4(address) && /^\d{1,2}$/.test(prefix) && Number(prefix) <= 32;
}

/** "10.0.1.7" -> 167772423. */
export const toNumber = (ip: string): number => ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

/** 167772423 -> "10.0.1.7". */
export const toAddress = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

/** Whether an IPv4 address, or a whole range, lies in a range: "10.0.1.7" or "10.0.1.0/24" in "10.0.0.0/16". */
export function isWithin(inner: string, outer: string): boolean {
  const [address = "", innerPrefix = "32"] = inner.split("/");
  const [network = "", prefix = "32"] = outer.split("/");
  const size = 2 ** (32 - Number(prefix));
  return Number(innerPrefix) >= Number(prefix) && Math.floor(toNumber(address) / size) === Math.floor(toNumber(network) / size);
}
