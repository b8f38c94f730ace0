/** What the processes listen on is what the chart says: its NetworkPolicy lets in each of these ports, and no other. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { CHART } from "../../deploy/tools/render.ts";
import { loadInstallation } from "../cluster/manifests.ts";
import { startWorld } from "./world.ts";

/** State of a socket in /proc/net/tcp. Source: TCP_LISTEN in Linux' include/net/tcp_states.h. */
const LISTEN = "0A";

/** TCP ports that a process listens on, of both families, in order. */
function listeningPorts(pid: number): readonly number[] {
  const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  const inodes = new Set(files.flatMap((file) => /^socket:\[(\d+)\]$/.exec(file)?.[1] ?? []));
  const lines = ["tcp", "tcp6"].flatMap((table) => readFileSync(`/proc/${pid}/net/${table}`, "utf8").trim().split("\n").slice(1));
  const ports = lines.flatMap((line) => {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    return state === LISTEN && inodes.has(inode) ? Number.parseInt(local.split(":")[1] ?? "", 16) : [];
  });
  return [...new Set(ports)].toSorted((a, b) => a - b);
}

/** Ports in a template: `port: 9443`, and those that a setting may change, with their default. */
const portsIn = (template: string): readonly number[] =>
  [...readFileSync(`${CHART}/templates/${template}`, "utf8").matchAll(/\bport: (\d+)|_PORT" (\d+)\)/g)]
    .map(([, fixed, preset]) => Number(fixed ?? preset))
    .toSorted((a, b) => a - b);

type Deployment = {
  readonly template: {
    readonly spec: { readonly containers: readonly { readonly ports: readonly { readonly containerPort: number }[] }[] };
  };
};

test("a coordinator listens on the ports that its Pod declares and its NetworkPolicy lets in, an agent on its two", async (t) => {
  const { product } = await startWorld(t, { nodes: ["node-a"] });
  const open = listeningPorts(product.coordinator()?.pid ?? 0);
  assert.deepEqual(open, portsIn("network-policy.yaml"));
  const deployment = (await loadInstallation()).find(({ kind }) => kind === "Deployment");
  assert.ok(deployment !== undefined);
  const { template } = deployment["spec"] as Deployment;
  const declared = template.spec.containers.flatMap(({ ports }) => ports.map(({ containerPort }) => containerPort));
  assert.deepEqual(
    open,
    declared.toSorted((a, b) => a - b),
  );
  assert.deepEqual(listeningPorts(product.agent("node-a")?.pid ?? 0), [9090, 9091], "no policy sees the node's network");
});
