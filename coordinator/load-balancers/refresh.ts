import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { ownerMarkOf } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import { placesOf } from "../domain/load-balancer.ts";
import { type Drift, driftOf } from "../domain/safety/drift.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { ListenerIdentity } from "../state/listener-identity.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { Resync } from "./resync.ts";
import type { Writer } from "./writer.ts";

export type RefreshDeps = {
  readonly api: Pick<ClbApi, "loadBalancer" | "listeners">;
  readonly mirror: Mirror;
  readonly writer: Pick<Writer, "confirm" | "believed" | "rereadAtMs" | "rereadFailed" | "hasDeleted">;
  readonly addressClaims: Pick<AddressClaims, "keepOnly">;
  readonly intents: Pick<Intents, "loadBalancerIds">;
  /** Pods that are known live, so what is claimed for them is kept; default: none is. */
  readonly facts?: Pick<PodFacts, "pods" | "confirm">;
  readonly clusterId: string;
  /** Which listeners are ours whatever their names are; default: names alone tell. */
  readonly identity?: Pick<ListenerIdentity, "identified" | "isRecorded">;
  /** Which load balancers are to be re-read to notice what others changed; default: none. */
  readonly resync?: Pick<Resync, "isDue" | "worked" | "failed">;
  /** Told what somebody else changed in listeners of ours. */
  readonly onDrift?: (loadBalancerId: string, drifts: readonly Drift[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Why a load balancer is read although nothing is in doubt. */
const RESYNC = "resync";

/** Reads the load balancer where the mirror is in doubt or its resync is due. False: it does not exist, or is no owner's any more. */
export async function ensureCurrent(deps: RefreshDeps, id: string, signal: AbortSignal): Promise<boolean> {
  const doubt = deps.mirror.staleBecause(id);
  if (doubt !== undefined) return await readAnew(deps, id, doubt, signal);
  const isContradicted = (deps.writer.rereadAtMs(id) ?? Number.POSITIVE_INFINITY) <= deps.clock.now();
  if (deps.resync?.isDue(id) !== true && !isContradicted) return true;
  try {
    const isThere = await readAnew(deps, id, RESYNC, signal);
    deps.resync?.worked(id);
    return isThere;
  } catch (err) {
    if (!(err instanceof ClbApiError)) throw err;
    deps.resync?.failed(id);
    deps.writer.rereadFailed(id);
    deps.log.warn({ err, loadBalancerId: id }, "load balancer not re-read"); // nothing of what is known has come into doubt
    return true;
  }
}

async function readAnew(deps: RefreshDeps, id: string, because: string, signal: AbortSignal): Promise<boolean> {
  const { api, mirror, addressClaims, clock, log } = deps;
  const readAtMs = clock.now();
  const facts = await api.loadBalancer(id, signal);
  if (facts === undefined) {
    if (mirror.read(id) !== undefined) log.error({ loadBalancerId: id }, "load balancer is gone");
    mirror.forget(id);
    return false;
  }
  const isOurs = (name: string, listenerId: string): boolean =>
    ownerMarkOf(name, deps.clusterId) !== undefined || deps.identity?.isRecorded(id, listenerId) === true;
  const shown = await api.listeners(id, isOurs, signal);
  const read = deps.identity?.identified(id, shown) ?? shown;
  const listeners = deps.writer.believed(id, read);
  if (!deps.intents.loadBalancerIds.has(id)) return false; // its last owner went meanwhile
  const bound = new Set(
    [...placesOf({ listeners }), ...placesOf({ listeners: read })].flatMap(({ targets }) => targets.map(({ ip }) => ip)),
  );
  await deps.facts?.confirm([...bound], signal); // whose addresses these are now, whoever asks for those Pods
  addressClaims.keepOnly(id, (ip, podUid) => bound.has(ip) || deps.facts?.pods.has(podUid) === true, readAtMs);
  const known = mirror.read(id);
  mirror.fill(facts, listeners, clock.now());
  deps.writer.confirm(id, read);
  if (known !== undefined) {
    const drifts = driftOf(deps.clusterId, known.listeners, mirror.read(id)?.listeners ?? []);
    // Where nothing of ours made this read necessary, every difference is somebody else's; else only the end of a listener that we let be.
    const isTheirs = ({ listener, isDeleted }: Drift): boolean =>
      because === RESYNC || (isDeleted === true && !deps.writer.hasDeleted(id, listener.listenerId));
    deps.onDrift?.(id, drifts.filter(isTheirs));
  }
  log.debug({ loadBalancerId: id, because }, "load balancer read");
  return true;
}
