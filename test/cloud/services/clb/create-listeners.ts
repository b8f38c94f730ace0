import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  type HealthSettings,
  type ListenerRecord,
  type LoadBalancerRecord,
  PROTOCOLS,
  type Protocol,
  requireLoadBalancer,
  transportOf,
} from "../../model/account.ts";
import { badValue, CloudError, missing } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import { DEFAULT_CHECK } from "../../runtime/health.ts";
import { newId } from "../../runtime/random.ts";
import type { Reply } from "../table/action.ts";
import { chooseCertificate, requireOneWay } from "./certificates.ts";
import { completeCheck } from "./health-checks.ts";
import {
  applySettings,
  NO_EXTRAS,
  requireFitting,
  requireInSpecification,
  requireSessionWithScheduler,
  schedulerOf,
} from "./listener-settings.ts";
import type { ClbPorts, Writing } from "./ports.ts";

export type CreateListenerPorts = Writing<"addCertificates" | "addListeners"> & Pick<ClbPorts, "limits" | "random" | "clock">;

/** Ids are given at once, one listener per port; all appear when the task succeeds. */
export function createListeners(
  request: clb.CreateListenerRequest,
  call: CallContext,
  { writes, changes, limits, random, clock }: CreateListenerPorts,
): Reply<clb.CreateListenerResponse> {
  const { account } = call;
  const protocol = PROTOCOLS.find((one) => one === request.Protocol.toUpperCase());
  if (protocol === undefined) throw badValue(`\`Protocol\` must be one of ${PROTOCOLS.join(", ")}, got ${request.Protocol}`);
  const ports = requirePorts(request);
  requireFitting(request, protocol);
  requireSessionWithScheduler(request.SessionExpireTime ?? 0, schedulerOf(request.Scheduler) ?? "WRR", ["WRR"]);
  const check = checkOf(request.HealthCheck ?? {}, protocol, account.loadBalancers.get(request.LoadBalancerId) ?? { ipv6: undefined });
  const needsCertificate = protocol === "TCP_SSL" || protocol === "QUIC" || (protocol === "HTTPS" && (request.SniSwitch ?? 0) === 0);
  requireOneWay(request);
  if (needsCertificate && request.Certificate === undefined && request.MultiCertInfo === undefined)
    throw missing(`\`Certificate\` or \`MultiCertInfo\` of a ${protocol} listener${protocol === "HTTPS" ? " without SNI" : ""}`);
  const loadBalancer = requireLoadBalancer(account, request.LoadBalancerId);
  requireInSpecification(request, loadBalancer);
  const certificate = chooseCertificate(request, { account, random });
  writes.requireFree([loadBalancer]);
  requireFreePorts(loadBalancer, protocol, ports);
  requireRoom(loadBalancer, ports.length, limits.listenersPerLoadBalancer);
  const created = ports.map((listenPort, index): ListenerRecord => {
    const listener = newListener({ random, clock }, loadBalancer, protocol, listenPort, check);
    listener.name = request.ListenerNames?.[index] ?? listener.name;
    listener.certificate = certificate?.choice;
    applySettings(listener, request);
    return listener;
  });
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      changes.addCertificates(certificate?.uploads ?? []);
      return changes.addListeners(loadBalancer, created);
    },
  });
  return { ListenerIds: created.map(({ listenerId }) => listenerId) };
}

/** As the service makes it where nothing is wished for. */
export function newListener(
  { random, clock }: Pick<CreateListenerPorts, "random" | "clock">,
  loadBalancer: LoadBalancerRecord,
  protocol: Protocol,
  listenPort: number,
  check: HealthSettings,
): ListenerRecord {
  const listenerId = newId("lbl", random);
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
    createdMs: clock.now(),
    scheduler: "WRR",
    sessionExpireTime: 0,
    idleConnectTimeout: transportOf(protocol) === "UDP" ? 300 : 900,
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
export const checkOf = (given: clb.HealthCheck, protocol: Protocol, at: Pick<LoadBalancerRecord, "ipv6">): HealthSettings =>
  protocol === "HTTP" || protocol === "HTTPS" ? DEFAULT_CHECK : completeCheck(given, { protocol }, at);

function requirePorts(request: clb.CreateListenerRequest): readonly number[] {
  const ports = request.Ports.map(Number);
  if (new Set(ports).size < ports.length) throw new CloudError("InvalidParameterValue.Duplicate", "`Ports` names a port twice");
  const names = request.ListenerNames;
  if (names !== undefined && names.length !== ports.length)
    throw new CloudError("InvalidParameterValue.Length", `\`ListenerNames\` has ${names.length} names for ${ports.length} ports`);
  return ports;
}

function requireFreePorts(loadBalancer: LoadBalancerRecord, protocol: Protocol, ports: readonly number[]): void {
  const clash = [...loadBalancer.listeners.values()].find(
    (listener) => transportOf(listener.protocol) === transportOf(protocol) && ports.includes(listener.port),
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
