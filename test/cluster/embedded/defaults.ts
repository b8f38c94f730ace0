import type { KubeObject, Spec } from "./objects.ts";

/** Fields of `defaults` that `target` does not have; changes and returns `target`. */
const fill = <T extends object>(target: T, defaults: Partial<T>): T => Object.assign(target, { ...defaults, ...target });

function fillPodSpec(spec: Spec): Spec {
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    const latest = /(:latest|^[^:@]+)$/.test(container.image ?? "");
    fill(container, { imagePullPolicy: latest ? "Always" : "IfNotPresent", resources: {} });
    for (const port of container.ports ?? []) fill(port, { protocol: "TCP" });
    for (const probe of [container.readinessProbe, container.livenessProbe, container.startupProbe]) {
      if (probe) fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
      if (probe?.httpGet) fill(probe.httpGet, { scheme: "HTTP" });
    }
  }
  const names = { restartPolicy: "Always", dnsPolicy: "ClusterFirst", schedulerName: "default-scheduler" };
  return fill(spec, { ...names, securityContext: {}, terminationGracePeriodSeconds: 30 });
}

export function fillPod(pod: KubeObject, old: KubeObject | undefined): void {
  pod.spec = fill(fillPodSpec(pod.spec ?? {}), { serviceAccountName: "default" });
  if (old === undefined) pod.status = { phase: "Pending", qosClass: "BestEffort" };
  for (const condition of pod.status?.conditions ?? []) condition.lastProbeTime ??= null;
}

export function fillService(service: KubeObject, old: KubeObject | undefined): void {
  const spec = fill((service.spec ??= {}), { type: "ClusterIP", sessionAffinity: "None", internalTrafficPolicy: "Cluster" });
  for (const port of spec.ports ?? []) fill(port, { protocol: "TCP", ...(port.port !== undefined && { targetPort: port.port }) });
  const balanced = spec.type === "LoadBalancer";
  if (balanced) fill(spec, { allocateLoadBalancerNodePorts: true });
  else delete spec.allocateLoadBalancerNodePorts;
  if (balanced || spec.type === "NodePort") fill(spec, { externalTrafficPolicy: "Cluster" });
  else delete spec.externalTrafficPolicy;
  const was = old?.spec?.type === "LoadBalancer" ? old.spec.loadBalancerClass : undefined;
  if (!balanced && spec.loadBalancerClass === was) delete spec.loadBalancerClass;
  const status = old === undefined ? (service.status = {}) : (service.status ??= {});
  if (!balanced) status.loadBalancer = {};
  for (const ingress of (status.loadBalancer ??= {}).ingress ?? []) if (ingress.ip !== undefined) fill(ingress, { ipMode: "VIP" });
}

export function fillDeployment(deployment: KubeObject, old: KubeObject | undefined): void {
  const spec = fill((deployment.spec ??= {}), { replicas: 1, progressDeadlineSeconds: 600, revisionHistoryLimit: 10 });
  const strategy = fill((spec.strategy ??= {}), { type: "RollingUpdate" });
  if (strategy.type === "RollingUpdate") fill((strategy.rollingUpdate ??= {}), { maxSurge: "25%", maxUnavailable: "25%" });
  if (spec.template) spec.template.spec = fillPodSpec(spec.template.spec ?? {});
  if (old === undefined) deployment.status = {};
}

export function fillReplicaSet(replicaSet: KubeObject, old: KubeObject | undefined): void {
  const spec = fill((replicaSet.spec ??= {}), { replicas: 1 });
  if (spec.template) spec.template.spec = fillPodSpec(spec.template.spec ?? {});
  if (old === undefined) replicaSet.status = { replicas: 0 };
}

export function fillNamespace(namespace: KubeObject, old: KubeObject | undefined): void {
  namespace.metadata.labels = { ...namespace.metadata.labels, "kubernetes.io/metadata.name": namespace.metadata.name };
  namespace.spec = { finalizers: ["kubernetes"] };
  if (old === undefined) namespace.status = { phase: "Active" };
}

export function fillSecret(secret: KubeObject): void {
  fill(secret, { type: "Opaque" });
  for (const [key, text] of Object.entries(secret.stringData ?? {})) (secret.data ??= {})[key] = Buffer.from(text).toString("base64");
  delete secret.stringData;
}
