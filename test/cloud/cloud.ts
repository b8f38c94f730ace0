import { setMaxListeners } from "node:events";
import type { CallCounts } from "./calls/call-log.ts";
import { type Calls, makeCalls } from "./calls/calls.ts";
import { type BackendCounts, type ConnectionRecord, makeDataPlane } from "./data-plane/data-plane.ts";
import { type FaultControl, makeFaultInjection } from "./faults/injection.ts";
import { type Journal, makeJournal } from "./journal/journal.ts";
import { type Account, emptyAccount, type Place, placesOf } from "./model/account.ts";
import type { Network } from "./model/network.ts";
import { type CloudState, stateOf } from "./model/view.ts";
import { makeVips } from "./model/vips.ts";
import { makeAccountChanges } from "./runtime/account-changes.ts";
import { type Health, makeHealth } from "./runtime/health.ts";
import { type CloudOptions, settingsOf } from "./runtime/options.ts";
import { makeRandom } from "./runtime/random.ts";
import { makeTargetChanges } from "./runtime/target-changes.ts";
import { makeTasks } from "./runtime/tasks.ts";
import { makeWrites } from "./runtime/writes.ts";
import { makeShortcuts, type Shortcuts } from "./services/clb/shortcuts.ts";
import { makeServices } from "./services/index.ts";
import { type Keyring, makeKeyring } from "./services/sts/keyring.ts";

/** Numbers since the start. */
export type Counts = CallCounts & {
  /** Writes that came while another one ran on the same load balancer; not those that only met the rest of its lock. */
  readonly overlaps: number;
  readonly runningTasks: number;
  readonly backends: readonly BackendCounts[];
};

export interface Cloud extends Calls, Shortcuts {
  /** The account's VPCs, nodes, ENIs and security groups; a test may change them. */
  readonly network: Network;
  readonly keyring: Keyring;
  readonly journal: Journal;
  readonly faults: FaultControl;
  state(): CloudState;
  /** Its clock: ms since the epoch, and how many times as fast as real time it runs. */
  time(): { readonly nowMs: number; readonly scale: number | "virtual" };
  counts(): Counts;
  /** Newest first: which backend served a client's port. */
  connectionsOf(client: { port: number; address?: string; listenerId?: string }): ConnectionRecord[];
  /** Ends probes, tasks, listeners and connections. */
  stop(): Promise<void>;
}

/** A whole cloud in this process; the HTTP server is only a shell around it. The one place where all of its parts are known. */
export function makeCloud(options: CloudOptions = {}): Cloud {
  const settings = settingsOf(options);
  const { clock, network, profile, limits, region, wallMs, backends, keepGoodTargetsOfFailedListener } = settings;
  const stopping = new AbortController();
  const stopped = stopping.signal;
  setMaxListeners(0, stopped);
  const journal = makeJournal(clock, settings.journalSize);
  const random = makeRandom(settings.seed);
  const account = emptyAccount(settings.certificates);
  const keyring = makeKeyring(settings.keys, wallMs);
  const vips = makeVips(settings.vips);
  const { failedTaskApplies, lockedCode } = settings;
  const tasks = makeTasks({ clock, journal, stopped, failedTaskApplies, lockedCode });
  const sourceOf = (place: Place): string | undefined => probeSource(place, account);
  const health = makeHealth({ clock, journal, random, probe: options.probe, sourceOf, mode: settings.health });
  const { connectTimeoutMs, allDeadAllAlive } = settings;
  const dataPlane = makeDataPlane({ clock, journal, connectTimeoutMs, allDeadAllAlive, certificates: account.certificates });
  const { reregisterUpdatesWeight } = settings;
  const targets = makeTargetChanges({ journal, clock, health, dataPlane, reregisterUpdatesWeight });
  const changes = makeAccountChanges({ account, journal, vips, targets, dataPlane, opensPorts: settings.dataPlane });
  const writes = makeWrites({ tasks, profile });
  const services = makeServices(limits, {
    clb: {
      writes,
      changes,
      targets,
      tasks,
      health,
      network,
      vips,
      clientTokens: new Map(),
      clock,
      random,
      limits,
      region,
      backends,
      answers: settings.answers,
      keepGoodTargetsOfFailedListener,
    },
    vpc: { network, unusedReferences: settings.unusedReferences },
    cvm: { network },
    tag: { changes, region },
    sts: { keyring, wallMs },
    ssl: { random },
  });
  const { faults, faultsOf } = makeFaultInjection({ account, clock, journal, seed: settings.seed + 1, stopped });
  const { apiLatencyMs } = profile;
  const otherPerSecond = limits.clbPerSecond;
  const calls = makeCalls({ services, faultsOf, clock, random, stopped, journal, apiLatencyMs, otherPerSecond, region });

  return {
    ...calls,
    ...makeShortcuts({ account, changes, health, network, vips, random, clock }),
    network,
    keyring,
    journal,
    faults,
    state: () => stateOf(account, { timeMs: clock.now(), overlaps: tasks.overlaps }),
    time: () => ({ nowMs: Math.round(clock.now()), scale: settings.timeScale }),
    counts: () => ({ ...calls.counts(), overlaps: tasks.overlaps, runningTasks: tasks.running, backends: dataPlane.counts() }),
    connectionsOf: (client) => dataPlane.connectionsOf(client),
    stop: async () => {
      stopping.abort();
      endProbes(account, health);
      await dataPlane.closeAll();
    },
  };
}

/** Of 100.64.0.0/10, where the service's probes come from. */
const PROBE_ADDRESS = "100.64.0.1";

/** The address of the load balancer, or one that the service keeps for its probes (clb-api.md §4.3). */
const probeSource = ({ loadBalancerId, healthCheck }: Place, { loadBalancers }: Account): string | undefined =>
  healthCheck.SourceIpType === 0 ? loadBalancers.get(loadBalancerId)?.vip : PROBE_ADDRESS;

function endProbes({ loadBalancers }: Account, health: Pick<Health, "forget">): void {
  for (const loadBalancer of loadBalancers.values())
    for (const place of [...loadBalancer.listeners.values()].flatMap(placesOf))
      for (const target of place.targets.values()) health.forget(place, target);
}
