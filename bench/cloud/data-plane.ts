import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type CloudProcess, INSTANT, sdkFor, startCloudProcess } from "./cloud-process.ts";
import { type LoadMode, load } from "./load.ts";
import type { Figure } from "./table.ts";

/** Loopback addresses, local on every Linux. */
const BACKENDS = ["127.244.250.1", "127.244.250.2", "127.244.250.3", "127.244.250.4"];
const BACKEND_PORT = 8080;
const UNCHECKED = { HealthSwitch: 0 } as const;

/**
 * Requests per second through the data plane against direct ones, and what each costs it. Client, cloud and backends are one process each,
 * so on two cores they share: the CPU is the truer figure. `seconds` per measurement. Throws if a request is lost.
 */
export async function benchDataPlane(seconds: number): Promise<Figure[]> {
  const backends = await startBackends();
  const cloud = await startCloudProcess({ scale: 1, profile: INSTANT, health: "scripted", vipCidr: "127.198.250.0/24" });
  try {
    const vip = await prepare(cloud);
    const figures: Figure[] = [];
    const measured = async (name: string, host: string, port: number, mode: LoadMode, direct?: number): Promise<number> => {
      await load({ host, port, mode, seconds: 0.3 }); // warm-up
      const before = await cloud.usage();
      const { perSecond, requests, failures } = await load({ host, port, mode, seconds });
      if (failures > 0) throw new Error(`${name}: ${failures} of ${requests} requests were lost`);
      figures.push({ name, value: perSecond, unit: "/s" });
      if (direct === undefined) return perSecond;
      const cpuMs = (await cloud.usage()).cpuMs - before.cpuMs;
      figures.push({ name: "  of direct", value: (100 * perSecond) / direct, unit: "%" });
      figures.push({ name: "  CPU of one in the cloud", value: cpuMs / requests, unit: "ms" });
      return perSecond;
    };
    const kept = await measured("requests direct, connections kept", BACKENDS[0] ?? "", BACKEND_PORT, "kept");
    await measured("  through TCP", vip, 8000, "kept", kept);
    await measured("  through HTTP, KeepaliveEnable", vip, 8002, "kept", kept);
    await measured("  through HTTP, a backend connection each", vip, 8001, "kept", kept);
    const fresh = await measured("requests direct, a connection each", BACKENDS[0] ?? "", BACKEND_PORT, "new");
    await measured("  through TCP", vip, 8000, "new", fresh);
    await measured("  through HTTP", vip, 8001, "new", fresh);
    return figures;
  } finally {
    await cloud.stop();
    if (backends.connected) backends.disconnect();
  }
}

async function startBackends(): Promise<ChildProcess> {
  const child = fork(new URL("./backends.ts", import.meta.url), [String(BACKEND_PORT), ...BACKENDS]);
  const [said] = (await Promise.race([once(child, "message"), once(child, "exit")])) as unknown[];
  if (said !== "ready") throw new Error(`the backends' process ended with ${String(said)}`);
  return child;
}

/** Listeners 8000 TCP, 8001 HTTP, 8002 HTTP with kept connections to the backends, all without health checks. Gives the VIP. */
async function prepare(cloud: CloudProcess): Promise<string> {
  const sdk = sdkFor(cloud.endpoint);
  const made = await fetch(`${cloud.adminUrl}/load-balancers`, { method: "POST", body: "{}" });
  const { loadBalancerId: LoadBalancerId, vip } = (await made.json()) as { loadBalancerId: string; vip: string };
  const done = async <T extends { RequestId?: string }>(accepted: T): Promise<T> => {
    while ((await sdk.DescribeTaskStatus({ TaskId: accepted.RequestId ?? "" })).Status === 2);
    return accepted;
  };
  const bind = (ListenerId: string, place: { LocationId?: string }) => {
    const Targets = BACKENDS.map((EniIp) => ({ ListenerId, ...place, EniIp, Port: BACKEND_PORT, Weight: 10 }));
    return sdk.BatchRegisterTargets({ LoadBalancerId, Targets });
  };
  const tcp = await done(await sdk.CreateListener({ LoadBalancerId, Protocol: "TCP", Ports: [8000], HealthCheck: UNCHECKED }));
  await bind(tcp.ListenerIds?.[0] ?? "", {});
  for (const KeepaliveEnable of [0, 1]) {
    const Ports = [8001 + KeepaliveEnable];
    const { ListenerIds } = await done(await sdk.CreateListener({ LoadBalancerId, Protocol: "HTTP", Ports, KeepaliveEnable }));
    const ListenerId = ListenerIds?.[0] ?? "";
    const Rules = [{ Domain: "bench.example", Url: "/", HealthCheck: UNCHECKED }];
    const { LocationIds } = await done(await sdk.CreateRule({ LoadBalancerId, ListenerId, Rules }));
    await bind(ListenerId, { LocationId: LocationIds?.[0] ?? "" });
  }
  return vip;
}
