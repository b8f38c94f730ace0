import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { findHelm } from "../../deploy/tools/helm.ts";
import type { ProofGround } from "./ground.ts";
import { IMAGE, NAMESPACE, RELEASE } from "./names.ts";

export type Helm = {
  /** Standard output; rejects with what it said. */
  readonly run: (...args: readonly string[]) => Promise<string>;
  /** Installs or upgrades to the image with that tag, and waits until all of it is ready. */
  readonly upgrade: (tag: string, ...more: readonly string[]) => Promise<string>;
};

/** Helm as a person has it; `directory` has the chart and takes what Helm writes; `settings` are arguments of each upgrade. */
export function makeHelm(options: { readonly directory: string; readonly kubeconfig: string; readonly settings: readonly string[] }): Helm {
  const { directory, kubeconfig, settings } = options;
  const found = findHelm(process.env);
  const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: directory };
  const run = async (...args: readonly string[]): Promise<string> => {
    if (found.kind === "missing") throw new Error(found.reason);
    const call = promisify(execFile)(found.file, [...args, "--namespace", NAMESPACE], { env });
    const { stdout } = await call.catch((error: Error & { stderr?: string; stdout?: string }) => {
      throw new Error(`helm ${args.join(" ")}: ${error.stdout ?? ""}${error.stderr ?? error.message}`);
    });
    return stdout;
  };
  const upgrade: Helm["upgrade"] = (tag, ...more) => {
    const command = ["upgrade", "--install", RELEASE, join(directory, "chart"), ...settings, "--set-string", `image.tag=${tag}`];
    return run(...command, ...more, "--wait", "--timeout", "3m");
  };
  return { run, upgrade };
}

export function settingsFor(ground: Pick<ProofGround, "cloud" | "range">): readonly string[] {
  const wanted = {
    region: "ap-guangzhou",
    "image.repository": IMAGE,
    "image.pullPolicy": "Never",
    "networkPolicy.enabled": "true",
    "networkPolicy.nodeCidrs": `{${ground.range}}`,
    "coordinator.settings.CLB_ENDPOINT": ground.cloud.endpoint,
    "coordinator.settings.CLB_PROTOCOL": "http://",
  };
  return Object.entries(wanted).flatMap(([path, value]) => ["--set", `${path}=${value}`]);
}
