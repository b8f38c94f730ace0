import { parseArgs } from "node:util";
import type { Clock } from "../common/clock.ts";
import type { KubeClient } from "../common/kube-client.ts";
import type { Logger } from "../common/log.ts";
import { OWNER_TAG } from "../common/names.ts";
import type { CloudTransport } from "./cloud/transport.ts";
import { dryClient, dryTransport } from "./dry.ts";
import { Engine, type EngineDeps } from "./engine.ts";
import { EventSink } from "./events.ts";
import { makeMetrics } from "./metrics.ts";
import { makeObjects } from "./objects.ts";
import type { Planned } from "./planned.ts";
import { makeNodeRegistry } from "./stream/node-registry.ts";
import { makeWatchNode } from "./stream/node-watch.ts";

export const USAGE = `usage: npm run coordinator [-- --once --observe]
  --observe  write nothing, whatever POLICY says
  --once     with --observe: read everything once, print what would be done, and end: 0 nothing, 2 something, 1 it could not be read`;

/** What the command line asks for. Throws a TypeError with the mistake. */
export function readArguments(args: readonly string[]): { readonly once: boolean; readonly observe: boolean; readonly help: boolean } {
  const options = {
    once: { type: "boolean", default: false },
    observe: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  } as const;
  const { values } = parseArgs({ args: [...args], options });
  if (values.once && !values.observe) throw new TypeError("--once needs --observe: only a look is made once");
  return values;
}

export type OnceDeps = {
  readonly client: KubeClient;
  readonly transport: CloudTransport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: EngineDeps["settings"];
};

/** How long reading everything may take, and how often to look whether it is done. */
const LIMIT_MS = 60_000;
const LOOK_MS = 50;

/**
 * Reads everything once and says what would be done; writes nothing anywhere and needs no Lease. Pods are listed from the API server,
 * because agents speak to the coordinators that run. Throws an Error that names what could not be read.
 */
export async function planOnce({ client, transport, clock, log, settings }: OnceDeps): Promise<readonly Planned[]> {
  const stop = new AbortController();
  const created = new Map<string, string>();
  const dry = dryClient(client);
  const none = (): number => 0;
  const gauges = { queueDepth: () => ({}), watchAgeSeconds: () => ({}), mirrorAgeSeconds: none, nodes: () => [], pods: none };
  const metrics = makeMetrics({ ...gauges, leading: () => false, parkedRemovals: none });
  const watchNode = makeWatchNode({ client: dry, clock, log }, settings.gateType);
  const registry = makeNodeRegistry({ clock, log, watchNode, observer: metrics.observer, agentGraceMs: 0 }, stop.signal);
  const state: { engine?: Engine } = {};
  const objects = makeObjects({
    client: dry,
    clock,
    log,
    onService: (change) => state.engine?.serviceChanged(change),
    onConfig: (change) => state.engine?.configChanged(change),
    onNode: ({ kind, record }) => (kind === "removed" ? registry.nodeDeleted(record) : registry.nodeSeen(record)),
    onNodesListed: () => registry.setNodes([...objects.nodes.records.values()]),
  });
  const onWrite = (action: string, request: object): void => {
    const tags: unknown = Reflect.get(request, "Tags");
    const owner = Array.isArray(tags) ? tags.find((tag: { TagKey?: string }) => tag.TagKey === OWNER_TAG) : undefined;
    created.set(String(owner?.TagValue), action);
  };
  const events = new EventSink({ client: dry, clock, log, component: "clb-direct" });
  const observing = { ...settings, policy: "observe" } as const;
  const engine = new Engine({
    client: dry,
    transport: dryTransport(transport, onWrite),
    facts: registry,
    objects,
    events,
    metrics,
    clock,
    log,
    settings: observing,
  });
  state.engine = engine;
  const running = Promise.all([objects.run(stop.signal), engine.run(stop.signal, stop.signal)]);
  try {
    for (const untilMs = clock.now() + LIMIT_MS; engine.unread !== undefined; ) {
      if (clock.now() >= untilMs) throw new Error(`not read within ${LIMIT_MS / 1000} s: ${engine.unread}`);
      await clock.sleep(LOOK_MS);
    }
    return [...orders(created, objects), ...engine.planned()];
  } finally {
    stop.abort(new Error("the look is over"));
    await running;
  }
}

/** Load balancers that would be created, one per Service that has none. */
function orders(created: ReadonlyMap<string, string>, objects: ReturnType<typeof makeObjects>): Planned[] {
  return [...created].map(([uid, call]) => {
    const service = objects.services.records.get(uid);
    const name = service === undefined ? uid : `${service.namespace}/${service.name}`;
    const what = "1 load balancer, then its listeners and targets";
    return { loadBalancerId: "(new)", lane: "create", call, what, why: `Service ${name} has none` };
  });
}
