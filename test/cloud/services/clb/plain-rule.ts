import type { HealthSettings, ListenerRecord, RuleRecord } from "../../model/account.ts";
import { newId } from "../../runtime/random.ts";
import type { ClbPorts } from "./ports.ts";

/** A new rule with nothing bound to it and nothing chosen; `name` e.g. { domains: ["shop.example.com"], url: "/cart" }. */
export const plainRule = (
  { loadBalancerId, listenerId, protocol }: ListenerRecord,
  { domains, url }: Pick<RuleRecord, "domains" | "url">,
  healthCheck: HealthSettings,
  { random, clock }: Pick<ClbPorts, "random" | "clock">,
): RuleRecord => ({
  loadBalancerId,
  listenerId,
  locationId: newId("loc", random),
  protocol,
  healthCheck,
  targets: new Map(),
  lastHealthyMs: 0,
  domains,
  url,
  createdMs: clock.now(),
  scheduler: "WRR",
  sessionExpireTime: 0,
  forwardType: "HTTP",
  http2: false,
  certificate: undefined,
  quic: false,
  cookieName: undefined,
  rewrite: undefined,
});
