import { isIPv4 } from "node:net";
import * as z from "zod";
import { isRange, toAddress, toNumber } from "../model/ranges.ts";

/** A text of a form that the message names together with an example and what was given instead. */
const formed = (fits: (given: string) => boolean, form: string, example: string) =>
  z.string().refine(fits, { error: ({ input }) => `must be ${form}, e.g. ${example}, got "${String(input)}"` });

/** E.g. `id("vpc")` takes "vpc-demo0001". */
export const id = (prefix: string) =>
  formed((given) => new RegExp(`^${prefix}-[0-9a-z]+$`).test(given), `${prefix}- and digits or small letters`, `${prefix}-1a2b3c4d`);

export const ip = formed(isIPv4, "an IPv4 address", "10.0.1.7");
export const cidr = formed(isRange, "an IPv4 range", "10.0.1.0/24");
export const mac = formed((given) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(given), "a MAC address", "20:90:6f:00:00:01");

/** Most addresses that one ENI may have here; the real number depends on the kind of instance. */
const MAX_ADDRESSES = 1024;

/** One address or a row of them, "10.0.1.10-10.0.1.39"; becomes a list. */
export const ips = formed(
  (given) => rowOf(given).length > 0,
  `an IPv4 address or a row of at most ${MAX_ADDRESSES}`,
  "10.0.1.10-10.0.1.39",
).transform(rowOf);

export const tags = z.record(z.string().min(1), z.string()).default({});
export const name = z.string().min(1).max(60);

/** Empty if it is none. */
function rowOf(given: string): string[] {
  const [first = "", last = first] = given.split("-").map((part) => part.trim());
  if (!isIPv4(first) || !isIPv4(last)) return [];
  const count = toNumber(last) - toNumber(first) + 1;
  return count > MAX_ADDRESSES ? [] : Array.from({ length: Math.max(count, 0) }, (_, index) => toAddress(toNumber(first) + index));
}
