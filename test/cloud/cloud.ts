import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { type Clock, makeClock } from "../../common/clock.ts";
import { isVirtual } from "../virtual-clock.ts";
import { type BackendCounts, type ConnectionRecord, makeDataPlane } from "./data-plane/data-plane.ts";
import { makeFaultEffects, SENT_AS, type SentAs } from "./faults/effects.ts";
import { type Faults, makeFaults } from "./faults/faults.ts";
import { makePastStates } from "./faults/past-states.ts";
import { type Journal, makeJournal } from "./journal/journal.ts";
import { type Account, type HealthStatus, type Place, placesOf, requireLoadBalancer, requirePlace, targetKey } from "./model/account.ts";
import { CloudError, TransportFault } from "./model/errors.ts";
import { emptyNetwork, type Network } from "./model/network.ts";
import type { AnyFields } from "./model/request-fields.ts";
import { type CloudState, stateOf } from "./model/view.ts";
import { makeVips } from "./model/vips.ts";
import { makeAccountChanges } from "./runtime/account-changes.ts";
import type { CallContext, Caller } from "./runtime/call.ts";
import { makeHealth } from "./runtime/health.ts";
import { type CloudOptions, type Settings, settingsOf, TEST_KEY } from "./runtime/options.ts";
import { makeNetworkProbe } from "./runtime/probe.ts";
import { makeRandom, type Random } from "./runtime/random.ts";
import { makeRateLimit } from "./runtime/rate-limit.ts";
import { makeTargetChanges } from "./runtime/target-changes.ts";
import { LockedError, makeTasks } from "./runtime/tasks.ts";
import { makeWrites } from "./runtime/writes.ts";
import { newLoadBalancer } from "./services/clb/new-load-balancer.ts";
import { makeServices } from "./services/index.ts";
import { type Keyring, makeKeyring } from "./services/sts/keyring.ts";

/** Numbers since the start. `refused` counts answers with an error, by code. */
export type Counts = {
  readonly calls: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  /** Writes that came while another one ran on the same load balancer; not those that only met the rest of its lock. */
  readonly overlaps: number;
  readonly runningTasks: number;
  readonly backends: readonly BackendCounts[];
};

export interface Cloud {
  /** One API call without HTTP and signature; `bytes` is the size of its body. Rejects with CloudError (has `code`) or TransportFault (has none). */
  call(
    service: string,
    action: string,
    request: unknown,
    caller?: Partial<Caller> & { readonly bytes?: number },
  ): Promise<Record<string, unknown> & SentAs>;
  /** Puts a call into journal and counts that was refused before it came here: wrong signature, unknown version. */
  noteRefused(action: string, caller: string, error: CloudError): void;
  /**
   * The service that has this action in this API version, or the one that the host name begins with ("clb"); undefined if it has not this
   * version.
   */
  serviceOf(version: string, action: string, named?: string): string | undefined;
  /** What a request of this action may hold; undefined if there is no such action. A GET request needs it to tell 1 from "1". */
  fieldsOf(service: string, action: string): AnyFields | undefined;
  /** A load balancer as a user made it before, at once and without a task. */
  addLoadBalancer(wanted?: {
    /** E.g. "lb-demo0001"; else made up, as the VIP. */
    id?: string;
    name?: string;
    type?: "OPEN" | "INTERNAL";
    tags?: Record<string, string>;
    vip?: string;
    vpcId?: string;
    subnetId?: string;
  }): { loadBalancerId: string; vip: string };
  /** Fixes a target's health, or lets the probes speak again (`undefined`). Throws if it is not bound. */
  setHealth(
    target: { loadBalancerId: string; listenerId: string; locationId?: string; ip: string; port: number },
    status: HealthStatus | undefined,
  ): void;
  /** The account's VPCs, nodes, ENIs and security groups; a test may change them. */
  readonly network: Network;
  readonly keyring: Keyring;
  readonly journal: Journal;
  readonly faults: Pick<Faults, "add" | "replace" | "clear" | "list">;
  state(): CloudState;
  /** Its clock: ms since the epoch, and how many times as fast as real time it runs. */
  time(): { readonly nowMs: number; readonly scale: number | "virtual" };
  counts(): Counts;
  /** Newest first: which backend served a client's port. */
  connectionsOf(client: { port: number; address?: string; listenerId?: string }): ConnectionRecord[];
  /** Ends probes, tasks, listeners and connections. */
  stop(): Promise<void>;
}

/** Of 100.64.0.0/10, where the service's probes come from. */
const PROBE_ADDRESS = "100.64.0.1";

/** A whole cloud in this process; the HTTP server is only a shell around it. */
export function makeCloud(options: CloudOptions = {}): Cloud {
  const settings = settingsOf(options);
  const clock = options.clock ?? makeClock();
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const journal = makeJournal(clock, settings.journalSize);
  const random = makeRandom(settings.seed);
  const probe = options.probe ?? makeNetworkProbe();
  const account: Account = {
    loadBalancers: new Map(),
    ordered: new Set(),
    deletionsMs: [],
    certificates: new Map((options.certificates ?? []).map((one) => [one.id, one])),
  };
  const { certificates } = account;
  /** The address of the load balancer, or one that the service keeps for its probes (clb-api.md §4.3). */
  const sourceOf = ({ loadBalancerId, healthCheck }: Place): string | undefined =>
    healthCheck.SourceIpType === 0 ? account.loadBalancers.get(loadBalancerId)?.vip : PROBE_ADDRESS;
  const network = options.network ?? emptyNetwork();
  const keyring = makeKeyring(options.keys ?? [TEST_KEY], settings.wallMs);
  const vips = makeVips(settings.vips);
  const tasks = makeTasks({ clock, journal, stopped: stopping.signal, failedTaskApplies: settings.failedTaskApplies });
  const health = makeHealth({ clock, journal, random, probe, sourceOf, mode: settings.health });
  const dataPlane = makeDataPlane({ ...settings, clock, journal, certificates });
  const { reregisterUpdatesWeight } = settings;
  const targets = makeTargetChanges({ journal, clock, health, dataPlane, reregisterUpdatesWeight });
  const changes = makeAccountChanges({ account, journal, vips, targets, dataPlane, opensPorts: settings.dataPlane });
  const writes = makeWrites({ tasks, profile: settings.profile });
  const { limits, region, backends, keepGoodTargetsOfFailedListener, unusedReferences } = settings;
  const services = makeServices(limits, {
    clb: {
      writes,
      changes,
      targets,
      tasks,
      health,
      network,
      backends,
      vips,
      clientTokens: new Map(),
      clock,
      random,
      limits,
      region,
      keepGoodTargetsOfFailedListener,
    },
    vpc: { network, unusedReferences },
    cvm: { network },
    tag: { changes, region },
    sts: { keyring, wallMs: settings.wallMs },
  });
  const past = makePastStates({ account, clock, journal });
  const faultRandom = makeRandom(settings.seed + 1); // a row of its own: faults change neither ids nor latencies
  const faults = makeFaults({ clock, random: faultRandom, journal, past });
  const faultsOf = makeFaultEffects({ account, clock, random: faultRandom, faults, past, stopped: stopping.signal });
  const calls = new Map<string, number>();
  const refused = new Map<string, number>();
  const call = makeCall({ clock, journal, random, settings, services, faultsOf, stopped: stopping.signal, calls, refused });

  return {
    call,
    noteRefused: (action, caller, error) => {
      count(calls, action);
      count(refused, error.code);
      const { code, message, requestId } = error;
      const startMs = Math.round(clock.now());
      journal.add({
        kind: "call",
        startMs,
        caller,
        service: "",
        action,
        isWrite: false,
        requestId,
        loadBalancerIds: [],
        targets: 0,
        bytes: 0,
        faults: [],
        code,
        message,
        lockWaitMs: 0,
      });
    },
    serviceOf: (version, action, named = "") => {
      const candidates = [...services].filter(([, service]) => service.version === version);
      if (services.has(named)) return candidates.find(([name]) => name === named)?.[0];
      return (candidates.find(([, service]) => Object.hasOwn(service.actions, action)) ?? candidates[0])?.[0];
    },
    fieldsOf: (service, action) => services.get(service)?.actions[action]?.fields,
    addLoadBalancer: ({ id, name, type = "OPEN", tags = {}, vip, vpcId, subnetId } = {}) => {
      if (id !== undefined && account.loadBalancers.has(id))
        throw new CloudError("InvalidParameterValue", `there is a load balancer ${id} already`);
      const made = newLoadBalancer(
        {
          LoadBalancerType: type,
          Tags: Object.entries(tags).map(([TagKey, TagValue]) => ({ TagKey, TagValue })),
          ...(name !== undefined && { LoadBalancerName: name }),
          ...(vip !== undefined && { Vip: vip }),
          ...(vpcId !== undefined && { VpcId: vpcId }),
          ...(subnetId !== undefined && { SubnetId: subnetId }),
        },
        account,
        { network, random, vips, clock },
      );
      const loadBalancer = { ...made, id: id ?? made.id };
      changes.addLoadBalancer(loadBalancer);
      return { loadBalancerId: loadBalancer.id, vip: loadBalancer.vip };
    },
    setHealth: ({ loadBalancerId, listenerId, locationId = "", ip, port }, status) => {
      const place = requirePlace(requireLoadBalancer(account, loadBalancerId), { ListenerId: listenerId, LocationId: locationId });
      const target = place.targets.get(targetKey(ip, port));
      if (target === undefined)
        throw new CloudError("InvalidParameterValue", `target ${ip}:${port} is not bound to ${listenerId} ${locationId}`);
      health.pin(place, target, status);
    },
    network,
    keyring,
    journal,
    faults,
    state: () => stateOf(account, { timeMs: clock.now(), overlaps: tasks.overlaps }),
    time: () => ({ nowMs: Math.round(clock.now()), scale: scaleOf(clock) }),
    counts: () => ({
      calls: Object.fromEntries(calls),
      refused: Object.fromEntries(refused),
      overlaps: tasks.overlaps,
      runningTasks: tasks.running,
      backends: dataPlane.counts(),
    }),
    connectionsOf: (client) => dataPlane.connectionsOf(client),
    stop: async () => {
      stopping.abort();
      for (const loadBalancer of account.loadBalancers.values())
        for (const place of [...loadBalancer.listeners.values()].flatMap(placesOf))
          for (const target of place.targets.values()) health.forget(place, target);
      await dataPlane.closeAll();
    },
  };
}

type CallDeps = {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly random: Random;
  readonly settings: Settings;
  readonly services: ReturnType<typeof makeServices>;
  readonly faultsOf: ReturnType<typeof makeFaultEffects>;
  readonly stopped: AbortSignal;
  readonly calls: Map<string, number>;
  readonly refused: Map<string, number>;
};

/** Order of the checks: clb-api.md §8.3 (the signature came before, in the HTTP shell). */
function makeCall(deps: CallDeps): Cloud["call"] {
  const { clock, journal, random, settings, services } = deps;
  const rateLimit = makeRateLimit();

  const answer = async (asked: Asked): Promise<object & SentAs> => {
    const { service, action, request, caller, requestId, loadBalancerIds } = asked;
    const offered = services.get(service);
    const row = offered !== undefined && Object.hasOwn(offered.actions, action) ? offered.actions[action] : undefined;
    asked.isWrite = row?.isWrite ?? false;
    rateLimit(`${service}.${action} ${caller.region} ${caller.name}`, offered?.perSecond ?? settings.limits.clbPerSecond, clock.now());
    const faults = deps.faultsOf({ service, action, caller: caller.name, isWrite: asked.isWrite, loadBalancerIds });
    asked.faults = faults.kinds;
    faults.cutOff();
    const latencyMs = latencyOf(action, asked.isWrite, settings.profile, random) + faults.delayMs;
    if (latencyMs > 0) await clock.sleep(latencyMs, deps.stopped); // even a sleep of 0 costs a timer
    faults.refuse();
    if (row === undefined) throw new CloudError("InvalidAction", `The action ${action} of ${service} is not known.`);
    row.check(request);
    const context: CallContext = { account: faults.account(), action, faults: faults.onWrite, requestId };
    return faults.answer(await row.run(request, context));
  };

  return async (service, action, given, caller = {}) => {
    const startMs = Math.round(clock.now());
    const requestId = randomUUID();
    const who: Caller = { name: caller.name ?? "in-process", region: caller.region ?? settings.region };
    const request = withoutNulls(given ?? {});
    const loadBalancerIds = loadBalancerIdsOf(request);
    const asked: Asked = { service, action, request, caller: who, requestId, loadBalancerIds, isWrite: false, faults: [] };
    let failure: unknown;
    let sentAs: SentAs[typeof SENT_AS];
    count(deps.calls, action);
    try {
      const response = { ...(await answer(asked)), RequestId: requestId };
      sentAs = response[SENT_AS];
      return response;
    } catch (error) {
      failure = error;
      if (error instanceof CloudError) error.requestId = requestId;
      throw error;
    } finally {
      const code = sentAs === "truncated" ? "TruncatedResponse" : codeOf(failure);
      if (code !== "OK") count(deps.refused, code);
      journal.add({
        kind: "call",
        startMs,
        caller: who.name,
        service,
        action,
        isWrite: asked.isWrite,
        requestId,
        code,
        loadBalancerIds,
        targets: targetsIn(request),
        bytes: caller.bytes ?? 0,
        ...(failure instanceof Error && { message: failure.message }),
        lockWaitMs: failure instanceof LockedError ? failure.lockWaitMs : 0,
        faults: asked.faults,
      });
    }
  };
}

/** One call; `isWrite` and `faults` are filled in on its way. */
type Asked = {
  readonly service: string;
  readonly action: string;
  readonly request: unknown;
  readonly caller: Caller;
  readonly requestId: string;
  readonly loadBalancerIds: readonly string[];
  isWrite: boolean;
  faults: readonly string[];
};

const scaleOf = (clock: Clock): number | "virtual" =>
  isVirtual(clock) ? "virtual" : "scale" in clock && typeof clock.scale === "number" ? clock.scale : 1;

const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);

function latencyOf(action: string, isWrite: boolean, profile: Settings["profile"], random: Random): number {
  const { byAction = {}, write, default: other, jitterPct } = profile.apiLatencyMs;
  const middle = byAction[action] ?? (isWrite ? write : other);
  return middle * (1 + ((random() * 2 - 1) * jitterPct) / 100);
}

function codeOf(failure: unknown): string {
  if (failure === undefined) return "OK";
  if (failure instanceof CloudError) return failure.code;
  return failure instanceof TransportFault ? failure.message : "InternalError";
}

function loadBalancerIdsOf(request: unknown): string[] {
  if (typeof request !== "object" || request === null) return [];
  const one = "LoadBalancerId" in request ? [request.LoadBalancerId] : [];
  const many = "LoadBalancerIds" in request && Array.isArray(request.LoadBalancerIds) ? request.LoadBalancerIds : [];
  return [...one, ...many].filter((id) => typeof id === "string");
}

function targetsIn(request: unknown): number {
  if (typeof request !== "object" || request === null) return 0;
  if ("Targets" in request && Array.isArray(request.Targets)) return request.Targets.length;
  if ("ModifyList" in request && Array.isArray(request.ModifyList))
    return request.ModifyList.reduce((sum: number, item) => sum + targetsIn(item), 0);
  return 0;
}

/** The service takes `null` for "not given". Most requests have none and are taken as they are. */
function withoutNulls(value: unknown): unknown {
  if (!hasNulls(value) || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutNulls);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null && item !== undefined)
      .map(([name, item]) => [name, withoutNulls(item)]),
  );
}

function hasNulls(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === null || value === undefined;
  for (const item of Object.values(value)) if (hasNulls(item)) return true;
  return false;
}
