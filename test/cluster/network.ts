/**
 * Which addresses a demo or a test file may use. As a program, `node test/cluster/network.ts -- <command …>` runs the command where they
 * are local (namespace.ts).
 */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, NETWORK_VARIABLE } from "./namespace.ts";

export type NetworkKind = "namespace" | "loopback";

/** Addresses of one slot; no other slot has any of them. */
export type AddressPlan = {
  readonly kind: NetworkKind;
  readonly slot: number;
  /** 453 addresses for Pods, e.g. 10.244.3.1 to 10.244.3.199 and 10.244.128.1 to 10.244.128.254; 127.244.x.y on loopback. */
  readonly podAddresses: readonly string[];
  /** VIPs of the cloud, e.g. "198.18.3.0/24"; "127.198.3.0/24" on loopback. */
  readonly vipRange: string;
  /** 254 VIPs of that range, e.g. 198.18.3.1 to 198.18.3.254. */
  readonly vips: readonly string[];
  readonly coordinator: string;
  readonly standby: string;
  readonly cloud: string;
  readonly apiServer: string;
  /** Source address for load generators. */
  readonly client: string;
  /** Address of node number `index`, 0 to 44: its Pods' hostIP and where its agent listens, e.g. "10.244.3.210". */
  readonly nodeAddress: (index: number) => string;
  /** Port for Services: 80, or 8080 where ports below 1024 need root. */
  readonly servicePort: number;
};

/** Slots 1 to 124; 0 and 250 to 255 stay free for whoever needs a fixed address (a real API server advertises 10.244.255.254). */
const SLOTS = { first: 1, last: 124 } as const;
/** Slot n has the range 125 + n as well, for many Pods. */
const SECOND_RANGE = 125;
const FIRST_NODE = 210;
const LAST_HOST = 254;

/** As the launcher says; without it (a test file started by hand) loopback, which works everywhere on Linux. */
export const networkKind = (env: NodeJS.ProcessEnv = process.env): NetworkKind =>
  env[NETWORK_VARIABLE] === "namespace" ? "namespace" : "loopback";

/** Throws RangeError on a slot outside 1 to 124. */
export function addressPlan(slot: number, kind: NetworkKind = networkKind()): AddressPlan {
  if (!Number.isInteger(slot) || slot < SLOTS.first || slot > SLOTS.last)
    throw new RangeError(`slot must be a whole number from ${SLOTS.first} to ${SLOTS.last}, got ${slot}`);
  const range = `${kind === "namespace" ? "10" : "127"}.244`;
  const hosts = `${range}.${slot}`;
  const vips = kind === "namespace" ? `198.18.${slot}` : `127.198.${slot}`;
  return {
    kind,
    slot,
    podAddresses: [
      ...upTo(199).map((host) => `${hosts}.${host}`),
      ...upTo(LAST_HOST).map((host) => `${range}.${slot + SECOND_RANGE}.${host}`),
    ],
    vipRange: `${vips}.0/24`,
    vips: upTo(LAST_HOST).map((host) => `${vips}.${host}`),
    coordinator: `${hosts}.200`,
    standby: `${hosts}.201`,
    cloud: `${hosts}.202`,
    apiServer: `${hosts}.203`,
    client: `${hosts}.204`,
    nodeAddress: (index) => {
      if (!Number.isInteger(index) || index < 0 || FIRST_NODE + index > LAST_HOST)
        throw new RangeError(`node index must be a whole number from 0 to ${LAST_HOST - FIRST_NODE}, got ${index}`);
      return `${hosts}.${FIRST_NODE + index}`;
    },
    servicePort: kind === "namespace" ? 80 : 8080,
  };
}

/** [1, 2, …, last]. */
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

export type SlotClaim = { readonly plan: AddressPlan; readonly release: () => Promise<void> };

/** The lock of slot n, and of the turn as n = 0, is the listener on 127.0.0.1:(20000 + n); it goes with the process that holds it, however that ends. */
const LOCK_PORT = 20_000;

/** A slot that no other test file or demo of this namespace (on loopback: of this machine) has, until released or the process ends. */
export async function claimSlot(kind: NetworkKind = networkKind()): Promise<SlotClaim> {
  for (let slot = SLOTS.first; slot <= SLOTS.last; slot++) {
    const release = await lock(LOCK_PORT + slot);
    if (release !== undefined) return { plan: addressPlan(slot, kind), release };
  }
  throw new Error(`all address slots are taken: ports ${LOCK_PORT + SLOTS.first} to ${LOCK_PORT + SLOTS.last} of 127.0.0.1 are in use`);
}

/** How often a turn that somebody else has is asked for. */
const TURN_MS = 50;

/**
 * The one turn of this namespace, waited for, until released or the process ends: for what takes the whole machine for seconds, e.g. the
 * start of an API server, so that two at once do not each take four times as long.
 */
export async function claimTurn(): Promise<() => Promise<void>> {
  for (;;) {
    const release = await lock(LOCK_PORT);
    if (release !== undefined) return release;
    await sleep(TURN_MS);
  }
}

function lock(port: number): Promise<(() => Promise<void>) | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
      server.unref(); // a forgotten release must not keep a test file from ending
      resolve(() => new Promise((done) => server.close(() => done())));
    });
  });
}

if (import.meta.main) {
  const command = process.argv.slice(2);
  try {
    process.exitCode = await launch(command[0] === "--" ? command.slice(1) : command);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
