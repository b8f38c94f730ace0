/** Real kube-proxies on the real nodes, of the pinned module. */
import { join } from "node:path";
import { findBinaries } from "../binaries.ts";
import { CONTROL_PLANE, PROXY } from "../modules.ts";
import { findNodes, programFault } from "./requirements.ts";
import { run } from "./run.ts";
import type { RealNodes } from "./start.ts";

/** How it writes its rules; the second with `iptables`, whose package nothing else here needs. */
export const PROXY_MODES = ["nftables", "iptables"] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

/** What a cluster of real nodes with kube-proxy needs and this machine lacks, with the fix; undefined: nothing. Builds what can be built. */
export async function proxiedClusterFault(modes: readonly ProxyMode[], progress: (line: string) => void): Promise<string | undefined> {
  const program = modes.includes("iptables") ? programFault("iptables") : undefined;
  if (program !== undefined) return program;
  const nodes = await findNodes({ build: true, progress });
  if (nodes.kind === "missing") return nodes.reason;
  const others = await findBinaries([...CONTROL_PLANE, ...PROXY], { build: true, progress });
  return others.kind === "missing" ? others.reason : undefined;
}

export type ProxyOptions = {
  readonly nodes: Pick<RealNodes, "nodes" | "enter" | "exec">;
  readonly binary: string;
  readonly kubeconfig: string;
  readonly mode: ProxyMode;
  /** Logs go there. */
  readonly directory: string;
};

/** One on each node; they end with the nodes, or by what is returned, which takes away their rules, and all others of the nodes, too. */
export function startKubeProxies({ nodes, binary, kubeconfig, mode, directory }: ProxyOptions): () => Promise<void> {
  const running = nodes.nodes.map(({ name }) => {
    const flags = { kubeconfig, "hostname-override": name, "proxy-mode": mode, ...PODS_OF_THE_NODE, ...LEFT_ALONE };
    const command = [binary, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)];
    return nodes.exec(name, { name: `kube-proxy ${name}`, command, env: {}, logFile: join(directory, `kube-proxy-${name}.log`) });
  });
  return async () => {
    await Promise.all(running.map((one) => one.stop()));
    for (const { name } of nodes.nodes) await run([...nodes.enter(name), "nft", "flush", "ruleset"]);
  };
}

/** Told by its link (the CNI's ptp calls it so): nodes and Pods share one range of addresses here, and what comes from a node is no Pod's. */
const PODS_OF_THE_NODE = { "detect-local-mode": "InterfaceNamePrefix", "pod-interface-name-prefix": "veth" };

/** The machine's own settings. */
const LEFT_ALONE = {
  "conntrack-max-per-core": "0",
  "conntrack-tcp-timeout-established": "0",
  "conntrack-tcp-timeout-close-wait": "0",
  "healthz-bind-address": "127.0.0.1:10256",
  "metrics-bind-address": "127.0.0.1:10249",
};
