import * as z from "zod";
import { ip, tags } from "../input/fields.ts";
import { parseScript } from "../input/yaml-script.ts";
import { HEALTH_STATUSES } from "../model/account.ts";

const word = z.string().min(1);

/** A load balancer that is there at once, without a task. */
const LOAD_BALANCER = z.strictObject({
  id: z.exactOptional(word),
  name: z.exactOptional(word.max(80)),
  type: z.enum(["OPEN", "INTERNAL"]).default("OPEN"),
  tags,
  vip: z.exactOptional(ip),
  vpcId: z.exactOptional(word),
  subnetId: z.exactOptional(word),
});

/** What a target's health is from now on; without `status` the probes speak again. */
const HEALTH = z.strictObject({
  loadBalancerId: word,
  listenerId: word,
  locationId: z.string().default(""),
  ip,
  port: z.int().min(1).max(65_535),
  status: z.enum(HEALTH_STATUSES).optional(),
});

const orEmpty = (text: string): string => (text === "" ? "{}" : text);

/** What was sent, checked. Both throw a TypeError with line, field and what it must be. */
export const loadBalancerIn = (text: string) => parseScript(orEmpty(text), LOAD_BALANCER, "load-balancers");
export const healthIn = (text: string) => parseScript(orEmpty(text), HEALTH, "health");
