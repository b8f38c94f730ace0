import type { LoadBalancerSettings } from "../load-balancer.ts";
import { type Problem, tkeCode } from "../problem.ts";
import type { EventReason, FaultReason } from "../reasons.ts";
import { INGRESS_KEYS, keysOf } from "./annotation-keys.ts";
import { configNameOf } from "./auto-config-name.ts";
import { defaultPorts, type ListenPort, listenPorts } from "./ingress-listen-ports.ts";
import { classNameOf } from "./ingress-ownership.ts";
import { type Line, linesOf, type Refused } from "./ingress-paths.ts";
import { type IngressRecord, ingressRef } from "./ingress-record.ts";
import { goodRedirects, isAutoRewrite, isGrouped, managesRedirects, redirectLines } from "./ingress-redirects.ts";
import { isListed, listedRules, unmatchedItems } from "./ingress-rule-lists.ts";
import { type Certificates, certificateOf, certificatesOf, hasTls } from "./ingress-tls.ts";
import { voidParts } from "./ingress-void.ts";
import type { CertificateSource, IntentBackend, IntentPort, IntentRule } from "./intent-port.ts";
import { judgeOwner } from "./judge-service.ts";
import { orderOf, settingsOf, voidKeys } from "./order.ts";
import { familyOf, isRetained, type ServiceIntent, type ServiceReading, type ServiceRecord, type UnservedPort } from "./service.ts";
import { readWeights, weighedInVain } from "./weights.ts";

/** What an Ingress refers to, as it is known now. */
export type IngressSources = {
  /** Of the Ingress' Namespace, by name. */
  readonly service: (name: string) => ServiceRecord | undefined;
  /** What was read of the Ingress last: a rule whose Service is missing keeps its backends. */
  readonly former?: ServiceIntent | undefined;
};

const KEYS = keysOf("Ingress");

/**
 * Reads an Ingress that is ours. What cannot be served of it is told, and the rest works; a fault that concerns all of it yields no intent:
 * the caller keeps the last good one.
 */
export function readIngress(ingress: IngressRecord, sources: IngressSources): ServiceReading {
  const object = ingressRef(ingress);
  const { annotations } = ingress;
  const at = `Ingress ${ingress.namespace}/${ingress.name}`;
  const warnings: Problem[] = [];
  const tell = (type: Problem["type"], reason: EventReason, message: string): void => void warnings.push({ object, type, reason, message });
  const unreadable = (reason: FaultReason, message: string): ServiceReading => {
    tell("Warning", reason, message);
    return { intent: undefined, fault: { reason, message }, warnings };
  };
  const judged = judgeOwner({ object, annotations });
  warnings.push(...judged.notes);
  for (const { reason, message } of judged.faults.slice(1)) tell("Warning", reason, message);
  const faults = [...judged.faults.slice(0, 1), ...contradictions(at, ingress)];
  const group = groupOf(ingress, sources.former);
  if (group !== isGrouped(ingress)) {
    const kept = group ? "it stays in the group" : "it stays out of the group, with listeners of its own";
    const message = `${at}: annotation ${INGRESS_KEYS.group} counts at creation only: ${kept}. Undo the edit, or create the Ingress anew`;
    tell("Warning", "LoadBalancerChangeRefused", message);
  }
  const [fault] = faults;
  if (fault !== undefined) return unreadable(fault.reason, fault.message);
  if (annotations[KEYS.directAccess] === "false") {
    const message = `${at}: annotation ${KEYS.directAccess} is "false", but there is no NodePort mode to go back to: its Pods stay bound; delete the Ingress or set it to "true"`;
    tell("Warning", "DirectAccessRemoved", message);
  }
  const { ports, refused, unserved } = portsOf(ingress, sources);
  for (const { code, message } of refused)
    tell("Warning", "RuleRefused", code === undefined ? `${at}: ${message}` : tkeCode(code, `${at}: ${message}`, "Ingress"));
  if (ports.length === 0) {
    const message = `${at}: nothing of it can be served: ${refused.length === 0 ? "it has no rules and no defaultBackend" : "its other Events say why"}. What it has stays`;
    return unreadable("NotServed", message);
  }
  const existing = annotations[KEYS.existing];
  for (const { key, because } of voidKeys(annotations, existing !== undefined, KEYS))
    tell("Normal", "NoEffect", `${at}: annotation ${key} has no effect: ${because}`);
  for (const { what, because } of voidParts(ingress, linesOf(ingress).lines))
    tell("Normal", "NoEffect", `${at}: ${what} has no effect: ${because}`);
  for (const message of weighedInVain(annotations[KEYS.weights], ports))
    tell("Normal", "NoEffect", `${at}: annotation ${KEYS.weights} ${message}`);
  const shares = group && { group };
  return { intent: { service: object, ...wishesOf(ingress), ...shares, selector: {}, ports, unserved }, warnings };
}

/** Whether it shares listeners with others is decided when it is made: rules cannot pass to another listener on the same port. */
const groupOf = (ingress: IngressRecord, former: ServiceIntent | undefined): boolean =>
  former === undefined ? isGrouped(ingress) : former.group === true;

/** What an Ingress asks of its load balancer, as annotations that have been judged say. */
function wishesOf(ingress: IngressRecord): Pick<ServiceIntent, "source" | "configName"> & Partial<ServiceIntent> {
  const { annotations } = ingress;
  const existing = annotations[KEYS.existing];
  const order = orderOf(annotations, KEYS);
  const settings: Partial<LoadBalancerSettings> | undefined = settingsOf(annotations, KEYS);
  const weights = annotations[KEYS.weights];
  return {
    source:
      existing === undefined
        ? { kind: "create", subnetId: annotations[KEYS.subnet], ...(order !== undefined && { order }) }
        : { kind: "existing", loadBalancerId: existing },
    className: classNameOf(ingress),
    configName: configNameOf("Ingress", ingress),
    ...(settings !== undefined && { settings }),
    ...(weights !== undefined && { weights: readWeights(weights) }),
    ...(isRetained(annotations, KEYS) && { retain: true }),
    ...familyOf(annotations[KEYS.mixTargetPrefer], order),
  };
}

type Fault = { readonly reason: FaultReason; readonly message: string };

/** Annotations that are good by themselves and not together. */
function contradictions(at: string, { annotations, tls }: IngressRecord): Fault[] {
  const isOn = (key: string): boolean => annotations[key] === "true";
  const found: Fault[] = [];
  const add = (message: string): void => void found.push({ reason: "InvalidAnnotation", message: `${at}: ${message}` });
  const { ruleMixBoth, ruleMix, rewriteSupport, autoRewrite, certificate, configAuto, group, existing } = INGRESS_KEYS;
  if (isOn(group) && annotations[existing] === undefined)
    add(`annotation ${group} needs ${existing}: a group shares a load balancer that you created, name it`);
  if (isOn(group) && isOn(configAuto))
    add(
      `annotations ${group} and ${configAuto} exclude each other, for the listeners of a group are shared: name a TkeServiceConfig of yours`,
    );
  if (isOn(autoRewrite) && annotations[rewriteSupport] === "false")
    add(`annotation ${autoRewrite} is "true" and ${rewriteSupport} "false": remove one of them`);
  for (const other of [ruleMix, rewriteSupport, autoRewrite])
    if (isOn(ruleMixBoth) && isOn(other)) add(`annotations ${ruleMixBoth} and ${other} exclude each other: remove one of them`);
  if (annotations[certificate] !== undefined && tls.length > 0)
    add(`annotation ${certificate} and spec.tls exclude each other: keep one of them`);
  return found;
}

type Listed = ReturnType<typeof listedRules>;

/**
 * Listeners with their rules; what of them cannot be served. `unserved`: listeners that lack a rule: nobody can tell in place of which one it
 * is to be, so none that is there goes meanwhile.
 */
function portsOf(
  ingress: IngressRecord,
  sources: IngressSources,
): { readonly ports: readonly IntentPort[]; readonly refused: Refused[]; readonly unserved: readonly UnservedPort[] } {
  const { annotations } = ingress;
  const { lines, refused: badLines } = linesOf(ingress);
  const isMixed = annotations[INGRESS_KEYS.ruleMix] === "true";
  const isBoth = annotations[INGRESS_KEYS.ruleMixBoth] === "true";
  const withTls = hasTls(ingress);
  const http: Listed = isMixed ? listedRules(annotations[INGRESS_KEYS.httpRules]) : [];
  const https: Listed = isMixed ? listedRules(annotations[INGRESS_KEYS.httpsRules]) : [];
  const isBothPorts = isMixed || isBoth || (withTls && isAutoRewrite(ingress));
  const listens = listenPorts(annotations[INGRESS_KEYS.listenPorts]) ?? defaultPorts(withTls, isBothPorts);
  const certificates = certificatesOf(ingress);
  const refused = [...badLines.map(staying), ...certificates.refused];
  const isHere = (line: Line, { protocol }: ListenPort): boolean => {
    if (!isMixed) return true;
    const onHttp = http.some((one) => isListed(line, one));
    // Official samples count on it: what is in neither list is served over HTTPS.
    return protocol === "HTTP" ? onHttp : https.some((one) => isListed(line, one)) || !onHttp;
  };
  const told = new Set<string>();
  const incomplete = new Set<ListenPort>(badLines.length > 0 ? listens : []);
  const isUnlisted = lines.some((line) => ![...http, ...https].some((one) => isListed(line, one)));
  for (const [protocol, key, list] of [
    ["HTTP", INGRESS_KEYS.httpRules, http],
    ["HTTPS", INGRESS_KEYS.httpsRules, https],
  ] as const)
    for (const { at } of unmatchedItems(list, lines, protocol)) {
      const message = `${at} of annotation ${key} is no rule of spec.rules, which has to have the same host, path, Service and port: correct one of them`;
      // It may mean a rule that no list has: then nobody can tell what is to be served here.
      refused.push(isUnlisted ? staying({ message }) : { message });
      if (isUnlisted) for (const listen of listens) if (listen.protocol === protocol) incomplete.add(listen);
    }
  const backendOf = (line: Line, listen: ListenPort): IntentBackend | undefined => {
    const found = findBackend(ingress, line, sources, listen);
    for (const fault of found.faults) if (!told.has(fault.message)) refused.push(fault);
    for (const { message } of found.faults) told.add(message);
    if (found.backend === undefined) incomplete.add(listen);
    return found.backend;
  };
  const linesAt = (listen: ListenPort): Line[] => lines.filter((line) => isHere(line, listen));
  const redirects = redirectLines({ ingress, lines, listens, linesAt });
  refused.push(...redirects.refused);
  const isManaged = managesRedirects(ingress);
  const all = listens.flatMap((listen): IntentPort[] => {
    const redirecting = redirects.at(listen);
    const taken = new Set(redirecting.map(({ host, url }) => `${host} ${url}`));
    const here = [...redirecting, ...linesAt(listen).filter(({ host, url }) => !taken.has(`${host} ${url}`))];
    const had = formerRules(sources.former, listen);
    const rules = rulesOf(here, listen, certificates, { backendOf, refused, had, isManaged, lacks: () => void incomplete.add(listen) });
    const catchAll = here.find(({ isDefault }) => isDefault === true)?.host;
    return rules.length === 0 ? [] : [{ ...listen, targetPort: 0, rules, ...(catchAll !== undefined && { defaultDomain: catchAll }) }];
  });
  const ports = goodRedirects(all, ({ protocol, port }, fault) => {
    refused.push(staying(fault));
    for (const listen of listens) if (listen.protocol === protocol && listen.port === port) incomplete.add(listen);
  });
  // A text as port of the Pods may be any port.
  const unserved = [...incomplete].map(({ protocol, port }): UnservedPort => ({ protocol, port, targetPort: "" }));
  return { ports, refused, unserved };
}

const STAYS = ". What is served in its place stays until that is mended";
const staying = (refused: Refused): Refused => ({ ...refused, message: `${refused.message}${STAYS}` });

/** The rules that a listener was asked for before. */
const formerRules = (former: ServiceIntent | undefined, { protocol, port }: ListenPort): readonly IntentRule[] =>
  former?.ports.find((one) => one.protocol === protocol && one.port === port)?.rules ?? [];

type Rest = {
  readonly backendOf: (line: Line, listen: ListenPort) => IntentBackend | undefined;
  readonly refused: Refused[];
  readonly had: readonly IntentRule[];
  /** Redirects that nobody asks for end. */
  readonly isManaged: boolean;
  /** Told that a rule is not made. */
  readonly lacks: () => void;
};

function rulesOf(
  lines: readonly Line[],
  listen: ListenPort,
  certificates: Certificates,
  { backendOf, refused, had, isManaged, lacks }: Rest,
): IntentRule[] {
  const { protocol, port } = listen;
  const rules = new Map<string, IntentRule>();
  /** Hosts that no certificate covers; true: they keep the one that they have. */
  const bare = new Map<string, boolean>();
  for (const line of lines) {
    const { host, url, at } = line;
    const key = `${host} ${url}`;
    if (rules.has(key)) {
      refused.push({ message: `${at} is there twice at ${protocol}:${port}: the first one counts, remove the other` });
      continue;
    }
    const named = protocol === "HTTPS" ? certificateOf(certificates, host) : undefined;
    const certificate = named ?? had.find(({ domain }) => domain === host)?.certificate;
    if (protocol === "HTTPS" && named === undefined) bare.set(host, certificate !== undefined);
    if (protocol === "HTTPS" && certificate === undefined) {
      lacks();
      continue;
    }
    const rule = { domain: host, url, ...certified(certificate) };
    if (line.redirect !== undefined) {
      rules.set(key, { ...rule, redirect: line.redirect });
      continue;
    }
    const backend = backendOf(line, listen);
    if (backend !== undefined) rules.set(key, { ...rule, backend, ...(isManaged && { redirect: "none" }) });
  }
  for (const [host, keeps] of bare)
    refused.push({
      code: "E4040",
      message: `no certificate covers host ${host === "" ? "of the load balancer's address" : host} at HTTPS:${port}: name it in spec.tls[].hosts, or give one entry without hosts${keeps ? ". It keeps the certificate that it has" : STAYS}`,
    });
  return [...rules.values()];
}

const certified = (certificate: CertificateSource | undefined): { certificate?: CertificateSource } =>
  certificate === undefined ? {} : { certificate };

/** The Pods behind a line. Where its Service or port is missing, those that it had; undefined: it had none. */
function findBackend(
  { namespace }: Pick<IngressRecord, "namespace">,
  { at, host, url, backend: { service: name, port } }: Line,
  { service: find, former }: IngressSources,
  listen: ListenPort,
): { readonly backend: IntentBackend | undefined; readonly faults: readonly Refused[] } {
  const had = formerRules(former, listen).find((rule) => rule.domain === host && rule.url === url)?.backend;
  const refuse = (code: string | undefined, message: string) => ({
    backend: had,
    faults: [
      {
        ...(code !== undefined && { code }),
        message: `${at}: ${message}${had === undefined ? STAYS : ". It keeps the backends that it has"}`,
      },
    ],
  });
  if (name === undefined) return refuse(undefined, "its backend is no Service: a load balancer can send to the Pods of a Service only");
  const service = find(name);
  if (service === undefined) return refuse("E4041", `Service ${namespace}/${name} does not exist: create it or correct the name`);
  const found = service.ports.find((one) => one.name === port || one.port === port || String(one.port) === port);
  if (found === undefined) {
    const known = service.ports.map((one) => [one.port, one.name].filter((part) => part !== "").join(" "));
    return refuse("E4042", `Service ${namespace}/${name} has no port ${port}: use one of ${known.join(", ")}`);
  }
  if (service.type === "ExternalName" || Object.keys(service.selector).length === 0)
    return refuse(
      undefined,
      `Service ${namespace}/${name} has no spec.selector, so no Pods can be bound: add one that matches the Pods' labels`,
    );
  const { targetPort, port: number } = found;
  return {
    backend: {
      targetPort,
      declared: "TCP",
      selector: service.selector,
      service: { name, port: number },
      ...(service.publishNotReady && { publishNotReady: true }),
    },
    faults: [],
  };
}
