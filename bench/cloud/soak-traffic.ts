import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import type { Clock } from "../../common/clock.ts";
import type { Fault } from "../../test/cloud/faults/script.ts";
import type { Random } from "../../test/cloud/runtime/random.ts";
import { sdkFor } from "./cloud-process.ts";
import type { Intents } from "./soak-ledger.ts";

const WORKERS = 8;
/** Between two calls of a worker, in the cloud's time. */
const MEAN_PAUSE_MS = 1_000;
/** Small, so that the probes of all targets stay a few hundred a second at twenty times the speed. */
const MOST = { loadBalancers: 4, ports: 3, addresses: 4 } as const;
/** Waits for a connection that gets no answer, in real ms. */
const PATIENCE_MS = 500;

type Deps = {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly ledger: Intents;
  /** Ends the random calls. */
  readonly over: AbortSignal;
};

/** What the generator believes is there, by its own reads: it may well be wrong. */
type Belief = { readonly vip: string; readonly listeners: readonly KnownListener[] };
/** `rules` only of an HTTP listener. */
type KnownListener = { readonly id: string; readonly port: number; readonly rules: readonly string[] | undefined };

/** Workers that call at random, backends that answer, and clients that connect, until `over`. */
export async function startTraffic({ endpoint, clock, random, ledger, over }: Deps) {
  const sdk = sdkFor(endpoint);
  const call = (action: string, request: object) => ledger.note(action, () => sdk.request(action, request));
  const backend = await startBackend();
  const believed = new Map<string, Belief>();
  let connections = 0;

  const below = (count: number): number => Math.floor(random() * count);
  const oneOf = <T>(items: readonly T[]): T | undefined => items[below(items.length)];
  const aLoadBalancer = (): string => (random() < 0.03 ? "lb-unknown1" : (oneOf([...believed.keys()]) ?? "lb-unknown2"));
  const aListener = (id: string): string => oneOf(believed.get(id)?.listeners ?? [])?.id ?? "lbl-unknown";
  const anHttpListener = (id: string): string =>
    oneOf((believed.get(id)?.listeners ?? []).filter(({ rules }) => rules !== undefined))?.id ?? "lbl-unknown";
  const aPlace = (id: string): { readonly ListenerId: string; readonly LocationId?: string } => {
    const listener = oneOf(believed.get(id)?.listeners ?? []);
    const LocationId = oneOf(listener?.rules ?? []);
    return { ListenerId: listener?.id ?? "lbl-unknown", ...(LocationId !== undefined && { LocationId }) };
  };
  /** Some of 127.0.0.1 to .4; nothing listens but on the first. */
  const someTargets = (id: string) => {
    const place = aPlace(id);
    const addresses = Array.from({ length: MOST.addresses }, (_, index) => `127.0.0.${1 + index}`).filter(() => random() < 0.6);
    return addresses.map((EniIp) => ({ ...place, EniIp, Port: backend.port }));
  };
  /** The same targets as ModifyList wants them. */
  const weights = (id: string) =>
    someTargets(id).map(({ EniIp, Port, ...place }) => ({ ...place, Targets: [{ EniIp, Port }], Weight: below(101) }));

  const look = async (): Promise<void> => {
    const answer = await ledger.note("DescribeLoadBalancers", () => sdk.DescribeLoadBalancers({}));
    if (answer === undefined) return;
    const running = (answer.LoadBalancerSet ?? []).filter(({ Status }) => Status === 1);
    const there = new Map(running.map((one) => [one.LoadBalancerId ?? "", one.LoadBalancerVips?.[0] ?? ""]));
    for (const id of believed.keys()) if (!there.has(id)) believed.delete(id);
    for (const [id, vip] of there) believed.set(id, { vip, listeners: believed.get(id)?.listeners ?? [] });
  };
  const lookInto = async (id: string): Promise<void> => {
    const answer = await ledger.note("DescribeListeners", () => sdk.DescribeListeners({ LoadBalancerId: id }));
    const known = believed.get(id);
    if (answer === undefined || known === undefined) return;
    const listeners = (answer.Listeners ?? []).map((one) => ({
      id: one.ListenerId ?? "",
      port: one.Port ?? 0,
      rules: one.Protocol === "HTTP" ? (one.Rules ?? []).map(({ LocationId = "" }) => LocationId) : undefined,
    }));
    believed.set(id, { ...known, listeners });
  };
  const aRule = () => ({ Domain: "soak.example.com", Url: `/${below(3)}` });
  const order = () => call("CreateLoadBalancer", { LoadBalancerType: "OPEN" });
  const visit = async (id: string): Promise<void> => {
    const port = oneOf(believed.get(id)?.listeners ?? [])?.port;
    const vip = believed.get(id)?.vip;
    if (port === undefined || vip === undefined) return;
    connections++;
    await exchange(vip, port);
  };

  /** By weight: how often, and what. */
  const choices: readonly (readonly [weight: number, run: (id: string) => Promise<unknown>])[] = [
    [8, look],
    [10, lookInto],
    [8, visit],
    [6, (id) => call("DescribeTargets", { LoadBalancerId: id })],
    [6, (id) => call("DescribeTargetHealth", { LoadBalancerIds: [id] })],
    [2, async () => believed.size < MOST.loadBalancers && (await order())],
    [0.5, (id) => call("DeleteLoadBalancer", { LoadBalancerIds: [id], ForceDelete: true })],
    [8, (id) => call("CreateListener", { LoadBalancerId: id, Ports: [8000 + below(MOST.ports)], Protocol: "TCP" })],
    [3, (id) => call("CreateListener", { LoadBalancerId: id, Ports: [9000], Protocol: "HTTP" })],
    [5, (id) => call("CreateRule", { LoadBalancerId: id, ListenerId: anHttpListener(id), Rules: [aRule()] })],
    [
      1,
      (id) =>
        call("DeleteRule", { LoadBalancerId: id, ListenerId: anHttpListener(id), LocationIds: [aPlace(id).LocationId ?? "loc-unknown"] }),
    ],
    [1, (id) => call("DeleteListener", { LoadBalancerId: id, ListenerId: aListener(id) })],
    [3, (id) => call("ModifyListener", { LoadBalancerId: id, ListenerId: aListener(id), HealthCheck: { IntervalTime: 2 + below(20) } })],
    [12, (id) => call("BatchRegisterTargets", { LoadBalancerId: id, Targets: someTargets(id) })],
    [6, (id) => call("BatchDeregisterTargets", { LoadBalancerId: id, Targets: someTargets(id) })],
    [6, (id) => call("BatchModifyTargetWeight", { LoadBalancerId: id, ModifyList: weights(id) })],
    [2, () => call("DescribeTaskStatus", { TaskId: "00000000-0000-0000-0000-000000000000" })],
    [1, (id) => call("CreateListener", { LoadBalancerId: id, Port: "eighty" })],
    [1, () => call("DescribeNothing", {})],
  ];
  const sum = choices.reduce((all, [weight]) => all + weight, 0);
  const step = async (): Promise<void> => {
    let rest = random() * sum;
    const [, run] = choices.find(([weight]) => (rest -= weight) < 0) ?? choices[0] ?? [0, look];
    if (believed.size > 0 || random() < 0.2) await run(aLoadBalancer());
    else await (random() < 0.1 ? order() : look());
  };
  const worker = async (): Promise<void> => {
    while (!over.aborted) {
      await step();
      await clock.sleep(random() * 2 * MEAN_PAUSE_MS, over).catch(() => undefined);
    }
  };
  const workers = Promise.all(Array.from({ length: WORKERS }, worker));

  return {
    get connections() {
      return connections;
    },
    /** After `over`: deletes what is there, and waits until nothing runs any more. */
    finish: async (): Promise<void> => {
      await workers;
      await clock.sleep(20_000); // tasks that were under way or stuck end
      for (await look(); believed.size > 0; await look()) {
        for (const id of believed.keys()) await call("DeleteLoadBalancer", { LoadBalancerIds: [id], ForceDelete: true });
        await clock.sleep(2_000);
      }
    },
    close: async (): Promise<void> => {
      await workers;
      backend.close();
    },
  };
}

/** Up to three faults, most of them rare enough that calls get through. */
export function randomFaults(random: Random): Fault[] {
  const probability = 0.02 + random() * 0.2;
  const chosen: Fault[] = [
    { kind: "latency", delay: Math.round(random() * 3000), probability },
    { kind: "error", code: "InternalError", probability },
    { kind: "throttled", perSecond: 5 },
    { kind: "http", status: 502, probability },
    { kind: "reset", probability },
    { kind: "lost-response", probability },
    { kind: "truncated", probability },
    { kind: "chunked", probability },
    { kind: "task-failed", message: "soaked", probability },
    { kind: "task-stuck", hold: Math.round(random() * 10_000), probability },
    { kind: "partial", share: 0.3, probability },
    { kind: "not-bound", share: 0.3, probability },
    { kind: "stale", age: Math.round(random() * 5000) },
    { kind: "locked", hold: 2000, probability },
    { kind: "expired-credentials", probability, for: "5s" },
  ];
  return chosen.filter(() => random() < 3 / chosen.length);
}

/** Answers what it is sent, on 127.0.0.1. */
async function startBackend(): Promise<{ readonly port: number; close(): void }> {
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the backend has no port");
  return { port: address.port, close: () => server.close() };
}

/** One connection that says a word and hears it, or fails: both are fine here. */
function exchange(host: string, port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PATIENCE_MS });
    socket.on("error", () => undefined).once("close", () => resolve());
    socket.once("timeout", () => socket.destroy()).once("data", () => socket.end());
    socket.write("hello");
  });
}
