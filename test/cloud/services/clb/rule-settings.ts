import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { HealthSettings, ListenerRecord, LoadBalancerRecord, RuleRecord } from "../../model/account.ts";
import { CloudError, unsupported } from "../../model/errors.ts";
import { completeCheck } from "./health-checks.ts";

export const FORWARD_TYPES = ["HTTP", "HTTPS", "GRPC", "GRPCS"] as const;
/** The page of the product says 3600, the model of the API 86400: the longer one is accepted. */
export const LONGEST_SESSION = 86_400;

/** Only HTTPS listeners may speak anything but HTTP to backends. */
export function forwardTypeOf(name: string | undefined, { protocol }: ListenerRecord): RuleRecord["forwardType"] | undefined {
  if (name === "TRPC") throw unsupported("`ForwardType` TRPC is not offered");
  const forwardType = FORWARD_TYPES.find((one) => one === name);
  if (protocol === "HTTP" && forwardType !== undefined && forwardType !== "HTTP")
    throw new CloudError("InvalidParameterValue", `\`ForwardType\` ${forwardType} is for HTTPS listeners only`);
  return forwardType;
}

/** The check of a rule, with its defaults. Throws what `completeCheck` throws. */
export const checkOf = (
  given: clb.HealthCheck,
  { protocol }: ListenerRecord,
  forwardType: string,
  [domain = ""]: readonly string[],
  at: Pick<LoadBalancerRecord, "ipv6">,
): HealthSettings => completeCheck(given, { protocol: protocol === "HTTPS" ? "HTTPS" : "HTTP", forwardType, domain }, at);
