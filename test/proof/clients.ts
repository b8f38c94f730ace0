/** The load of a proof, from several addresses: each has some 28 000 ports, and a closed connection keeps its port for a minute. */
import type { AddressPlan } from "../cluster/network.ts";
import { type Failure, startLoad } from "../demo/load.ts";

/** With the client's address, so that the cloud can tell whose connection it was. */
export type LostRequest = Failure & { readonly clientAddress: string };

export type Clients = {
  readonly result: () => { readonly requests: number; readonly minRate: number; readonly failures: readonly LostRequest[] };
  readonly stop: () => Promise<void>;
};

/** At 250 new connections a second, one address alone runs out within two minutes, and the kernel's search for a free port takes the processor. */
const CLIENTS = 5;
/** A request that is lost is reset, or never answered. One that is late is not lost: an update starts a dozen processes on the machine that does all. */
export const TIMEOUT_MS = 10_000;

/** `rate` is that of all together, evenly spaced; half on new connections, half on kept ones. */
export function startClients({ plan, host, rate }: { readonly plan: AddressPlan; readonly host: string; readonly rate: number }): Clients {
  const [, network = "", first = "0"] = /^(.*\.)(\d+)$/.exec(plan.client) ?? [];
  const addresses = Array.from({ length: CLIENTS }, (_, index) => `${network}${Number(first) + index}`);
  const loads = addresses.map((localAddress) => startLoad({ host, port: 80, rate: rate / CLIENTS, localAddress, timeoutMs: TIMEOUT_MS }));
  return {
    result: () => {
      const results = loads.map((load) => load.result());
      return {
        requests: results.reduce((sum, { requests }) => sum + requests, 0),
        minRate: results.reduce((sum, { minRate }) => sum + minRate, 0),
        failures: results
          .flatMap(({ failures }, index) => failures.map((failure) => ({ ...failure, clientAddress: addresses[index] ?? "" })))
          .toSorted((one, other) => one.atMs - other.atMs),
      };
    },
    stop: async () => void (await Promise.all(loads.map((load) => load.stop()))),
  };
}
