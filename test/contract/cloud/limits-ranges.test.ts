import { suite } from "node:test";
import { contract } from "./contract.ts";
import { failsWith } from "./fixture.ts";

const lb = { LoadBalancerId: "lb-00000000" };
const place = { ...lb, ListenerId: "lbl-00000000" };
const listener = { ...lb, Ports: [80], Protocol: "TCP" };
const letters = (count: number): string => "a".repeat(count);

type Range = {
  readonly action: string;
  readonly of: string;
  /** The ends of the range, both inside. */
  readonly inside: readonly unknown[];
  /** One beyond each end. */
  readonly outside: readonly unknown[];
  readonly request: (value: unknown) => object;
  /** Default: the load balancer does not exist. Ids are looked at after ranges. */
  readonly atLimit?: "OK";
  /** Default: InvalidParameterValue.Range. */
  readonly refusal?: "InvalidParameterValue.Length";
};

/** A field of a health check of a TCP listener. */
const check = (of: string, first: number, last: number, more: object = {}): Range => ({
  action: "CreateListener",
  of: `HealthCheck.${of}`,
  inside: [first, last],
  outside: [first - 1, last + 1],
  request: (value) => ({ ...listener, HealthCheck: { ...more, [of]: value } }),
});

/** A text of up to so many characters. */
const length = (action: string, of: string, most: number, request: Range["request"], textOf = letters): Range => ({
  action,
  of,
  inside: [textOf(1), textOf(most)],
  outside: ["", textOf(most + 1)],
  request,
  refusal: "InvalidParameterValue.Length",
});

const rule = (more: object): object => ({ ...place, Rules: [{ Domain: "a.example", Url: "/", ...more }] });
const httpCheck = { CheckType: "HTTP", HttpVersion: "HTTP/1.1", HttpCheckDomain: "a.example" };
const path = (count: number): string => (count === 0 ? "" : `/${letters(count - 1)}`);

/** Source: clb-api.md §2.1, §2.2, §2.3 and §4.3. */
const RANGES: readonly Range[] = [
  {
    action: "CreateListener",
    of: "Ports",
    inside: [1, 65_535],
    outside: [0, 65_536],
    request: (value) => ({ ...lb, Protocol: "TCP", Ports: [value] }),
  },
  {
    action: "CreateListener",
    of: "SessionExpireTime",
    inside: [0, 30, 3600],
    outside: [29, 3601, -1],
    request: (value) => ({ ...listener, SessionExpireTime: value }),
  },
  {
    action: "CreateListener",
    of: "IdleConnectTimeout",
    inside: [10, 900],
    outside: [9, 1981],
    request: (value) => ({ ...listener, IdleConnectTimeout: value }),
  },
  {
    action: "CreateListener",
    of: "RescheduleStartTime",
    inside: [0, 3600],
    outside: [-1, 3601],
    request: (value) => ({ ...listener, RescheduleStartTime: value }),
  },
  {
    action: "CreateListener",
    of: "RescheduleInterval",
    inside: [0, 3600],
    outside: [-1, 3601],
    request: (value) => ({ ...listener, RescheduleInterval: value }),
  },
  length("CreateListener", "ListenerNames", 80, (value) => ({ ...listener, ListenerNames: [value] })),
  length("ModifyListener", "ListenerName", 80, (value) => ({ ...place, ListenerName: value })),
  check("TimeOut", 2, 60, { IntervalTime: 300 }),
  check("IntervalTime", 2, 300),
  check("HealthNum", 2, 10),
  check("UnHealthNum", 2, 10),
  check("HttpCode", 1, 31, httpCheck),
  check("CheckPort", -1, 65_535),
  {
    action: "CreateListener",
    of: "HealthCheck.SendContext",
    inside: ["", letters(500)],
    outside: [letters(501)],
    request: (SendContext) => ({
      ...listener,
      HealthCheck: { CheckType: "CUSTOM", ContextType: "TEXT", SendContext, RecvContext: "" },
    }),
    refusal: "InvalidParameterValue.Length",
  },
  {
    action: "CreateListener",
    of: "HealthCheck.CheckPort",
    inside: [1],
    outside: [0],
    request: (CheckPort) => ({ ...listener, HealthCheck: { CheckPort } }),
  },
  {
    ...length(
      "CreateListener",
      "HealthCheck.HttpCheckPath",
      200,
      (value) => ({ ...listener, HealthCheck: { ...httpCheck, HttpCheckPath: value } }),
      path,
    ),
    outside: [path(201)], // "" is none, as other clients send it
  },
  {
    ...length("CreateListener", "HealthCheck.HttpCheckDomain", 80, (value) => ({
      ...listener,
      HealthCheck: { ...httpCheck, HttpCheckDomain: value },
    })),
    outside: [letters(81)],
  },
  {
    action: "CreateRule",
    of: "SessionExpireTime",
    inside: [0, 30, 86_400],
    outside: [29, 86_401],
    request: (value) => rule({ SessionExpireTime: value }),
  },
  length("CreateRule", "Domain", 80, (value) => rule({ Domain: value })),
  length("CreateRule", "Url", 200, (value) => rule({ Url: value }), path),
  length("ModifyDomainAttributes", "NewDomain", 80, (value) => ({ ...place, Domain: "a.example", NewDomain: value })),
  length("ModifyDomain", "NewDomain", 120, (value) => ({ ...place, Domain: "a.example", NewDomain: value })),
  {
    action: "RegisterTargets",
    of: "Weight",
    inside: [0, 100],
    outside: [-1, 101],
    request: (Weight) => ({ ...place, Targets: [{ EniIp: "10.244.0.1", Port: 80, Weight }] }),
  },
  {
    action: "ModifyTargetWeight",
    of: "Weight",
    inside: [0, 100],
    outside: [-1, 101],
    request: (Weight) => ({ ...place, Targets: [{ EniIp: "10.244.0.1", Port: 80 }], Weight }),
  },
  {
    action: "BatchRegisterTargets",
    of: "Port",
    inside: [1, 65_535],
    outside: [0, 65_536],
    request: (Port) => ({ ...lb, Targets: [{ ListenerId: "lbl-none", EniIp: "10.244.0.1", Port }] }),
  },
  length("ModifyLoadBalancerAttributes", "LoadBalancerName", 80, (value) => ({ ...lb, LoadBalancerName: value })),
  {
    action: "ModifyLoadBalancerAttributes",
    of: "InternetMaxBandwidthOut",
    inside: [1, 61_440],
    outside: [0, 61_441],
    request: (InternetMaxBandwidthOut) => ({ ...lb, InternetChargeInfo: { InternetMaxBandwidthOut } }),
  },
  {
    action: "DescribeLoadBalancers",
    of: "Limit",
    inside: [1, 100],
    outside: [0, 101],
    request: (Limit) => ({ Limit }),
    atLimit: "OK",
  },
  { action: "DescribeLoadBalancers", of: "Offset", inside: [0], outside: [-1], request: (Offset) => ({ Offset }), atLimit: "OK" },
];

suite("ranges and lengths", () => {
  for (const { action, of, inside, outside, request, atLimit, refusal = "InvalidParameterValue.Range" } of RANGES)
    contract(`${action} keeps ${of} in its range, both ends of it included`, async ({ sdk }) => {
      for (const value of inside)
        if (atLimit === "OK") await sdk.request(action, request(value));
        else await failsWith("InvalidParameter.LBIdNotFound", sdk.request(action, request(value)));
      for (const value of outside) await failsWith(refusal, sdk.request(action, request(value)));
    });
});
