import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_MINOR, kubernetesMinor } from "../cluster/real/modules.ts";

const USAGE = `usage: npm run demo -- [options]
  --cluster embedded|real|kubeconfig
                           the API server: embedded; or etcd, kube-apiserver, controller manager and scheduler; or the cluster that
                           KUBECONFIG names, which gets all that it needs and loses it again at the end (default embedded)
  --nodes simulated|real   what runs the Pods of --cluster real: this program, or kubelet and containerd, as root (default simulated)
  --kubernetes 1.36|1.34   version of the real one (default 1.36)
  --profile fast|tke2020   how long the emulated cloud takes (default fast)
  --scenario FILE          the account that the emulated cloud begins with (docs/emulated-cloud.md), e.g. with another quota
  --replicas N             Pods of the example, 1 to 250 (default 6)
  --surge N                new Pods of the rollout at a time, e.g. 2 or 25% (default 2)
  --rate N                 requests per second through the load balancer, 1 to 2000 (default 300)
  --without-gates          no webhook, so that Pods get neither ReadinessGate nor preStop hook: shows what they are for
  --without-admission      no ReadinessGate only: no webhook, and a preStop sleep in the template
  --without-hold           no preStop hook only; where requests are lost, as of each of the three, the exit code is 1
  --without-checks         switch the load balancer's health checks off: a bound backend serves at once
  --ingress                the example with an Ingress: hosts and paths over HTTP and HTTPS, and a certificate that is changed meanwhile
  --deny PORT              a security group of the Pods' ENIs drops that port, e.g. 8080: shows a gate that waits with the rule's name, and ends
  --keep                   leave everything running afterwards, and say how to look at it
  --json FILE              write the summary as JSON`;

export type DemoOptions = {
  readonly cluster: "embedded" | "real" | "kubeconfig";
  /** Of a cluster that KUBECONFIG names: real, as far as the demo can know. */
  readonly nodes: "simulated" | "real";
  readonly kubernetes: string;
  readonly profile: "fast" | "tke2020";
  readonly scenario: string | undefined;
  readonly replicas: number;
  /** As a Deployment's maxSurge has it. */
  readonly surge: number | string;
  readonly rate: number;
  readonly withoutGates: boolean;
  readonly withoutAdmission: boolean;
  readonly withoutHold: boolean;
  readonly withoutChecks: boolean;
  readonly ingress: boolean;
  /** A port that the Pods' security group drops. */
  readonly deny: number | undefined;
  readonly keep: boolean;
  readonly json: string | undefined;
};

/** The options, or the end of the process: 0 after --help, 2 with the mistake and the usage. */
export function optionsOrExit(args: readonly string[]): DemoOptions {
  let options: DemoOptions | undefined;
  try {
    options = readOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
  if (options !== undefined) return options;
  console.log(USAGE);
  return process.exit(0);
}

/** Throws an Error that names the option, its value and what would do. Undefined: help was asked for. */
export function readOptions(args: readonly string[]): DemoOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cluster: { type: "string", default: "embedded" },
      nodes: { type: "string" },
      kubernetes: { type: "string", default: DEFAULT_MINOR },
      profile: { type: "string", default: "fast" },
      replicas: { type: "string", default: "6" },
      scenario: { type: "string" },
      surge: { type: "string", default: "2" },
      rate: { type: "string", default: "300" },
      "without-gates": { type: "boolean", default: false },
      "without-admission": { type: "boolean", default: false },
      "without-hold": { type: "boolean", default: false },
      "without-checks": { type: "boolean", default: false },
      ingress: { type: "boolean", default: false },
      deny: { type: "string" },
      keep: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const number = (option: "replicas" | "rate" | "deny", max: number): number => {
    const value = Number(values[option]);
    if (!Number.isInteger(value) || value < 1 || value > max)
      throw new RangeError(`--${option} must be a whole number from 1 to ${max}, got "${values[option]}"`);
    return value;
  };
  const { profile, cluster } = values;
  if (cluster !== "embedded" && cluster !== "real" && cluster !== "kubeconfig")
    throw new RangeError(`--cluster must be embedded, real or kubeconfig, got "${cluster}"`);
  if (values.json !== undefined && !existsSync(dirname(resolve(values.json))))
    throw new RangeError(`--json ${values.json}: the folder ${dirname(resolve(values.json))} does not exist`);
  if (values.deny !== undefined && (cluster !== "embedded" || values.scenario !== undefined))
    throw new RangeError("--deny needs the account that the demo makes itself: leave --scenario out, and --cluster embedded");
  if (values.ingress && (cluster === "kubeconfig" || values.scenario !== undefined || values.deny !== undefined))
    throw new RangeError(
      "--ingress needs a cluster and an account that the demo makes itself: leave --cluster kubeconfig, --scenario and --deny out",
    );
  if (values.scenario !== undefined && !existsSync(values.scenario))
    throw new RangeError(`--scenario ${values.scenario}: there is no such file`);
  if (profile !== "fast" && profile !== "tke2020") throw new RangeError(`--profile must be fast or tke2020, got "${profile}"`);
  return {
    cluster,
    nodes: nodesOf(cluster, values.nodes),
    kubernetes: kubernetesMinor(values.kubernetes),
    profile,
    scenario: values.scenario,
    replicas: number("replicas", 250),
    surge: surgeOf(values.surge),
    rate: number("rate", 2_000),
    withoutGates: values["without-gates"],
    withoutAdmission: values["without-admission"],
    withoutHold: values["without-hold"],
    withoutChecks: values["without-checks"],
    ingress: values.ingress,
    deny: values.deny === undefined ? undefined : number("deny", 65_535),
    keep: values.keep,
    json: values.json,
  };
}

function surgeOf(asked: string): number | string {
  if (/^[1-9]\d{0,2}%$/.test(asked)) return asked;
  if (/^[1-9]\d{0,2}$/.test(asked)) return Number(asked);
  throw new RangeError(`--surge must be a number of Pods above 0 or a share, e.g. 2 or 25%, got "${asked}"`);
}

function nodesOf(cluster: DemoOptions["cluster"], asked: string | undefined): DemoOptions["nodes"] {
  if (cluster === "kubeconfig") {
    if (asked !== undefined)
      throw new RangeError(`--nodes ${asked}: the cluster of --cluster kubeconfig has its own nodes; leave --nodes out`);
    return "real";
  }
  if (asked === undefined || asked === "simulated") return "simulated";
  if (asked !== "real") throw new RangeError(`--nodes must be simulated or real, got "${asked}"`);
  if (cluster !== "real") throw new RangeError("--nodes real needs a real API server: add --cluster real");
  return "real";
}
