import { backoffMs } from "../../common/backoff.ts";
import type { Clock } from "../../common/clock.ts";
import { makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { makeLatch } from "../../common/latch.ts";
import type { Logger } from "../../common/log.ts";
import { CA_BUNDLE_CONFIG_MAP, CA_BUNDLE_KEY, CA_SECRET, SERVING_SECRET } from "../../common/names.ts";
import {
  authoritiesIn,
  certificateFault,
  isIssuedBy,
  issueAuthority,
  issuedAtMs,
  issueServing,
  type Material,
  namesOf,
} from "./certificate.ts";
import { type Found, makeKeptObjects } from "./kept-objects.ts";

/** What a TLS server of ours serves with, PEM; `caBundlePem` is what its clients must trust. */
export type Serving = { readonly certPem: string; readonly keyPem: string; readonly caBundlePem: string };

/** The certificate in use; servers subscribe and swap it without a restart. */
export interface ServingSource {
  readonly current: Serving;
  /** Called at each change, not for the present value. Returns the way to unsubscribe. */
  subscribe(listener: (serving: Serving) => void): () => void;
}

/** `run` keeps what is served current until aborted; it never rejects. */
export interface ServingKeeper extends ServingSource {
  run(signal: AbortSignal): Promise<void>;
  /** Keeps the objects in step as well, with the leader's client, until the signal aborts: the leader alone writes them. */
  lead(kube: Writing, until: AbortSignal): void;
}

type Writing = Pick<KubeClient, "get" | "create" | "patch">;

export type ServingDeps = {
  readonly kube: Pick<KubeClient, "get" | "create" | "patch" | "list" | "watch">;
  readonly namespace: string;
  /** E.g. ["clb-direct-coordinator.clb-direct.svc"] */
  readonly dnsNames: readonly string[];
  /** E.g. ["127.0.0.1"] in the demo. */
  readonly ipAddresses: readonly string[];
  /** Real time, also in scaled runs: the other end judges certificates by its own clock. */
  readonly clock: Clock;
  readonly log: Logger;
};

/** Objects and certificates are looked at anew this often, whatever the watches say; renewal has weeks. */
const CHECK_EVERY_MS = 3_600_000;
/**
 * How long a new authority is only published before it signs: the kubelet brings a changed ConfigMap into a Pod within its sync
 * period plus cache time (60 s + 60 s by default), and an agent whose node was away for a while shall have it as well.
 */
const OVERLAP_MS = 3_600_000;
const RETRY = { baseMs: 250, maxMs: 30_000 };
/** The wall clock is compared with what should have passed this often: a clock that is put right, or a machine that slept, ends no timer. */
const TICK_MS = 1_000;
/** More than timers are late on a busy machine; certificates are valid since minutes before their issue. */
const JUMP_MS = 30_000;
/** Passes of a replica that starts before it writes what it lacks itself: a leader that runs has it back, as it was, well before. */
const LEFT_TO_LEADER = 4;

type Authority = Material & { readonly previousPem: string };
type Objects = ReturnType<typeof makeKeptObjects>;

/** What the objects are to hold, and what this process has held until now. */
class CertificateObjects {
  readonly #deps: ServingDeps;
  readonly #objects: Objects;
  readonly #names: readonly string[];
  #authority: Authority | undefined;
  #serving: Serving | undefined;

  constructor(deps: ServingDeps, objects: Objects) {
    this.#deps = deps;
    this.#objects = objects;
    this.#names = [...deps.dnsNames, ...deps.ipAddresses];
  }

  get serving(): Serving | undefined {
    return this.#serving;
  }

  /**
   * Level-based: looks at what is there, and puts right what is wrong where there is a `writer`; in this order, so that no leaf is served
   * before its issuer is published. Without one a leaf is issued for this process alone where the Secret's does not do. All of it is judged by
   * one moment: where the clock jumps in the middle, the next pass judges anew. Throws NoAuthority.
   */
  async putRight(signal: AbortSignal, writer: Objects | undefined): Promise<Serving> {
    const objects = this.#objects;
    const nowMs = this.#deps.clock.now();
    const authority = await this.#keepAuthority(await objects.read("secrets", CA_SECRET, signal), nowMs, signal, writer);
    this.#authority = authority;
    const caBundlePem = authoritiesIn(authority.certPem + authority.previousPem, nowMs).join("");
    if (writer !== undefined) await keepBundle(writer, await objects.read("configmaps", CA_BUNDLE_CONFIG_MAP, signal), caBundlePem, signal);
    const leaf = await this.#keepServing(await objects.read("secrets", SERVING_SECRET, signal), authority, nowMs, signal, writer);
    this.#serving = { ...leaf, caBundlePem };
    return this.#serving;
  }

  async #keepAuthority(found: Found, nowMs: number, signal: AbortSignal, writer: Objects | undefined): Promise<Authority> {
    const there = {
      certPem: found.data["tls.crt"] ?? "",
      keyPem: found.data["tls.key"] ?? "",
      previousPem: found.data["previous.crt"] ?? "",
    };
    const fault = authorityFault(there, nowMs);
    if (fault === undefined) return there;
    const held = this.#authority;
    const kept = held !== undefined && authorityFault(held, nowMs) === undefined ? held : undefined;
    if (writer === undefined) {
      const usable = fault === "near-expiry" ? there : (kept ?? held);
      if (usable !== undefined) return usable;
      const bundle = await this.#objects.read("configmaps", CA_BUNDLE_CONFIG_MAP, signal);
      throw new NoAuthority(fault, found.resourceVersion === undefined && bundle.resourceVersion === undefined);
    }
    const previousPem = fault === "near-expiry" ? there.certPem : (held?.certPem ?? "");
    const wanted = kept ?? { ...(await issueAuthority(nowMs)), previousPem };
    const data = { "tls.crt": wanted.certPem, "tls.key": wanted.keyPem, "previous.crt": wanted.previousPem };
    await writer.write(found, data, signal);
    tellWritten(this.#deps.log, found, fault);
    return wanted;
  }

  async #keepServing(found: Found, by: Authority, nowMs: number, signal: AbortSignal, writer: Objects | undefined): Promise<Material> {
    const { log, dnsNames, ipAddresses } = this.#deps;
    const names = this.#names;
    const there = { certPem: found.data["tls.crt"] ?? "", keyPem: found.data["tls.key"] ?? "" };
    const fault = servingFault(there, by, names, nowMs);
    if (fault === undefined) return there;
    // A replica of another configuration keeps the names it needs; else each leader would take the former one's away.
    const also = fault === "wrong-name" && writer !== undefined ? namesOf(there.certPem) : { dnsNames: [], ipAddresses: [] };
    const needed = { dnsNames: union(dnsNames, also.dnsNames), ipAddresses: union(ipAddresses, also.ipAddresses) };
    const held = this.#serving;
    const isKept = held !== undefined && servingFault(held, by, [...needed.dnsNames, ...needed.ipAddresses], nowMs) === undefined;
    const kept = isKept ? held : undefined;
    const wanted = kept ?? (await issueServing(by, needed.dnsNames, needed.ipAddresses, nowMs));
    if (writer !== undefined) {
      await writer.write(found, { "tls.crt": wanted.certPem, "tls.key": wanted.keyPem }, signal);
      tellWritten(log, found, fault);
    } else if (kept === undefined) log.info({ secret: found.name, fault }, "certificate issued for this replica until the leader has one");
    return { certPem: wanted.certPem, keyPem: wanted.keyPem };
  }
}

/** There is no authority to sign with, and only the leader writes one. */
class NoAuthority extends Error {
  override readonly name = "NoAuthority";
  /** True: nobody has ever made one, as far as can be seen. */
  readonly isFirst: boolean;

  constructor(fault: string, isFirst: boolean) {
    super(`Secret ${CA_SECRET} has no certificate authority (${fault})`);
    this.isFirst = isFirst;
  }
}

async function keepBundle(writer: Objects, found: Found, wanted: string, signal: AbortSignal): Promise<void> {
  if (found.data[CA_BUNDLE_KEY] !== wanted) await writer.write(found, { [CA_BUNDLE_KEY]: wanted }, signal);
}

/**
 * Reads the Secrets; retries until there is a certificate to serve with or the signal aborts (then rejects with its reason). A replica that
 * starts writes them only where nobody else does: at once where there have never been any, else when the leader had time. Two that do so at
 * once end up with the same ones: a write that was not based on what is there is refused, and read again.
 */
export async function makeServing(deps: ServingDeps, starting: AbortSignal): Promise<ServingKeeper> {
  const { clock, log, namespace } = deps;
  const objects = makeKeptObjects(deps.kube, namespace);
  const certificates = new CertificateObjects(deps, objects);
  const listeners = new Set<(serving: Serving) => void>();
  const latch = makeLatch(clock);
  let failures = 0;
  /** The leader's, while this process leads. */
  let writer: Objects | undefined;
  const tryPass = async (signal: AbortSignal, by: Objects | undefined): Promise<Serving | undefined> => {
    const before = certificates.serving;
    try {
      const done = await certificates.putRight(signal, by);
      if (before !== undefined && !isSame(before, done)) for (const listener of listeners) listener(done);
      failures = 0;
      return done;
    } catch (err) {
      failures++;
      lacking = err instanceof NoAuthority ? err : undefined;
      if (!signal.aborted && lacking?.isFirst !== true) log.warn({ err, failures }, "certificate objects not in step, trying again");
      return undefined;
    }
  };
  let lacking: NoAuthority | undefined;
  let begun: Serving | undefined;
  for (let left = LEFT_TO_LEADER; begun === undefined; ) {
    const isMine = left === 0;
    begun = await tryPass(starting, isMine ? objects : undefined);
    if (lacking !== undefined) left = lacking.isFirst ? 0 : Math.max(0, left - 1);
    if (begun === undefined && (isMine || left > 0)) await clock.sleep(backoffMs(failures, RETRY, Math.random), starting);
  }
  const first = begun;

  return {
    get current() {
      return certificates.serving ?? first;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    lead(kube, until) {
      if (until.aborted) return;
      const kept = makeKeptObjects(kube, namespace);
      const write: Objects["write"] = async (found, data, signal) => {
        until.throwIfAborted(); // a pass that had begun before
        await kept.write(found, data, AbortSignal.any([signal, until]));
      };
      const mine: Objects = { ...kept, write };
      writer = mine;
      until.addEventListener("abort", () => (writer = writer === mine ? undefined : writer), { once: true });
      latch.set();
    },
    async run(signal) {
      const watches = WATCHED.map(([resource, name]) =>
        makeListWatch(
          { client: deps.kube, clock, log },
          {
            path: kubePath`/api/v1/namespaces/${deps.namespace}/${resource}`,
            query: { fieldSelector: `metadata.name=${name}` },
            decode: objects.decode,
            onChange: () => latch.set(),
          },
        ).run(signal),
      );
      const jumps = watchClock(deps, () => latch.set(), signal);
      while (!signal.aborted) {
        await latch.wait(failures === 0 ? CHECK_EVERY_MS : backoffMs(failures, RETRY, Math.random), signal);
        if (!signal.aborted) await tryPass(signal, writer);
      }
      await Promise.all([...watches, jumps]);
    },
  };
}

/** Tells when the wall clock has gone another way than the time that passed, forth or back. */
async function watchClock({ clock, log }: Pick<ServingDeps, "clock" | "log">, onJump: () => void, signal: AbortSignal): Promise<void> {
  for (let before = clock.now(); !signal.aborted; before = clock.now()) {
    await clock.sleep(TICK_MS, signal).catch(() => undefined);
    const jumpedMs = clock.now() - before - TICK_MS;
    if (Math.abs(jumpedMs) < JUMP_MS || signal.aborted) continue;
    log.warn({ seconds: Math.round(jumpedMs / 1000) }, "the clock has jumped");
    onJump();
  }
}

/** The first time is no event worth a fault. */
function tellWritten(log: Logger, found: Found, fault: string): void {
  if (found.resourceVersion === undefined) log.info({ secret: found.name }, "certificate created");
  else log.info({ secret: found.name, fault }, "certificate replaced");
}

const WATCHED = [
  ["secrets", CA_SECRET],
  ["secrets", SERVING_SECRET],
  ["configmaps", CA_BUNDLE_CONFIG_MAP],
] as const;

const authorityFault = (material: Material, nowMs: number) => certificateFault({ ...material, caPem: material.certPem }, nowMs, []);

/** As `certificateFault`; besides, a leaf of the previous authority is replaced when the overlap is over. */
function servingFault(leaf: Material, by: Authority, names: readonly string[], nowMs: number) {
  const fault = certificateFault({ ...leaf, caPem: by.certPem + by.previousPem }, nowMs, names);
  if (fault !== undefined || nowMs < issuedAtMs(by.certPem) + OVERLAP_MS) return fault;
  return isIssuedBy(leaf.certPem, by.certPem) ? undefined : "wrong-issuer";
}

const union = (some: readonly string[], more: readonly string[]): readonly string[] => [...new Set([...some, ...more])];

const isSame = (one: Serving, other: Serving): boolean =>
  one.certPem === other.certPem && one.keyPem === other.keyPem && one.caBundlePem === other.caBundlePem;
