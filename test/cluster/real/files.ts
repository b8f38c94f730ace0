/** What the control plane reads and writes: certificates, keys, kubeconfigs, audit policy and log, all in one directory. */
import { generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueServing, type Material } from "../../../coordinator/tls/certificate.ts";
import { CONTROLLER_MANAGER, issueClient, type KubeUser, SCHEDULER } from "./certificates.ts";

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

/** The Service `kubernetes` gets the first address of the Service range. */
export const SERVICE = { range: "10.96.0.0/16", first: "10.96.0.1" } as const;

/** Every request, without bodies: who did which verb on which resource. */
const AUDIT_POLICY = JSON.stringify({
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata" }],
});

const TEMPORARY = "clb-direct-real-";

/** A new temporary directory. Those of processes that were killed go: their names carry the process id. */
export async function makeDirectory(): Promise<string> {
  const left = (await readdir(tmpdir())).filter((name) => name.startsWith(TEMPORARY) && !isAlive(Number(name.split("-").at(-2))));
  await Promise.all(left.map((name) => rm(join(tmpdir(), name), { recursive: true, force: true })));
  return await mkdtemp(join(tmpdir(), `${TEMPORARY}${process.pid}-`));
}

/** Whether that process runs; true for what is no number. */
export function isAlive(pid: number): boolean {
  try {
    return Number.isNaN(pid) || process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"; // EPERM: another user's
  }
}

/** Only for this user: keys are among them. Gives the file's name. */
export async function save(file: string, text: string): Promise<string> {
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

export type Issue = {
  readonly directory: string;
  /** Where the parts listen, e.g. "10.244.3.203". */
  readonly address: string;
  readonly authority: Material;
  readonly kubeconfig: (user: KubeUser) => Promise<string>;
};

/** Everything that the parts need before they start. */
export async function writeFiles({ directory, address, authority, kubeconfig }: Issue): Promise<void> {
  await mkdir(directory, { recursive: true });
  const files = filesIn(directory);
  const names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
  const serving = await issueServing(authority, names, [address, SERVICE.first], Date.now());
  const toKubelets = await issueClient(authority, { name: "kube-apiserver-kubelet-client", groups: ["system:masters"] });
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await Promise.all([
    save(files.ca, authority.certPem),
    save(files.servingCertificate, serving.certPem),
    save(files.servingKey, serving.keyPem),
    save(files.kubeletClientCertificate, toKubelets.certPem),
    save(files.kubeletClientKey, toKubelets.keyPem),
    save(files.serviceAccountKey, privateKey.export({ type: "sec1", format: "pem" }).toString()), // PKCS#8 is refused here
    save(files.auditPolicy, AUDIT_POLICY),
    kubeconfig(CONTROLLER_MANAGER).then((text) => save(files.controllerManagerConfig, text)),
    kubeconfig(SCHEDULER).then((text) => save(files.schedulerConfig, text)),
  ]);
}
