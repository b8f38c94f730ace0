import type { Container, KubeObject, Spec } from "./objects.ts";

/** Fields of `defaults` that `target` does not have; changes and returns `target`. */
const fill = <T extends object>(target: T, defaults: Partial<T>): T => Object.assign(target, { ...defaults, ...target });

function fillContainer(container: Container): void {
  const latest = /(:latest|^[^:@]+)$/.test(container.image ?? "");
  fill(container, { imagePullPolicy: latest ? "Always" : "IfNotPresent", resources: {} });
  for (const port of container.ports ?? []) fill(port, { protocol: "TCP" });
  for (const probe of [container.readinessProbe, container.livenessProbe, container.startupProbe]) {
    if (probe === undefined) continue;
    fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
    if (probe.httpGet) fill(probe.httpGet, { scheme: "HTTP" });
  }
}

function fillPodSpec(spec: Spec): void {
  fill(spec, { restartPolicy: "Always", dnsPolicy: "ClusterFirst", schedulerName: "default-scheduler", securityContext: {} });
  fill(spec, { terminationGracePeriodSeconds: 30 });
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) fillContainer(container);
}

export function fillPod(pod: KubeObject, old: KubeObject | undefined): void {
  const spec = (pod.spec ??= {});
  fillPodSpec(spec);
  fill(spec, { serviceAccountName: "default" });
  if (old === undefined) pod.status = { phase: "Pending", qosClass: "BestEffort" };
  for (const condition of pod.status?.conditions ?? []) condition.lastProbeTime ??= null;
}

export function fillService(service: KubeObject, old: KubeObject | undefined): void {
  const spec = (service.spec ??= {});
  fill(spec, { type: "ClusterIP", sessionAffinity: "None", internalTrafficPolicy: "Cluster" });
  for (const port of spec.ports ?? []) {
    fill(port, { protocol: "TCP" });
    if (port.port !== undefined && spec.clusterIP !== "None") fill(port, { targetPort: port.port });
  }
  if (spec.type === "LoadBalancer") fill(spec, { allocateLoadBalancerNodePorts: true });
  else delete spec.allocateLoadBalancerNodePorts;
  if (spec.type === "LoadBalancer" || spec.type === "NodePort") fill(spec, { externalTrafficPolicy: "Cluster" });
  if (spec.type !== "LoadBalancer" && old?.spec?.type === "LoadBalancer" && spec.loadBalancerClass === old.spec.loadBalancerClass) {
    delete spec.loadBalancerClass;
  }
  if (old === undefined) service.status = {};
  const status = (service.status ??= {});
  if (spec.type !== "LoadBalancer" || status.loadBalancer === undefined) status.loadBalancer = {};
  for (const ingress of status.loadBalancer.ingress ?? []) if (ingress.ip !== undefined) fill(ingress, { ipMode: "VIP" });
}

export function fillDeployment(deployment: KubeObject, old: KubeObject | undefined): void {
  const spec = (deployment.spec ??= {});
  fill(spec, { replicas: 1, progressDeadlineSeconds: 600, revisionHistoryLimit: 10 });
  const strategy = (spec.strategy ??= {});
  fill(strategy, { type: "RollingUpdate" });
  if (strategy.type === "RollingUpdate") fill((strategy.rollingUpdate ??= {}), { maxSurge: "25%", maxUnavailable: "25%" });
  if (spec.template) fillPodSpec((spec.template.spec ??= {}));
  if (old === undefined) deployment.status = {};
}

export function fillReplicaSet(replicaSet: KubeObject, old: KubeObject | undefined): void {
  const spec = (replicaSet.spec ??= {});
  fill(spec, { replicas: 1 });
  if (spec.template) fillPodSpec((spec.template.spec ??= {}));
  if (old === undefined) replicaSet.status = { replicas: 0 };
}

export function fillNamespace(namespace: KubeObject, old: KubeObject | undefined): void {
  namespace.metadata.labels = { ...namespace.metadata.labels, "kubernetes.io/metadata.name": namespace.metadata.name };
  namespace.spec = { finalizers: old?.spec?.finalizers ?? ["kubernetes"] };
  if (old === undefined) namespace.status = { phase: "Active" };
}

export function fillSecret(secret: KubeObject): void {
  fill(secret, { type: "Opaque" });
  for (const [key, text] of Object.entries(secret.stringData ?? {})) (secret.data ??= {})[key] = Buffer.from(text).toString("base64");
  delete secret.stringData;
}
