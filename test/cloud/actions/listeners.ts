import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { addListeners, type CallContext, noteListener, removeListener, startTask } from "../core.ts";
import { CloudError } from "../errors.ts";
import { DEFAULT_CHECK } from "../health.ts";
import type { Limits } from "../options.ts";
import { newId } from "../random.ts";
import {
  type HealthSettings,
  type ListenerRecord,
  type LoadBalancerRecord,
  requireListener,
  requireLoadBalancer,
  SCHEDULERS,
  type Scheduler,
} from "../state.ts";
import { type ActionTable, type Answer, cloudTime, flag, integer, port, read, requiredText, text, texts, unused, write } from "./action.ts";

/** Ranges: clb-api.md §4.3. */
const healthCheck = {
  type: "object",
  fields: {
    HealthSwitch: { type: "integer", oneOf: [0, 1] },
    TimeOut: { type: "integer", min: 2, max: 60 },
    IntervalTime: { type: "integer", min: 2, max: 300 },
    HealthNum: { type: "integer", min: 2, max: 10 },
    UnHealthNum: { type: "integer", min: 2, max: 10 },
    HttpCode: { type: "integer", min: 1, max: 31 },
    HttpCheckPath: { type: "string", min: 1, max: 200 },
    HttpCheckDomain: { type: "string", min: 1, max: 80 },
    HttpCheckMethod: { type: "string", oneOf: ["HEAD", "GET"] },
    CheckPort: { type: "integer", min: -1, max: 65_535 },
    ContextType: { type: "string", oneOf: ["HEX", "TEXT"] },
    SendContext: { type: "string", max: 500 },
    RecvContext: { type: "string", max: 500 },
    CheckType: { type: "string", oneOf: ["TCP", "HTTP", "HTTPS", "GRPC", "PING", "CUSTOM"] },
    HttpVersion: { type: "string", oneOf: ["HTTP/1.0", "HTTP/1.1"] },
    SourceIpType: { type: "integer", oneOf: [0, 1] },
    ExtendedCode: text,
  },
} as const;

/** What CreateListener and ModifyListener have in common. */
const settings = {
  HealthCheck: healthCheck,
  SessionExpireTime: { type: "integer", min: 0, max: 3600 },
  Scheduler: { type: "string", oneOf: SCHEDULERS },
  SniSwitch: { type: "integer", oneOf: [0, 1] },
  TargetType: { type: "string", oneOf: ["NODE", "TARGETGROUP", "TARGETGROUP-V2"] },
  SessionType: { type: "string", oneOf: ["NORMAL", "QUIC_CID"] },
  DeregisterTargetRst: flag,
  IdleConnectTimeout: { type: "integer", min: 10, max: 1980 },
  Certificate: unused,
  MultiCertInfo: unused,
  KeepaliveEnable: integer,
  MaxConn: integer,
  MaxCps: integer,
  ProxyProtocol: flag,
  SnatEnable: flag,
  DataCompressMode: text,
  RescheduleTargetZeroWeight: flag,
  RescheduleUnhealthy: flag,
  RescheduleStartTime: { type: "integer", min: 0, max: 3600 },
  RescheduleInterval: { type: "integer", min: 0, max: 3600 },
  RescheduleExpandTarget: flag,
} as const;

/** Limits: clb-api.md §2.2. */
export const listenerActions = (limits: Limits): ActionTable => ({
  CreateListener: write<clb.CreateListenerRequest, clb.CreateListenerResponse>({
    fields: {
      LoadBalancerId: requiredText,
      Ports: { type: "array", required: true, min: 1, max: limits.createListenerPorts, of: { type: "integer", min: 1, max: 65_535 } },
      Protocol: { type: "string", required: true, oneOf: ["TCP", "UDP", "HTTP", "HTTPS", "TCP_SSL", "QUIC"] },
      ListenerNames: { type: "array", of: { type: "string", min: 1, max: 255 } },
      ...settings,
      EndPort: unused,
      FullEndPorts: unused,
      H2cSwitch: unused,
      SslCloseSwitch: unused,
    },
    run: createListeners,
  }),

  ModifyListener: write<clb.ModifyListenerRequest, clb.ModifyListenerResponse>({
    fields: { LoadBalancerId: requiredText, ListenerId: requiredText, ListenerName: { type: "string", min: 1, max: 255 }, ...settings },
    run: (request, call) => {
      const { core } = call;
      const loadBalancer = requireLoadBalancer(core.account, request.LoadBalancerId);
      const listener = requireListener(loadBalancer, request.ListenerId);
      const check = completeCheck({ ...listener.healthCheck, ...request.HealthCheck }, listener.protocol);
      core.tasks.requireFree([loadBalancer]);
      startTask(call, {
        loadBalancers: [loadBalancer],
        apply: () => {
          const before = listener.healthCheck;
          listener.name = request.ListenerName ?? listener.name;
          listener.scheduler = schedulerOf(request.Scheduler) ?? listener.scheduler;
          listener.sessionExpireTime = request.SessionExpireTime ?? listener.sessionExpireTime;
          listener.idleConnectTimeout = request.IdleConnectTimeout ?? listener.idleConnectTimeout;
          listener.deregisterTargetRst = request.DeregisterTargetRst ?? listener.deregisterTargetRst;
          listener.proxyProtocol = request.ProxyProtocol ?? listener.proxyProtocol;
          listener.keepalive = request.KeepaliveEnable === undefined ? listener.keepalive : Number(request.KeepaliveEnable) === 1;
          listener.healthCheck = check;
          noteListener(core, listener, "modified");
          core.health.reconfigure(listener, before);
        },
      });
      return {};
    },
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
      const ids = request.ListenerIds ?? [...loadBalancer.listeners.keys()]; // none named: all of them
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

const schedulerOf = (name: string | undefined): Scheduler | undefined => SCHEDULERS.find((one) => one === name);

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

function createListeners(request: clb.CreateListenerRequest, call: CallContext): Answer<clb.CreateListenerResponse> {
  const { core } = call;
  const { Protocol: protocol } = request;
  if (protocol !== "TCP" && protocol !== "UDP")
    throw new CloudError("UnsupportedOperation", `the emulated cloud has no ${protocol} listeners yet, only TCP and UDP`);
  const ports = request.Ports.map(Number);
  if (new Set(ports).size < ports.length) throw new CloudError("InvalidParameterValue.Duplicate", "`Ports` names a port twice");
  if (request.ListenerNames !== undefined && request.ListenerNames.length !== ports.length)
    throw new CloudError(
      "InvalidParameterValue.Length",
      `\`ListenerNames\` has ${request.ListenerNames.length} names for ${ports.length} ports`,
    );
  const session = request.SessionExpireTime ?? 0;
  if (session !== 0 && session < 30)
    throw new CloudError("InvalidParameterValue.Range", `\`SessionExpireTime\` must be 0 or from 30 to 3600, got ${session}`);
  const check = completeCheck(request.HealthCheck ?? {}, protocol);
  const loadBalancer = requireLoadBalancer(core.account, request.LoadBalancerId);
  core.tasks.requireFree([loadBalancer]);
  const existing = [...loadBalancer.listeners.values()];
  const clash = existing.find((listener) => (listener.protocol === "UDP") === (protocol === "UDP") && ports.includes(listener.port));
  if (clash !== undefined)
    throw new CloudError(
      "InvalidParameter.PortCheckFailed",
      `port ${clash.port}/${clash.protocol} is already used by listener ${clash.listenerId}`,
    );
  const limit = core.settings.limits.listenersPerLoadBalancer;
  if (existing.length + ports.length > limit)
    throw new CloudError(
      "LimitExceeded",
      `listeners of ${loadBalancer.id}: ${existing.length} exist, ${ports.length} more would exceed the quota of ${limit}`,
    );
  const created = ports.map((listenPort, index): ListenerRecord => {
    const listenerId = newId("lbl", core.random);
    return {
      loadBalancerId: loadBalancer.id,
      listenerId,
      locationId: undefined,
      name: request.ListenerNames?.[index] ?? listenerId,
      protocol,
      port: listenPort,
      healthCheck: check,
      targets: new Map(),
      lastHealthyMs: 0,
      createdMs: core.clock.now(),
      scheduler: schedulerOf(request.Scheduler) ?? "WRR",
      sessionExpireTime: session,
      idleConnectTimeout: request.IdleConnectTimeout ?? (protocol === "TCP" ? 900 : 300),
      deregisterTargetRst: request.DeregisterTargetRst ?? false,
      proxyProtocol: request.ProxyProtocol ?? false,
      keepalive: Number(request.KeepaliveEnable ?? 0) === 1,
      certificate: undefined,
      sni: false,
      rules: new Map(),
      defaultDomain: undefined,
    };
  });
  startTask(call, {
    loadBalancers: [loadBalancer],
    apply: () => addListeners(core, loadBalancer, created),
  });
  return { ListenerIds: created.map(({ listenerId }) => listenerId) };
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

/** Fills in the defaults and checks what concerns several fields. Throws InvalidParameterValue. */
function completeCheck(given: clb.HealthCheck, protocol: string): HealthSettings {
  const check: HealthSettings = { ...DEFAULT_CHECK, ...(protocol === "UDP" && { CheckType: "PING" }), ...given };
  // The model says "less than", yet the documented minimum (interval 2, timeout 2) needs "not above".
  if (check.TimeOut > check.IntervalTime)
    throw new CloudError(
      "InvalidParameterValue",
      `\`HealthCheck.TimeOut\` ${check.TimeOut} must not be above \`IntervalTime\` ${check.IntervalTime}`,
    );
  const types = protocol === "UDP" ? ["PING", "CUSTOM"] : ["TCP", "HTTP", "CUSTOM"];
  if (!types.includes(check.CheckType))
    throw new CloudError(
      "InvalidParameterValue",
      `\`HealthCheck.CheckType\` of a ${protocol} listener must be one of ${types.join(", ")}, got ${check.CheckType}`,
    );
  if (check.CheckType === "HTTP" && (check.HttpVersion === undefined || check.HttpCheckDomain === undefined))
    throw new CloudError(
      "InvalidParameterValue",
      "an HTTP check of a TCP listener needs `HealthCheck.HttpVersion` and `HealthCheck.HttpCheckDomain`",
    );
  return check;
}

function show(listener: ListenerRecord): Answer<clb.Listener> {
  return {
    ListenerId: listener.listenerId,
    ListenerName: listener.name,
    Protocol: listener.protocol,
    Port: listener.port,
    EndPort: 0,
    HealthCheck: { ...listener.healthCheck },
    Certificate: null,
    Scheduler: listener.scheduler,
    SessionExpireTime: listener.sessionExpireTime,
    SniSwitch: 0,
    Rules: null,
    TargetType: "NODE",
    TargetGroup: null,
    SessionType: "NORMAL",
    KeepaliveEnable: listener.keepalive ? 1 : 0,
    Toa: false,
    DeregisterTargetRst: listener.deregisterTargetRst,
    IdleConnectTimeout: listener.idleConnectTimeout,
    MaxConn: -1,
    MaxCps: -1,
    CreateTime: cloudTime(listener.createdMs),
    AttrFlags: [],
    TargetGroupList: null,
  };
}
