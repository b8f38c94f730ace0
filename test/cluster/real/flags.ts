/** Pure: the command lines of the four parts. Why each flag is there: real-cluster.md; the rest are defaults of a stock cluster. */
import { type Files, SERVICE } from "./files.ts";
import { PORTS } from "./ports.ts";

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
    "--enable-aggregator-routing=true", // webhooks are found by EndpointSlices: there is no kube-proxy
    `--service-account-key-file=${files.serviceAccountKey}`,
    `--service-account-signing-key-file=${files.serviceAccountKey}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-cluster-ip-range=${SERVICE.range}`,
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
