import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { addListeners, type CallContext, noteListener, removeListener, startTask } from "../core.ts";
import { badValue, CloudError, missing, unsupported } from "../errors.ts";
import { DEFAULT_CHECK } from "../health.ts";
import type { Limits } from "../options.ts";
import { newId } from "../random.ts";
import {
  type HealthSettings,
  isLayer7,
  type ListenerRecord,
  type LoadBalancerRecord,
  PROTOCOLS,
  type Protocol,
  requireListener,
  requireLoadBalancer,
} from "../state.ts";
import {
  type ActionTable,
  cloudTime,
  type NoReply,
  port,
  type Reply,
  read,
  requiredText,
  text,
  texts,
  type Whole,
  write,
} from "./action.ts";
import { addCertificates, chooseCertificate, requireOneWay, showCertificate } from "./certificates.ts";
import { completeCheck, showCheck } from "./health-checks.ts";
import {
  applySettings,
  creationSettings,
  type GivenSettings,
  listenerName,
  NO_EXTRAS,
  requireFitting,
  requireInSpecification,
  requireSessionWithScheduler,
  schedulerOf,
  settings,
} from "./listener-settings.ts";
import { showRule } from "./rules.ts";

/** Limits: clb-api.md §2.2. */
export const listenerActions = (limits: Limits): ActionTable => ({
  CreateListener: write<clb.CreateListenerRequest, clb.CreateListenerResponse>({
    fields: {
      LoadBalancerId: requiredText,
      Ports: { type: "array", required: true, min: 1, max: limits.createListenerPorts, of: { type: "integer", min: 1, max: 65_535 } },
      Protocol: { type: "string", required: true, oneOf: [...PROTOCOLS, "QUIC"] },
      ListenerNames: { type: "array", of: listenerName },
      Scheduler: { type: "string", oneOf: ["WRR", "LEAST_CONN"] },
      ...settings,
      ...creationSettings,
    },
    run: createListeners,
  }),

  ModifyListener: write<clb.ModifyListenerRequest, clb.ModifyListenerResponse>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      ListenerName: listenerName,
      Scheduler: { type: "string", oneOf: ["WRR", "LEAST_CONN", "IP_HASH"] },
      ...settings,
    },
    run: modifyListener,
  }),

  DeleteListener: write<clb.DeleteListenerRequest, clb.DeleteListenerResponse>({
    fields: { LoadBalancerId: requiredText, ListenerId: requiredText },
    run: (request, call) => {
      const loadBalancer = requireLoadBalancer(call.core.account, request.LoadBalancerId);
      deleteListeners(call, loadBalancer, [requireListener(loadBalancer, request.ListenerId)]);
      return {};
    },
  }),

  DeleteLoadBalancerListeners: write<clb.DeleteLoadBalancerListenersRequest, clb.DeleteLoadBalancerListenersResponse>({
    fields: { LoadBalancerId: requiredText, ListenerIds: texts(limits.deleteListeners) },
    run: (request, call) => {
      const loadBalancer = requireLoadBalancer(call.core.account, request.LoadBalancerId);
      const named = request.ListenerIds ?? [];
      const ids = named.length > 0 ? named : [...loadBalancer.listeners.keys()]; // none named: all of them
      const unknown = ids.filter((id) => !loadBalancer.listeners.has(id));
      if (unknown.length > 0) throw new CloudError("InvalidParameter", `some ListenerId ${unknown.join(",")} not found`);
      deleteListeners(
        call,
        loadBalancer,
        [...loadBalancer.listeners.values()].filter(({ listenerId }) => ids.includes(listenerId)),
      );
      return {};
    },
  }),

  DescribeListeners: read<clb.DescribeListenersRequest, clb.DescribeListenersResponse>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerIds: texts(limits.describeListeners),
      Protocol: text,
      Port: { ...port, required: false },
    },
    run: (request, { core }) => {
      const found = selectListeners(requireLoadBalancer(core.account, request.LoadBalancerId), request);
      return { TotalCount: found.length, Listeners: found.map(show) };
    },
  }),
});

/** The listeners that a Describe call means; ids that do not exist are left out. */
export function selectListeners(
  loadBalancer: LoadBalancerRecord,
  request: { readonly ListenerIds?: readonly string[]; readonly Protocol?: string; readonly Port?: number },
): ListenerRecord[] {
  const { ListenerIds: ids = [], Protocol: protocol, Port: only } = request;
  return [...loadBalancer.listeners.values()].filter(
    (listener) =>
      (ids.length === 0 || ids.includes(listener.listenerId)) &&
      (protocol === undefined || protocol === listener.protocol) &&
      (only === undefined || only === listener.port),
  );
}

function createListeners(request: clb.CreateListenerRequest, call: CallContext): Reply<clb.CreateListenerResponse> {
  const { core } = call;
  const protocol = PROTOCOLS.find((one) => one === request.Protocol);
  if (protocol === undefined) throw unsupported(`the emulated cloud has no ${request.Protocol} listeners, only ${PROTOCOLS.join(", ")}`);
  const ports = requirePorts(request);
  requireFitting(request, protocol);
  requireSessionWithScheduler(request.SessionExpireTime ?? 0, schedulerOf(request.Scheduler) ?? "WRR", ["WRR"]);
  const check = checkOf(request.HealthCheck ?? {}, protocol);
  const needsCertificate = protocol === "TCP_SSL" || (protocol === "HTTPS" && (request.SniSwitch ?? 0) === 0);
  requireOneWay(request);
  if (needsCertificate && request.Certificate === undefined && request.MultiCertInfo === undefined)
    throw missing(`\`Certificate\` or \`MultiCertInfo\` of a ${protocol} listener${protocol === "HTTPS" ? " without SNI" : ""}`);
  const loadBalancer = requireLoadBalancer(core.account, request.LoadBalancerId);
  requireInSpecification(request, loadBalancer);
  const certificate = chooseCertificate(core, request);
  core.tasks.requireFree([loadBalancer]);
  requireFreePorts(loadBalancer, protocol, ports);
  requireRoom(loadBalancer, ports.length, core.settings.limits.listenersPerLoadBalancer);
  const created = ports.map((listenPort, index): ListenerRecord => {
    const listener = newListener(call, loadBalancer, protocol, listenPort, check);
    listener.name = request.ListenerNames?.[index] ?? listener.name;
    listener.certificate = certificate?.choice;
    applySettings(listener, request);
    return listener;
  });
  startTask(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      addCertificates(core, certificate?.uploads ?? []);
      return addListeners(core, loadBalancer, created);
    },
  });
  return { ListenerIds: created.map(({ listenerId }) => listenerId) };
}

function newListener(
  { core }: CallContext,
  loadBalancer: LoadBalancerRecord,
  protocol: Protocol,
  listenPort: number,
  check: HealthSettings,
): ListenerRecord {
  const listenerId = newId("lbl", core.random);
  return {
    loadBalancerId: loadBalancer.id,
    listenerId,
    locationId: undefined,
    name: listenerId,
    protocol,
    port: listenPort,
    healthCheck: check,
    targets: new Map(),
    lastHealthyMs: 0,
    createdMs: core.clock.now(),
    scheduler: "WRR",
    sessionExpireTime: 0,
    idleConnectTimeout: protocol === "UDP" ? 300 : 900,
    deregisterTargetRst: false,
    certificate: undefined,
    proxyProtocol: false,
    keepalive: false,
    extras: NO_EXTRAS,
    sni: false,
    rules: new Map(),
    defaultDomain: undefined,
  };
}

/** On layer 7 each rule has a check of its own. */
const checkOf = (given: clb.HealthCheck, protocol: Protocol): HealthSettings =>
  protocol === "HTTP" || protocol === "HTTPS" ? DEFAULT_CHECK : completeCheck(given, { protocol });

function requirePorts(request: clb.CreateListenerRequest): readonly number[] {
  const ports = request.Ports.map(Number);
  if (new Set(ports).size < ports.length) throw new CloudError("InvalidParameterValue.Duplicate", "`Ports` names a port twice");
  const names = request.ListenerNames;
  if (names !== undefined && names.length !== ports.length)
    throw new CloudError("InvalidParameterValue.Length", `\`ListenerNames\` has ${names.length} names for ${ports.length} ports`);
  return ports;
}

/** UDP has ports of its own, the others share theirs. */
function requireFreePorts(loadBalancer: LoadBalancerRecord, protocol: Protocol, ports: readonly number[]): void {
  const clash = [...loadBalancer.listeners.values()].find(
    (listener) => (listener.protocol === "UDP") === (protocol === "UDP") && ports.includes(listener.port),
  );
  if (clash !== undefined)
    throw new CloudError(
      "InvalidParameter.PortCheckFailed",
      `port ${clash.port}/${clash.protocol} is already used by listener ${clash.listenerId}`,
    );
}

function requireRoom({ id, listeners }: LoadBalancerRecord, more: number, limit: number): void {
  if (listeners.size + more > limit)
    throw new CloudError("LimitExceeded", `listeners of ${id}: ${listeners.size} exist, ${more} more would exceed the quota of ${limit}`);
}

function modifyListener(request: clb.ModifyListenerRequest, call: CallContext): NoReply {
  const { core } = call;
  requireOneWay(request);
  const loadBalancer = requireLoadBalancer(core.account, request.LoadBalancerId);
  const listener = requireListener(loadBalancer, request.ListenerId);
  const given: GivenSettings = request;
  requireFitting(given, listener.protocol);
  requireInSpecification(given, loadBalancer);
  const scheduler = schedulerOf(given.Scheduler) ?? listener.scheduler;
  requireSessionWithScheduler(given.SessionExpireTime ?? listener.sessionExpireTime, scheduler, ["WRR"]);
  if (listener.sni && given.SniSwitch !== undefined && given.SniSwitch === 0)
    throw badValue(`SNI of ${listener.listenerId} is on and cannot be switched off`);
  const check = checkOf({ ...listener.healthCheck, ...request.HealthCheck }, listener.protocol);
  const certificate = chooseCertificate(core, request);
  core.tasks.requireFree([loadBalancer]);
  startTask(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      const before = listener.healthCheck;
      addCertificates(core, certificate?.uploads ?? []);
      listener.name = request.ListenerName ?? listener.name;
      listener.certificate = certificate?.choice ?? listener.certificate;
      applySettings(listener, given);
      listener.healthCheck = check;
      noteListener(core, listener, "modified");
      core.health.reconfigure(listener, before);
    },
  });
  return {};
}

function deleteListeners(call: CallContext, loadBalancer: LoadBalancerRecord, listeners: readonly ListenerRecord[]): void {
  call.core.tasks.requireFree([loadBalancer]);
  startTask(call, {
    loadBalancers: [loadBalancer],
    apply: async () => {
      for (const listener of listeners) await removeListener(call.core, loadBalancer, listener);
    },
  });
}

function show(listener: ListenerRecord): Whole<clb.Listener> {
  const { extras, protocol } = listener;
  const layer7 = isLayer7(protocol);
  return {
    ListenerId: listener.listenerId,
    ListenerName: listener.name,
    Protocol: protocol,
    Port: listener.port,
    EndPort: 0,
    HealthCheck: layer7 ? null : showCheck(listener.healthCheck),
    Certificate: showCertificate(listener.certificate),
    Scheduler: layer7 ? null : listener.scheduler,
    SessionExpireTime: layer7 ? null : listener.sessionExpireTime,
    SniSwitch: listener.sni ? 1 : 0,
    Rules: layer7 ? [...listener.rules.values()].map((rule) => showRule(listener, rule)) : null,
    TargetType: layer7 ? null : "NODE",
    TargetGroup: null,
    SessionType: extras.sessionType,
    KeepaliveEnable: listener.keepalive ? 1 : 0,
    Toa: false,
    DeregisterTargetRst: listener.deregisterTargetRst,
    IdleConnectTimeout: protocol === "TCP" || protocol === "UDP" ? listener.idleConnectTimeout : null,
    MaxConn: extras.maxConn,
    MaxCps: extras.maxCps,
    CreateTime: cloudTime(listener.createdMs),
    AttrFlags: [],
    TargetGroupList: null,
    RescheduleInterval: extras.rescheduleInterval,
    RescheduleStartTime: extras.rescheduleStartTime,
    DataCompressMode: extras.dataCompressMode,
  };
}
