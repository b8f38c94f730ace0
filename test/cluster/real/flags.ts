/** Pure: the command lines of the four parts. Why each flag is there: real-cluster.md; the rest are defaults of a stock cluster. */
import { join } from "node:path";

/** Ports on the address of the control plane, which nobody else has. */
export const PORTS = { api: 6443, etcd: 2379, etcdPeer: 2380, controllerManager: 10_257, scheduler: 10_259 } as const;

/** Files of the control plane, all in one directory. */
export const filesIn = (directory: string) =>
  ({
    ca: join(directory, "ca.crt"),
    servingCertificate: join(directory, "serving.crt"),
    servingKey: join(directory, "serving.key"),
    kubeletClientCertificate: join(directory, "kubelet-client.crt"),
    kubeletClientKey: join(directory, "kubelet-client.key"),
    serviceAccountKey: join(directory, "service-account.key"),
    auditPolicy: join(directory, "audit-policy.json"),
    auditLog: join(directory, "audit.jsonl"),
    controllerManagerConfig: join(directory, "controller-manager.kubeconfig"),
    schedulerConfig: join(directory, "scheduler.kubeconfig"),
    etcdData: join(directory, "etcd"),
  }) as const;
export type Files = ReturnType<typeof filesIn>;

export const SERVICE_RANGE = "10.96.0.0/16";
/** The Service `kubernetes` gets the first address of the range. */
export const SERVICE_IP = "10.96.0.1";

/** Every request, without bodies: who did which verb on which resource. */
export const AUDIT_POLICY = JSON.stringify({
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata" }],
});

export function etcdFlags(address: string, { etcdData }: Files): readonly string[] {
  const client = `http://${address}:${PORTS.etcd}`;
  const peer = `http://${address}:${PORTS.etcdPeer}`;
  return [
    "--name=etcd",
    `--data-dir=${etcdData}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=etcd=${peer}`,
    "--unsafe-no-fsync", // nothing here outlives the machine
    "--log-level=warn",
  ];
}

export function apiServerFlags(address: string, files: Files): readonly string[] {
  return [
    `--etcd-servers=http://${address}:${PORTS.etcd}`,
    `--bind-address=${address}`,
    `--advertise-address=${address}`,
    `--secure-port=${PORTS.api}`,
    "--endpoint-reconciler-type=none", // "Unable to find suitable network address" otherwise, in a namespace without a route
    `--tls-cert-file=${files.servingCertificate}`,
    `--tls-private-key-file=${files.servingKey}`,
    `--client-ca-file=${files.ca}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction,PodSecurity",
    "--allow-privileged=true",
    `--service-account-key-file=${files.serviceAccountKey}`,
    `--service-account-signing-key-file=${files.serviceAccountKey}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    `--kubelet-client-certificate=${files.kubeletClientCertificate}`,
    `--kubelet-client-key=${files.kubeletClientKey}`,
    `--audit-policy-file=${files.auditPolicy}`,
    `--audit-log-path=${files.auditLog}`,
    "--audit-log-maxsize=2000", // MB; a log that is rotated away would hide verbs from the test of least privilege
  ];
}

export function controllerManagerFlags(address: string, files: Files): readonly string[] {
  return [
    `--kubeconfig=${files.controllerManagerConfig}`,
    `--bind-address=${address}`,
    `--secure-port=${PORTS.controllerManager}`,
    `--tls-cert-file=${files.servingCertificate}`,
    `--tls-private-key-file=${files.servingKey}`,
    `--service-account-private-key-file=${files.serviceAccountKey}`,
    `--root-ca-file=${files.ca}`,
    "--use-service-account-credentials=true",
    "--leader-elect=false",
  ];
}

export function schedulerFlags(address: string, files: Files): readonly string[] {
  return [
    `--kubeconfig=${files.schedulerConfig}`,
    `--bind-address=${address}`,
    `--secure-port=${PORTS.scheduler}`,
    `--tls-cert-file=${files.servingCertificate}`,
    `--tls-private-key-file=${files.servingKey}`,
    "--leader-elect=false",
  ];
}
