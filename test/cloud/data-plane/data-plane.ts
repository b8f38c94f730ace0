import type { Clock } from "../../../common/clock.ts";
import type { Journal } from "../journal/journal.ts";
import type { CertificateRecord, ListenerRecord, Place, Protocol, TargetRecord } from "../model/account.ts";
import { makeCertificates } from "./certificates.ts";
import { makeChooser } from "./chooser.ts";
import type { Front, FrontDeps } from "./front.ts";
import { openHttpFront } from "./http-front.ts";
import { makePassiveCheck } from "./passive-check.ts";
import { openQuicFront } from "./quic-front.ts";
import { makeSourceAddresses } from "./source-address.ts";
import { openStreamFront } from "./stream-front.ts";
import { type BackendCounts, type ConnectionRecord, makeTrafficLog } from "./traffic-log.ts";
import { openUdpFront } from "./udp-front.ts";

export type { BackendCounts, ConnectionRecord } from "./traffic-log.ts";

/** The listeners' ports and what passes through them. Reads listeners and rules anew for everything that comes, so changes count at once. */
export interface DataPlane {
  /** Listens on vip:port. Rejects if the address cannot be listened on. */
  open(listener: ListenerRecord, vip: string): Promise<void>;
  /** Ends all connections of the listener and frees its port. */
  close(listener: ListenerRecord): Promise<void>;
  /** Ends the connections of a target that was unbound. */
  cut(place: Place, target: TargetRecord): void;
  counts(): BackendCounts[];
  /** Newest first: who served this client port, e.g. to name the Pod behind a failed request. */
  connectionsOf(client: { port: number; address?: string; listenerId?: string }): ConnectionRecord[];
  closeAll(): Promise<void>;
}

export function makeDataPlane(given: {
  readonly clock: Clock;
  readonly journal: Journal;
  /** Real ms. */
  readonly connectTimeoutMs: number;
  readonly certificates: ReadonlyMap<string, CertificateRecord>;
  readonly allDeadAllAlive: boolean;
}): DataPlane {
  const { clock, connectTimeoutMs, allDeadAllAlive } = given;
  const traffic = makeTrafficLog(given);
  const passive = makePassiveCheck<TargetRecord>();
  const choose = makeChooser({ traffic, passive, allDeadAllAlive });
  const certificates = makeCertificates(given.certificates);
  const deps: FrontDeps = { clock, connectTimeoutMs, traffic, passive, choose, certificates, sources: makeSourceAddresses() };
  const fronts = new Map<string, Front>();
  let stopped = false;

  const close = async (listenerId: string): Promise<void> => {
    const front = fronts.get(listenerId);
    fronts.delete(listenerId);
    await front?.close();
  };

  return {
    open: async (listener, vip) => {
      fronts.set(listener.listenerId, await OPEN[listener.protocol](listener, vip, deps));
      if (stopped) await close(listener.listenerId);
    },
    close: ({ listenerId }) => close(listenerId),
    cut: ({ listenerId }, target) => fronts.get(listenerId)?.cut(target),
    counts: () => traffic.counts(),
    connectionsOf: (client) => traffic.connectionsOf(client),
    closeAll: async () => {
      stopped = true;
      await Promise.all([...fronts.keys()].map(close));
    },
  };
}

const OPEN: Readonly<Record<Protocol, (listener: ListenerRecord, vip: string, deps: FrontDeps) => Promise<Front>>> = {
  TCP: openStreamFront,
  TCP_SSL: openStreamFront,
  UDP: openUdpFront,
  QUIC: openQuicFront,
  HTTP: openHttpFront,
  HTTPS: openHttpFront,
};
