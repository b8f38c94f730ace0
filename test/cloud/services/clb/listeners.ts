import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  isLayer7,
  type ListenerRecord,
  type LoadBalancerRecord,
  PROTOCOLS,
  requireListener,
  requireLoadBalancer,
} from "../../model/account.ts";
import { badValue, CloudError } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { ClbAnswers, Limits } from "../../runtime/options.ts";
import { type ActionTable, cloudTime, type NoReply, port, read, requiredText, text, texts, type Whole, write } from "../table/action.ts";
import { chooseCertificate, requireOneWay, showCertificate } from "./certificates.ts";
import { type CreateListenerPorts, checkOf, createListeners } from "./create-listeners.ts";
import { showCheck } from "./health-checks.ts";
import {
  applySettings,
  creationSettings,
  type GivenSettings,
  listenerName,
  requireFitting,
  requireInSpecification,
  requireSessionWithScheduler,
  schedulerOf,
  settings,
} from "./listener-settings.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { showRule } from "./rules.ts";
import { requireUnredirected } from "./unredirected.ts";

type ModifyPorts = Writing<"addCertificates" | "noteListener"> & Pick<ClbPorts, "health" | "random">;
type DeletePorts = Writing<"removeListener">;

/** In lower case as well: published-differences.md, part B. */
const SPELLINGS = PROTOCOLS.flatMap((name) => [name, name.toLowerCase()]);

/** Limits: clb-api.md §2.2. */
export const listenerActions = (
  limits: Limits,
): ActionTable<CreateListenerPorts & ModifyPorts & DeletePorts & Pick<ClbPorts, "answers">> => ({
  CreateListener: write<clb.CreateListenerRequest, clb.CreateListenerResponse, CreateListenerPorts>({
    fields: {
      LoadBalancerId: requiredText,
      Ports: { type: "array", required: true, min: 1, max: limits.createListenerPorts, of: { type: "integer", min: 1, max: 65_535 } },
      Protocol: { type: "string", required: true, oneOf: SPELLINGS },
      ListenerNames: { type: "array", of: listenerName },
      Scheduler: { type: "string", oneOf: ["WRR", "LEAST_CONN"] },
      ...settings,
      ...creationSettings,
    },
    run: createListeners,
  }),

  ModifyListener: write<clb.ModifyListenerRequest, clb.ModifyListenerResponse, ModifyPorts>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      ListenerName: listenerName,
      Scheduler: { type: "string", oneOf: ["WRR", "LEAST_CONN", "IP_HASH"] },
      ...settings,
    },
    run: modifyListener,
  }),

  DeleteListener: write<clb.DeleteListenerRequest, clb.DeleteListenerResponse, DeletePorts>({
    fields: { LoadBalancerId: requiredText, ListenerId: requiredText },
    run: (request, call, ports) => {
      const loadBalancer = requireLoadBalancer(call.account, request.LoadBalancerId);
      deleteListeners(loadBalancer, [requireListener(loadBalancer, request.ListenerId)], call, ports);
      return {};
    },
  }),

  DeleteLoadBalancerListeners: write<clb.DeleteLoadBalancerListenersRequest, clb.DeleteLoadBalancerListenersResponse, DeletePorts>({
    fields: { LoadBalancerId: requiredText, ListenerIds: texts(limits.deleteListeners) },
    run: (request, call, ports) => {
      const loadBalancer = requireLoadBalancer(call.account, request.LoadBalancerId);
      const named = request.ListenerIds ?? [];
      const ids = named.length > 0 ? named : [...loadBalancer.listeners.keys()]; // none named: all of them
      const unknown = ids.filter((id) => !loadBalancer.listeners.has(id));
      if (unknown.length > 0) throw new CloudError("InvalidParameter", `some ListenerId ${unknown.join(",")} not found`);
      deleteListeners(
        loadBalancer,
        [...loadBalancer.listeners.values()].filter(({ listenerId }) => ids.includes(listenerId)),
        call,
        ports,
      );
      return {};
    },
  }),

  DescribeListeners: read<clb.DescribeListenersRequest, clb.DescribeListenersResponse, Pick<ClbPorts, "answers">>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerIds: texts(limits.describeListeners),
      Protocol: text,
      Port: { ...port, required: false },
    },
    run: (request, { account }, { answers }) => {
      const found = selectListeners(requireLoadBalancer(account, request.LoadBalancerId), request);
      return { TotalCount: found.length, Listeners: found.map((listener) => show(listener, answers)) };
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

function modifyListener(request: clb.ModifyListenerRequest, call: CallContext, ports: ModifyPorts): NoReply {
  const { account } = call;
  const { writes, changes, health, random } = ports;
  requireOneWay(request);
  const loadBalancer = requireLoadBalancer(account, request.LoadBalancerId);
  const listener = requireListener(loadBalancer, request.ListenerId);
  const given: GivenSettings = request;
  requireFitting(given, listener.protocol);
  requireInSpecification(given, loadBalancer);
  const scheduler = schedulerOf(given.Scheduler) ?? listener.scheduler;
  requireSessionWithScheduler(given.SessionExpireTime ?? listener.sessionExpireTime, scheduler, ["WRR"]);
  if (listener.sni && given.SniSwitch !== undefined && given.SniSwitch === 0)
    throw badValue(`SNI of ${listener.listenerId} is on and cannot be switched off`);
  const check = checkOf({ ...listener.healthCheck, ...request.HealthCheck }, listener.protocol, loadBalancer);
  const certificate = chooseCertificate(request, { account, random });
  writes.requireFree([loadBalancer]);
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      const before = listener.healthCheck;
      changes.addCertificates(certificate?.uploads ?? []);
      listener.name = request.ListenerName ?? listener.name;
      listener.certificate = certificate?.choice ?? listener.certificate;
      applySettings(listener, given);
      listener.healthCheck = check;
      changes.noteListener(listener);
      health.reconfigure(listener, before);
    },
  });
  return {};
}

function deleteListeners(
  loadBalancer: LoadBalancerRecord,
  listeners: readonly ListenerRecord[],
  call: CallContext,
  { writes, changes }: DeletePorts,
): void {
  requireUnredirected(
    loadBalancer,
    listeners.flatMap(({ rules }) => [...rules.values()]),
  );
  writes.requireFree([loadBalancer]);
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: async () => {
      for (const listener of listeners) await changes.removeListener(loadBalancer, listener);
    },
  });
}

function show(listener: ListenerRecord, answers: ClbAnswers): Whole<clb.Listener> {
  const { extras, protocol } = listener;
  const layer7 = isLayer7(protocol);
  return {
    ListenerId: listener.listenerId,
    ListenerName: listener.name,
    Protocol: protocol,
    Port: listener.port,
    EndPort: 0,
    HealthCheck: layer7 ? null : showCheck(listener.healthCheck, answers),
    Certificate: showCertificate(listener.certificate),
    Scheduler: layer7 ? null : listener.scheduler,
    SessionExpireTime: layer7 ? null : listener.sessionExpireTime,
    SniSwitch: listener.sni ? 1 : 0,
    Rules: layer7 ? [...listener.rules.values()].map((rule) => showRule(listener, rule, answers)) : null,
    TargetType: layer7 ? null : "NODE",
    TargetGroup: null,
    SessionType: extras.sessionType,
    KeepaliveEnable: layer7 ? Number(listener.keepalive) : null,
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
