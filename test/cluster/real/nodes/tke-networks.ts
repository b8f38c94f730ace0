/**
 * A chained CNI plugin (CNI 1.0.0), run by containerd inside a node: after `ptp` has made a Pod's cable, it lays what TKE's network plugins lay
 * (tke-contract.md §9). The Pod's name says which: "bridge-…" GlobalRouter (the cable becomes a port of cbr0), "direct-…" VPC-CNI with an ENI in the
 * Pod (nothing on the node: only the cable, which stands for the VPC), any other VPC-CNI with a shared ENI (the two rules, and the table of the ENI
 * that node-network.ts gave the node).
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** As TKE's component numbers them: rule "to" before the table main, rule "from" before the table of eth1. */
const TO_PRIORITY = "512";
const FROM_PRIORITY = "1536";
export const ENI_TABLE = "4001";
/** Of iproute2, which requirements.ts asks for. */
const IP = "ip";
const BRIDGE = "cbr0";
/** Its own, or it would take that of a port, and change it when the port goes. */
const BRIDGE_MAC = "02:00:5e:00:00:01";

type Result = {
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips?: readonly { readonly address: string; readonly gateway?: string }[];
};

const ip = (...args: readonly string[]): void => void execFileSync(IP, args, { stdio: ["ignore", "ignore", "pipe"] });
/** What is there already, or gone already, is as it should be. */
const ipIfNeeded = (...args: readonly string[]): void => {
  try {
    ip(...args);
  } catch {}
};

const addressesOf = ({ ips = [] }: Result): string[] => ips.map(({ address }) => address.split("/")[0] ?? "");

function add(result: Result): void {
  const podName = /K8S_POD_NAME=([^;]*)/.exec(process.env["CNI_ARGS"] ?? "")?.[1] ?? "";
  const host = result.interfaces?.find(({ sandbox = "" }) => sandbox === "")?.name ?? "";
  for (const address of addressesOf(result)) {
    if (podName.startsWith("bridge-")) {
      ipIfNeeded("link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge");
      ip("link", "set", BRIDGE, "up");
      ip("address", "replace", `${result.ips?.[0]?.gateway ?? ""}/32`, "dev", BRIDGE);
      ip("address", "flush", "dev", host);
      ip("link", "set", host, "master", BRIDGE);
      ip("route", "replace", `${address}/32`, "dev", BRIDGE);
    } else if (!podName.startsWith("direct-")) {
      ip("rule", "add", "pref", TO_PRIORITY, "to", address, "lookup", "main");
      ip("rule", "add", "pref", FROM_PRIORITY, "from", address, "lookup", ENI_TABLE);
    }
  }
}

function remove(result: Result): void {
  for (const address of addressesOf(result)) {
    ipIfNeeded("rule", "del", "to", address);
    ipIfNeeded("rule", "del", "from", address);
    ipIfNeeded("route", "del", `${address}/32`, "dev", BRIDGE);
  }
}

if (import.meta.main) {
  const command = process.env["CNI_COMMAND"];
  const { cniVersion, prevResult = {} } = JSON.parse(readFileSync(0, "utf8")) as { cniVersion: string; prevResult?: Result }; // from containerd
  if (command === "VERSION") console.log(JSON.stringify({ cniVersion, supportedVersions: ["0.4.0", "1.0.0"] }));
  if (command === "DEL") remove(prevResult);
  if (command === "ADD") {
    try {
      add(prevResult);
      console.log(JSON.stringify(prevResult));
    } catch (error) {
      const { stderr, message } = error as { stderr?: Buffer; message: string };
      console.log(JSON.stringify({ cniVersion, code: 100, msg: `${message}: ${stderr?.toString() ?? ""}` }));
      process.exitCode = 1;
    }
  }
}
