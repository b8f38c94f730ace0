import { BlockList, isIPv4 } from "node:net";
import { type Clock, makeClock } from "../../../common/clock.ts";
import { isVirtual } from "../../virtual-clock.ts";
import type { CertificateRecord } from "../model/account.ts";
import { emptyNetwork, type Network } from "../model/network.ts";
import type { Probe } from "./probe.ts";

/** How long things take, in ms of the injected clock. Source of the two profiles below: clb-api.md §7.5. */
export type Profile = {
  /** Time of one API call before it is decided; `jitterPct` spreads it evenly by so many per cent to both sides. */
  readonly apiLatencyMs: {
    readonly default: number;
    readonly write: number;
    readonly jitterPct: number;
    readonly byAction?: Readonly<Record<string, number>>;
  };
  /** Time of one task: `base + perRuleOnLb × L7 rules of the CLB + perTarget × targets of the call`. */
  readonly taskMs: { readonly base: number; readonly perRuleOnLb: number; readonly perTarget: number };
  /** `sync`: the call returns when its task is over; the lock is kept for `busyAfterReturnMs` more. */
  readonly batchTargets: { readonly mode: "sync" | "async"; readonly busyAfterReturnMs: number };
  readonly createLoadBalancerMs: number;
};

/** `tke2020` makes runs comparable with the published tables of that year; `fast` is a plausible service of today. */
export const PROFILES: { readonly tke2020: Profile; readonly fast: Profile } = {
  tke2020: {
    apiLatencyMs: { default: 98, write: 98, jitterPct: 10, byAction: { DescribeTargets: 61 } },
    taskMs: { base: 3680, perRuleOnLb: 5, perTarget: 0 },
    batchTargets: { mode: "sync", busyAfterReturnMs: 0 },
    createLoadBalancerMs: 10_000,
  },
  fast: {
    apiLatencyMs: { default: 30, write: 50, jitterPct: 20 },
    taskMs: { base: 400, perRuleOnLb: 0.5, perTarget: 1 },
    batchTargets: { mode: "sync", busyAfterReturnMs: 500 },
    createLoadBalancerMs: 2000,
  },
};

/** Limits per call, per second and per account. Source: clb-api.md §0, §2.1 to §2.5. */
export type Limits = typeof LIMITS;

export const LIMITS = {
  clbPerSecond: 20,
  tagPerSecond: 20,
  vpcPerSecond: 100,
  cvmPerSecond: 40,
  stsPerSecond: 20,
  sslPerSecond: 20,
  registerTargets: 20,
  deregisterTargets: 20,
  batchRegisterTargets: 500,
  batchDeregisterTargets: 500,
  /** Not documented for ModifyTargetWeight; the value that public controllers send in its batch variant. */
  modifyTargetWeight: 100,
  batchModifyList: 100,
  batchModifyPerItem: 50,
  batchModifyTotal: 500,
  createListenerPorts: 49,
  /** Not documented, nor is that of DeleteRule; the batch of public controllers. */
  createRules: 20,
  deleteRules: 20,
  deleteListeners: 20,
  describeListeners: 100,
  describeTargets: 20,
  describeHealth: 30,
  /** Not documented. */
  describeLbListeners: 20,
  describeLoadBalancers: 20,
  deleteLoadBalancers: 20,
  tagsPerLoadBalancer: 20,
  listenersPerLoadBalancer: 50,
  rulesPerListener: 50,
  targetsPerPlace: 200,
  openLoadBalancers: 100,
  internalLoadBalancers: 100,
  snatIps: 10,
  /** What the API page allows in one call, and what the account may have. */
  setSecurityGroups: 50,
  securityGroupsPerLoadBalancer: 5,
  /** Backends from which on DeleteLoadBalancer wants ForceDelete. */
  deleteGuardTargets: 20,
  /** Load balancers deleted in five minutes from which on DeleteLoadBalancer has to wait. */
  deleteGuardCount: 30,
};

/**
 * An accepted key. With `token` it is a temporary one, which ends at `expiresMs` (ms since the epoch, wall time); `account` is what the
 * rate limit and the journal go by.
 */
export type ApiKey = {
  readonly secretId: string;
  readonly secretKey: string;
  readonly token?: string;
  readonly account?: string;
  readonly expiresMs?: number;
};

/** What clients use unless TENCENTCLOUD_SECRET_ID / TENCENTCLOUD_SECRET_KEY say otherwise. Worth nothing anywhere else. */
export const TEST_KEY: ApiKey = { secretId: "AKIDCLBDIRECTTEST00000000000000000000", secretKey: "CLBDIRECTTESTKEY0000000000000000" };

/** Everything about a cloud that can be chosen; each has a default. */
export type CloudOptions = {
  readonly clock?: Clock;
  /** Same seed, same jitter and same first probes. */
  readonly seed?: number;
  readonly profile?: keyof typeof PROFILES | Profile;
  readonly limits?: Partial<Limits>;
  readonly region?: string;
  /** Addresses of load balancers, e.g. "198.18.0.0/16"; without a network namespace "127.198.0.0/16". */
  readonly vipCidr?: string;
  /** Default: {@link TEST_KEY}. */
  readonly keys?: readonly ApiKey[];
  /** The time that signatures and temporary keys go by, whatever the clock does; default Date.now. */
  readonly wallMs?: () => number;
  /** VPCs, nodes, ENIs and security groups. If it has ENIs, only their addresses may be bound. */
  readonly network?: Network;
  /** Uploaded before, for HTTPS and TCP_SSL listeners to name. */
  readonly certificates?: readonly CertificateRecord[];
  /** Addresses that may be bound where nobody described ENIs; others fail as an IP that is no attached ENI does. */
  readonly backendCidrs?: readonly string[];
  /** `false`: listeners open no port (a virtual run, or only the API is wanted). */
  readonly dataPlane?: boolean;
  /** `probe` asks the backends; `scripted` leaves every target as `setHealth` put it, Unknown before. */
  readonly health?: "probe" | "scripted";
  /** Stands in for the network in `health: "probe"`; states and thresholds stay the real ones. */
  readonly probe?: Probe;
  /** Assumed (clb-api.md §9): whether the good targets of a listener in FailListenerIdSet are bound. */
  readonly keepGoodTargetsOfFailedListener?: boolean;
  /** Assumed: whether a task that fails has made its change all the same. */
  readonly failedTaskApplies?: boolean;
  /** Assumed (clb-api.md §9): whether registering a bound target again changes its weight. */
  readonly reregisterUpdatesWeight?: boolean;
  /** How references that a security group rule does not use come back (clb-api.md §6.3). */
  readonly unusedReferences?: "absent" | "empty" | "null";
  /** `LocationId` of a layer-4 listener in DescribeTargetHealth (clb-api.md §4.1): an id as published, "", or left out as in a sister service. */
  readonly layer4LocationId?: "id" | "empty" | "absent";
  /** How DescribeTargetHealth tells a target (clb-api.md §4.1): every field of the model, or as in older examples and clients. */
  readonly healthFields?: "model" | "example" | "deprecated" | "boolean";
  /** `HttpCheckMethod` in answers (clb-api.md §4.3): in lower case as published, or as it was sent. */
  readonly checkMethod?: "lower" | "as sent";
  /** A load balancer whose order still runs (clb-api.md §2.1): shown with `Status` 0 and without an address, or not at all. */
  readonly underCreation?: "shown" | "hidden";
  /** Whether DescribeTaskStatus knows the RequestId of a batch call (clb-api.md §3.3). */
  readonly batchTasks?: "known" | "unknown";
  /** What DescribeTaskStatus names for writes other than an order of load balancers (clb-api.md §3.1). */
  readonly taskLoadBalancerIds?: "filled" | "null";
  /** Code of a write that meets the lock (clb-api.md §1.6). */
  readonly lockedCode?: "FailedOperation.ResourceInOperating" | "InternalError";
  /** How long the data plane waits for a backend to accept; real ms. */
  readonly connectTimeoutMs?: number;
  /** Whether backends get traffic when all of a place are dead (clb-api.md §4.2); `false` shows what depends on that. */
  readonly allDeadAllAlive?: boolean;
  readonly journalSize?: number;
};

/** How the CLB answers where the evidence has two sides. */
export type ClbAnswers = ReturnType<typeof settingsOf>["answers"];

/** The options with every default filled in; throws a RangeError that names the option if a value cannot work. */
export function settingsOf(options: CloudOptions) {
  const { profile = "fast", clock = makeClock() } = options;
  return {
    clock,
    timeScale: scaleOf(clock),
    seed: options.seed ?? 1,
    profile: typeof profile === "string" ? PROFILES[profile] : profile,
    limits: { ...LIMITS, ...options.limits },
    region: options.region ?? "ap-guangzhou",
    vips: parseCidr("vipCidr", options.vipCidr ?? "198.18.0.0/16"),
    backends: blockListOf(options.backendCidrs ?? ["10.244.0.0/16", "127.0.0.0/8"]),
    ...withoutSockets(options),
    network: options.network ?? emptyNetwork(),
    certificates: options.certificates ?? [],
    keys: options.keys ?? [TEST_KEY],
    keepGoodTargetsOfFailedListener: options.keepGoodTargetsOfFailedListener ?? false,
    failedTaskApplies: options.failedTaskApplies ?? false,
    reregisterUpdatesWeight: options.reregisterUpdatesWeight ?? false,
    unusedReferences: options.unusedReferences ?? "absent",
    answers: {
      layer4LocationId: options.layer4LocationId ?? "id",
      healthFields: options.healthFields ?? "model",
      checkMethod: options.checkMethod ?? "lower",
      underCreation: options.underCreation ?? "shown",
      batchTasks: options.batchTasks ?? "known",
      taskLoadBalancerIds: options.taskLoadBalancerIds ?? "filled",
    },
    lockedCode: options.lockedCode ?? "FailedOperation.ResourceInOperating",
    wallMs: options.wallMs ?? Date.now,
    connectTimeoutMs: options.connectTimeoutMs ?? 5000,
    allDeadAllAlive: options.allDeadAllAlive ?? true,
    journalSize: options.journalSize ?? 200_000,
  } as const;
}

/** How many times as fast as real time it runs. */
const scaleOf = (clock: Clock): number | "virtual" =>
  isVirtual(clock) ? "virtual" : "scale" in clock && typeof clock.scale === "number" ? clock.scale : 1;

/** Data plane and probes, which a virtual run has not: sockets live in real time. Throws a RangeError where one is asked for nevertheless. */
function withoutSockets({ clock, dataPlane, health, probe }: CloudOptions) {
  const virtual = isVirtual(clock);
  if (virtual && dataPlane === true)
    throw new RangeError(
      "dataPlane: true does not go with a virtual clock, sockets live in real time; leave it out, or use makeClock(scale)",
    );
  if (virtual && health === "probe" && probe === undefined)
    throw new RangeError(
      'health: "probe" needs a probe without network in a virtual run; give probe: alwaysHealthy, or health: "scripted"',
    );
  return { dataPlane: dataPlane ?? !virtual, health: health ?? (virtual && probe === undefined ? "scripted" : "probe") } as const;
}

/** E.g. "198.18.0.0/16" -> { address: "198.18.0.0", prefix: 16 }. */
function parseCidr(option: string, cidr: string): { readonly address: string; readonly prefix: number } {
  const [address = "", prefix = ""] = cidr.split("/");
  if (!isIPv4(address) || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 30)
    throw new RangeError(
      `${option}: "${cidr}" is not an IPv4 range; write it as address/prefix with a prefix of at most 30, e.g. 198.18.0.0/16`,
    );
  return { address, prefix: Number(prefix) };
}

function blockListOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const { address, prefix } = parseCidr("backendCidrs", cidr);
    list.addSubnet(address, prefix, "ipv4");
  }
  list.addSubnet("2001:db8::", 32, "ipv6"); // addresses for documentation: Pods of dual-stack clusters
  return list;
}
