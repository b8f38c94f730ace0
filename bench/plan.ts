/**
 * `npm run bench:plan`: what planning one large load balancer costs, beside the limits: 50 HTTP listeners of 10 rules with 200 targets
 * each, every target with an address of its own. No cloud and no sockets. Ends with 1 if a limit is exceeded.
 */
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Call } from "../coordinator/domain/call.ts";
import type { WantedBackend } from "../coordinator/domain/intent/backends.ts";
import type { DesiredLoadBalancer, WantedListener, WantedRule } from "../coordinator/domain/intent/desired-load-balancer.ts";
import { type LoadBalancer, placesOf, slotKey, slotOf } from "../coordinator/domain/load-balancer.ts";
import { PlanCache } from "../coordinator/domain/plan/plan-cache.ts";
import { type Plan, type PlanInput, planLoadBalancer } from "../coordinator/domain/plan/plan-load-balancer.ts";
import { Mirror } from "../coordinator/state/mirror.ts";
import { argumentsOrExit } from "../deploy/tools/arguments.ts";

const USAGE = `usage: npm run bench:plan
Plans one load balancer of 100 000 targets and prints what that costs beside the limits; no options. Takes seconds.
Exit code 1 if a limit is exceeded, 2 for a mistake in the options.`;
argumentsOrExit(USAGE, (args) => parseArgs({ args, options: { help: { type: "boolean", default: false } } }).values);

const SIZE = { listeners: 50, rules: 10, targets: 200 } as const;
const TARGETS = SIZE.listeners * SIZE.rules * SIZE.targets;
/** Milliseconds, places and bytes that may not be exceeded. */
const LIMITS = { scratchMs: 150, convergedMs: 50, placesPerChange: 1, bytesPerTarget: 1_024 } as const;
const ROUNDS = 9;
const CLUSTER = "c0ffee00";
const OWNER = { kind: "Service", namespace: "bench", name: "web", uid: "5e21c0ff-ee12-0000-0000-000000000000" } as const;
const BARE: LoadBalancer = { loadBalancerId: "lb-1", vips: ["198.18.0.1"], domain: undefined, tags: {}, listeners: [] };

const address = (n: number): string => `10.${Math.floor(n / 65_536)}.${Math.floor(n / 256) % 256}.${n % 256}`;
const podUid = (n: number): string => `00000000-0000-0000-0000-${String(n).padStart(12, "0")}`;

function someBackends(place: number): WantedBackend[] {
  return Array.from({ length: SIZE.targets }, (_, index) => {
    const n = place * SIZE.targets + index;
    return { podUid: podUid(n), ip: address(n), port: 8080, weight: 10, bindable: true };
  });
}

function whatIsWanted(): DesiredLoadBalancer {
  const listeners = Array.from({ length: SIZE.listeners }, (_, l): WantedListener => {
    const rules = Array.from({ length: SIZE.rules }, (_none, r): WantedRule => {
      return { domain: `s${l}.example.com`, url: `/${r}`, healthCheck: {}, backends: someBackends(l * SIZE.rules + r), standings: [] };
    });
    const port = 1_000 + l;
    const name = `cd-${CLUSTER}-5e21c0ffee12-http${port}`;
    return { name, owner: OWNER, protocol: "HTTP", port, healthCheck: {}, backends: [], standings: [], rules };
  });
  return { loadBalancerId: "lb-1", listeners, owners: [{ ref: OWNER, state: "served" }], conflicts: [] };
}

const desired = whatIsWanted();
const podByIp = new Map(Array.from({ length: TARGETS }, (_, n) => [address(n), podUid(n)]));
let asked = 0;
const input = (actual: LoadBalancer, cache?: PlanCache): PlanInput => ({
  clusterId: CLUSTER,
  desired,
  actual,
  holderOf: (ip) => {
    asked += 1;
    return { kind: "live", podUid: podByIp.get(ip) ?? "" };
  },
  serving: () => true,
  drained: () => false,
  ...(cache && { cache }),
});

const mirror = new Mirror(() => undefined);
const actual = (): LoadBalancer => mirror.read("lb-1") ?? BARE;
let made = 0;
/** As the cloud does it: new things get ids. */
function carryOut(call: Call): void {
  const news = "create" in call ? call.create.listeners : "createRules" in call ? call.createRules.rules : [];
  mirror.fold(
    "lb-1",
    call,
    news.map((_, index) => `id-${made}-${index}`),
    (made += 1),
  );
}

/** The least disturbed of some rounds: the machine may be busy with other things. */
function fastest(work: () => unknown): number {
  const times = Array.from({ length: ROUNDS }, () => {
    const startedMs = performance.now();
    work();
    return performance.now() - startedMs;
  });
  return Math.min(...times);
}

const heapUsed = (): number => {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") for (let n = 0; n < 3; n++) collect();
  return process.memoryUsage().heapUsed;
};

mirror.fill({ ...BARE, running: true }, [], 0);
for (let plan: Plan = planLoadBalancer(input(actual())); ; plan = planLoadBalancer(input(actual()))) {
  const call = plan.calls.find(({ lane }) => lane === "structure");
  if (call === undefined) break;
  carryOut(call);
}
const { calls } = planLoadBalancer(input(actual()));
const scratchMs = fastest(() => planLoadBalancer(input(actual())));

const heapBefore = heapUsed();
const cache = new PlanCache();
const foldsStartedMs = performance.now();
for (const call of calls) carryOut(call);
const foldMs = (performance.now() - foldsStartedMs) / calls.length;
const states = new Map(
  placesOf(actual()).flatMap((place) => place.targets.map((target) => [slotKey(slotOf(place, target)), "Alive"] as const)),
);
mirror.noteHealth("lb-1", states, { askedMs: made + 1, nowMs: made + 2 });
states.clear();
const left = planLoadBalancer(input(actual(), cache)).calls.length;
const bytesPerTarget = (heapUsed() - heapBefore) / TARGETS;

const coldMs = fastest(() => planLoadBalancer(input(actual())));
const convergedMs = fastest(() => planLoadBalancer(input(actual(), cache)));
asked = 0;
const changeMs = fastest(() => {
  cache.podsChanged([podUid(4_711)]);
  planLoadBalancer(input(actual(), cache));
});
const placesPerChange = asked / SIZE.targets / ROUNDS;

const ms = (value: number): string => `${value.toFixed(1)} ms`;
const rows = [
  { what: "from scratch", value: ms(scratchMs), limit: `${LIMITS.scratchMs} ms`, held: scratchMs <= LIMITS.scratchMs },
  { what: "converged", value: ms(convergedMs), limit: `${LIMITS.convergedMs} ms`, held: convergedMs <= LIMITS.convergedMs },
  { what: "converged, nothing remembered", value: ms(coldMs), limit: "", held: true },
  { what: "after a change of one Pod", value: ms(changeMs), limit: `${LIMITS.convergedMs} ms`, held: changeMs <= LIMITS.convergedMs },
  {
    what: "places planned after it",
    value: `${placesPerChange}`,
    limit: `${LIMITS.placesPerChange}`,
    held: placesPerChange <= LIMITS.placesPerChange,
  },
  {
    what: "heap per bound target",
    value: `${Math.round(bytesPerTarget)} B`,
    limit: `${LIMITS.bytesPerTarget} B`,
    held: bytesPerTarget <= LIMITS.bytesPerTarget,
  },
  { what: "one write taken into the mirror", value: ms(foldMs), limit: "", held: true },
  { what: "binds planned", value: `${calls.length}`, limit: `${TARGETS / 500}`, held: calls.length === TARGETS / 500 },
  { what: "calls left afterwards", value: `${left}`, limit: "0", held: left === 0 },
];
console.log(`one load balancer, ${SIZE.listeners} listeners x ${SIZE.rules} rules x ${SIZE.targets} targets; fastest of ${ROUNDS}`);
console.log(`${"".padEnd(34)}${"measured".padStart(10)}${"limit".padStart(10)}`);
for (const { what, value, limit, held } of rows)
  console.log(`${what.padEnd(34)}${value.padStart(10)}${limit.padStart(10)}${held ? "" : "  exceeded"}`);
if (rows.some(({ held }) => !held)) process.exitCode = 1;
