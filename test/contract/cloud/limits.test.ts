import { suite } from "node:test";
import { contract } from "./contract.ts";
import { failsWith } from "./fixture.ts";

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `id-${index}`);
const address = (index: number): string => `10.244.${Math.floor(index / 250)}.${(index % 250) + 1}`;
const targets = (count: number) => Array.from({ length: count }, (_, index) => ({ EniIp: address(index), Port: 80 }));
const batch = (count: number) => targets(count).map((target) => ({ ...target, ListenerId: "lbl-none" }));
const lb = { LoadBalancerId: "lb-00000000" };
const place = { ...lb, ListenerId: "lbl-00000000" };

type Limit = {
  readonly action: string;
  readonly of: string;
  readonly most: number;
  readonly request: (count: number) => object;
  /** Default: the load balancer does not exist. Ids are looked at after lengths, so a request at the limit gets that far. */
  readonly atLimit?: "OK";
};

/** How many of something one call may name. Source: clb-api.md §2.1, §2.2 and §2.3. */
const LIMITS: readonly Limit[] = [
  { action: "RegisterTargets", of: "targets", most: 20, request: (count) => ({ ...place, Targets: targets(count) }) },
  { action: "DeregisterTargets", of: "targets", most: 20, request: (count) => ({ ...place, Targets: targets(count) }) },
  { action: "BatchRegisterTargets", of: "targets", most: 500, request: (count) => ({ ...lb, Targets: batch(count) }) },
  { action: "BatchDeregisterTargets", of: "targets", most: 500, request: (count) => ({ ...lb, Targets: batch(count) }) },
  { action: "ModifyTargetWeight", of: "targets", most: 100, request: (count) => ({ ...place, Targets: targets(count), Weight: 1 }) },
  {
    action: "BatchModifyTargetWeight",
    of: "entries",
    most: 100,
    request: (count) => ({ ...lb, ModifyList: ids(count).map((ListenerId) => ({ ListenerId, Targets: targets(1) })) }),
  },
  {
    action: "BatchModifyTargetWeight",
    of: "targets in an entry",
    most: 50,
    request: (count) => ({ ...lb, ModifyList: [{ ListenerId: "lbl-none", Targets: targets(count) }] }),
  },
  {
    action: "BatchModifyTargetWeight",
    of: "targets in all",
    most: 500,
    request: (count) => ({
      ...lb,
      ModifyList: Array.from({ length: Math.ceil(count / 50) }, (_, index) => ({
        ListenerId: `lbl-${index}`,
        Targets: targets(Math.min(50, count - index * 50)),
      })),
    }),
  },
  {
    action: "CreateListener",
    of: "ports",
    most: 49,
    request: (count) => ({ ...lb, Protocol: "TCP", Ports: ids(count).map((_, index) => index + 1) }),
  },
  {
    action: "CreateRule",
    of: "rules",
    most: 20,
    request: (count) => ({ ...place, Rules: ids(count).map((id) => ({ Domain: "a.example", Url: `/${id}` })) }),
  },
  { action: "DeleteRule", of: "rules", most: 20, request: (count) => ({ ...place, LocationIds: ids(count) }) },
  { action: "DeleteLoadBalancerListeners", of: "listeners", most: 20, request: (count) => ({ ...lb, ListenerIds: ids(count) }) },
  { action: "DescribeListeners", of: "listeners", most: 100, request: (count) => ({ ...lb, ListenerIds: ids(count) }) },
  { action: "DescribeTargets", of: "listeners", most: 20, request: (count) => ({ ...lb, ListenerIds: ids(count) }) },
  { action: "DescribeTargetHealth", of: "load balancers", most: 30, request: (count) => ({ LoadBalancerIds: ids(count) }) },
  { action: "DeleteLoadBalancer", of: "load balancers", most: 20, request: (count) => ({ LoadBalancerIds: ids(count) }) },
  { action: "SetLoadBalancerSecurityGroups", of: "groups", most: 50, request: (count) => ({ ...lb, SecurityGroups: ids(count) }) },
  {
    action: "DescribeLoadBalancers",
    of: "load balancers",
    most: 20,
    request: (count) => ({ LoadBalancerIds: ids(count) }),
    atLimit: "OK",
  },
  {
    action: "DescribeLoadBalancers",
    of: "filters",
    most: 10,
    request: (count) => ({ Filters: ids(count).map((id) => ({ Name: `tag:${id}`, Values: ["x"] })) }),
    atLimit: "OK",
  },
  {
    action: "DescribeLoadBalancers",
    of: "values of a filter",
    most: 100,
    request: (count) => ({ Filters: [{ Name: "tag-key", Values: ids(count) }] }),
    atLimit: "OK",
  },
  {
    action: "DescribeLBListeners",
    of: "backends",
    most: 20,
    request: (count) => ({ Backends: ids(count).map((_, index) => ({ VpcId: "vpc-00000000", PrivateIp: address(index) })) }),
    atLimit: "OK",
  },
];

suite("per call", () => {
  for (const { action, of, most, request, atLimit } of LIMITS)
    contract(`${action} takes ${most} ${of} and refuses ${most + 1}`, async ({ sdk }) => {
      if (atLimit === "OK") await sdk.request(action, request(most));
      else await failsWith("InvalidParameter.LBIdNotFound", sdk.request(action, request(most)));
      await failsWith("InvalidParameterValue.Length", sdk.request(action, request(most + 1)));
    });
});

/** What a call must name at least one of. */
const NEEDS_ONE = [
  "RegisterTargets",
  "BatchRegisterTargets",
  "BatchModifyTargetWeight",
  "CreateListener",
  "CreateRule",
  "DeleteLoadBalancer",
];

suite("none at all", () => {
  for (const { action, request } of LIMITS.filter((limit) => NEEDS_ONE.includes(limit.action) && !limit.of.includes(" in ")))
    contract(`${action} refuses an empty list`, async ({ sdk }) => {
      await failsWith("InvalidParameterValue.Length", sdk.request(action, request(0)));
    });
});
