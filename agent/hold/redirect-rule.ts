/**
 * The rule that leads the kubelet's preStop calls to the hold server: packets of the node's own processes to the hold port of a Pod in the
 * set. Beside it, which draining Pods get packets at all. Where the kernel knows no owners (before 5.12) the table is a plain one that the
 * agents of an update share, and that has to be looked after.
 */
import { isIPv4, isIPv6 } from "node:net";
import { backoffMs } from "../../common/backoff.ts";
import type { Clock } from "../../common/clock.ts";
import { makeLatch } from "../../common/latch.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import { type Nft, NftError, startNft } from "./nft.ts";

export type RuleDeps = {
  /** Of this process alone, e.g. "1f0c9a2b": part of the table's name. */
  readonly id: string;
  /** Where the hold server listens; undefined: on the loopback addresses. */
  readonly host: string | undefined;
  /** Of the calls and of the hold server. */
  readonly port: number;
  /** Senders whose packets do not keep a drain going, e.g. ["100.64.0.0/10"]. */
  readonly ignored: readonly string[];
  /** Where nft is looked for. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
};

export interface RedirectRule {
  /** Why there is no rule now, e.g. "nft ended (1)"; undefined: it is in place. */
  readonly fault: string | undefined;
  /** Whose calls are redirected, from now on; a change takes milliseconds. `areAll`: else there may be more whom only others know of. */
  setRedirected(addresses: ReadonlySet<string>, areAll: boolean): void;
  /** Whose packets are noted. */
  setDraining(addresses: ReadonlySet<string>): void;
  /** To whom new connections are counted. */
  setAnswered(addresses: ReadonlySet<string>): void;
  /** How many there were, by address, ever since; undefined: this kernel or this nft does not count them. Rejects where it cannot be said. */
  late(): Promise<ReadonlyMap<string, number> | undefined>;
  /** From now on a table that others share is theirs. */
  retire(): void;
  /** Nobody shares it any more: a table that would stay goes. Never rejects. */
  remove(): Promise<void>;
  /** Draining addresses that got a packet lately. Rejects where it cannot be said. */
  seen(): Promise<ReadonlySet<string>>;
  /** Until the signal aborts; never rejects. `onReady` once, when the rule is in place or cannot be. */
  run(signal: AbortSignal, onReady: () => void): Promise<void>;
}

const FAMILIES = [
  { family: "ip", type: "ipv4_addr", isOne: isIPv4 },
  { family: "ip6", type: "ipv6_addr", isOne: isIPv6 },
] as const;
type Family = (typeof FAMILIES)[number];
type SetName = "redirected" | "draining" | "answered";
type Installed = {
  readonly nft: Nft;
  readonly table: string;
  readonly families: readonly Family[];
  readonly owned: boolean;
  /** Connections to answered Pods are counted: sets have counters from kernel 5.7 and nft 0.9.5 on. */
  readonly counts: boolean;
};
const NOBODY: Readonly<Record<SetName, ReadonlySet<string>>> = { redirected: new Set(), draining: new Set(), answered: new Set() };

/** nft ended, or the table is gone: others may need a moment, too. */
const AGAIN = { baseMs: 100, maxMs: 10_000 };
/** A table without owner may be flushed by anybody; asking takes 1.6 ms. */
const LOOK_MS = 1_000;
/** How long a packet is remembered: the drain asks every second. */
const SEEN = "60s";
/** Between conntrack (-200) and the rules of kube-proxy and iptables (-100): the first chain that translates decides. */
const PRIORITY = -150;

export const makeRedirectRule = (deps: RuleDeps): RedirectRule => new Rule(deps);

class Rule implements RedirectRule {
  readonly #deps: RuleDeps;
  readonly #latch: ReturnType<typeof makeLatch>;
  readonly #wanted: Record<SetName, ReadonlySet<string>> = { ...NOBODY };
  #installed: Installed | undefined;
  /** What the present table has. */
  #present: Readonly<Record<SetName, ReadonlySet<string>>> = NOBODY;
  #fault: string | undefined = "not in place yet";
  #isRetired = false;
  #areAll = false;
  #isShared = false;
  #tables = 0;

  constructor(deps: RuleDeps) {
    this.#deps = deps;
    this.#latch = makeLatch(deps.clock);
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  setRedirected(addresses: ReadonlySet<string>, areAll: boolean): void {
    this.#wanted.redirected = addresses;
    this.#areAll = areAll;
    this.#latch.set();
  }

  setDraining(addresses: ReadonlySet<string>): void {
    this.#wanted.draining = addresses;
    this.#latch.set();
  }

  setAnswered(addresses: ReadonlySet<string>): void {
    this.#wanted.answered = addresses;
    this.#latch.set();
  }

  async late(): Promise<ReadonlyMap<string, number> | undefined> {
    const { nft, table, families, counts } = this.#installed ?? {};
    if (nft === undefined || families === undefined) throw new NftError(this.#fault ?? "no table");
    if (counts !== true) return undefined;
    const text = await nft.run(...families.map(({ family }) => `list set ${family} ${table} late`));
    return new Map(text.matchAll(/([0-9a-f.:]+) counter packets (\d+)/g).map(([, address = "", packets]) => [address, Number(packets)]));
  }

  retire(): void {
    this.#isRetired = true;
  }

  async remove(): Promise<void> {
    const { nft, table, families, owned } = this.#installed ?? {};
    if (nft === undefined || families === undefined || owned !== false) return;
    await nft
      .run(...families.map(({ family }) => `delete table ${family} ${table}`))
      .catch((err: unknown) => this.#deps.log.info({ err }, "a table of redirects stays"));
  }

  async seen(): Promise<ReadonlySet<string>> {
    const { nft, table, families } = this.#installed ?? {};
    if (nft === undefined || families === undefined) throw new NftError(this.#fault ?? "no table");
    const text = await nft.run(...families.map(({ family }) => `list set ${family} ${table} seen`));
    return new Set(text.match(/[0-9a-f.:]+(?= (?:timeout|expires))/g) ?? []);
  }

  async run(signal: AbortSignal, onReady: () => void): Promise<void> {
    const { clock, log } = this.#deps;
    for (let attempt = 0; !signal.aborted; attempt++) {
      if (this.#isRetired && this.#isShared) return; // whoever comes after has it
      const nft = startNft(this.#deps);
      const over = new AbortController(); // with this nft, lest the next one finds somebody who waits for the latch
      const end = (): void => over.abort(OVER);
      signal.addEventListener("abort", end, { once: true });
      try {
        await this.#keep(nft, over.signal, onReady, () => (attempt = 0));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        if (why !== this.#fault && !signal.aborted) log.warn({ why }, "no redirect rule: preStop calls are refused until there is one");
        this.#fault = why;
      } finally {
        signal.removeEventListener("abort", end);
        end();
        this.#installed = undefined;
        nft.close();
      }
      onReady();
      await clock.sleep(backoffMs(attempt, AGAIN, Math.random), signal).catch(() => undefined);
    }
  }

  /** Installs the table and keeps its sets as they are wanted, until nft ends or the table is gone. */
  async #keep(nft: Nft, over: AbortSignal, onReady: () => void, onDone: () => void): Promise<void> {
    const { log, clock, id } = this.#deps;
    this.#tables += 1; // the table of an nft that was killed is there for a moment more
    const owned = await this.#install(nft, `clb_direct_${id}_${this.#tables}`, true).catch((error: unknown) => {
      log.info({ why: error instanceof Error ? error.message : String(error) }, "the kernel gives tables no owner: using a plain one");
      return undefined;
    });
    this.#isShared = owned === undefined;
    const installed = owned ?? (await this.#install(nft, "clb_direct", false));
    this.#installed = installed;
    this.#present = { ...NOBODY, redirected: this.#isShared ? await this.#redirectedNow(installed) : NOBODY.redirected };
    for (let lookAtMs = clock.now() + LOOK_MS; !over.aborted; ) {
      await this.#apply();
      if (this.#fault !== undefined) log.info({ table: installed.table, owned: installed.owned }, "redirect rule is in place");
      this.#fault = undefined;
      onDone();
      onReady();
      const waitMs = owned === undefined ? lookAtMs - clock.now() : Number.POSITIVE_INFINITY;
      await Promise.race([this.#latch.wait(waitMs, over), nft.ended]);
      if (owned !== undefined || clock.now() < lookAtMs) continue;
      lookAtMs = clock.now() + LOOK_MS;
      this.#present = { ...this.#present, redirected: await this.#redirectedNow(installed) };
    }
  }

  /** What is in a table that others write as well. Rejects where it is gone. */
  async #redirectedNow({ nft, table, families }: Installed): Promise<ReadonlySet<string>> {
    await nft.run(...families.map(({ family }) => `list chain ${family} ${table} out`));
    const text = await nft.run(...families.map(({ family }) => `list set ${family} ${table} redirected`));
    return new Set(Array.from(text.matchAll(/elements = \{([^}]*)\}/g)).flatMap(([, all = ""]) => all.match(/[0-9a-f.:]+/g) ?? []));
  }

  async #install(nft: Nft, table: string, owned: boolean): Promise<Installed> {
    const families: Family[] = [];
    for (const one of FAMILIES) {
      if (this.#deps.host !== undefined && !one.isOne(this.#deps.host)) continue; // the server has one address only
      try {
        // A plain one that is of another kind, e.g. of an older version, is made anew.
        if (owned) await nft.run(this.#tableOf(one, table, "owned"));
        else await nft.run(this.#tableOf(one, table, "kept")).catch(() => nft.run(this.#tableOf(one, table, "anew")));
        families.push(one);
      } catch (error) {
        if (one.family === "ip") throw error;
        this.#deps.log.info({ why: error instanceof Error ? error.message : String(error) }, "no rule for IPv6");
      }
    }
    const isCounted = async (): Promise<boolean> => {
      for (const one of families) await nft.run(this.#countsOf(one, table));
      return true;
    };
    const counts = await isCounted().catch((error: unknown) => {
      this.#deps.log.info({ why: error instanceof Error ? error.message : String(error) }, "no count of connections after a hold's answer");
      return false;
    });
    return { nft, table, families, owned, counts };
  }

  /** Part of the table where it can be: new connections to Pods whose holds were answered. */
  #countsOf(one: Family, table: string): string {
    const { family, type } = one;
    const it = `${family} ${table}`;
    return [
      `add set ${it} answered { type ${type}; }`,
      `add set ${it} late { type ${type}; flags dynamic; counter; }`,
      `add rule ${it} through ${this.#known(one)}${family} daddr @answered tcp flags & (fin | syn | rst | ack) == syn update @late { ${family} daddr }`,
    ].join("; ");
  }

  /** Leaves the senders of health checks out. */
  #known({ family }: Family): string {
    const senders = this.#deps.ignored.filter((range) => range.includes(":") === (family === "ip6"));
    return senders.length === 0 ? "" : `${family} saddr != { ${senders.join(", ")} } `;
  }

  /**
   * One transaction. A plain table keeps its addresses: the agent that this one replaces goes on with them, until the Pods of the node are
   * known here as well; the rules are made anew.
   */
  #tableOf(one: Family, table: string, how: "owned" | "kept" | "anew"): string {
    const { family, type } = one;
    const { host, port } = this.#deps;
    const it = `${family} ${table}`;
    const target = host === undefined ? `redirect to :${port}` : `dnat to ${host}:${port}`;
    const fresh = {
      owned: [`add table ${it} { flags owner; }`],
      kept: [`add table ${it}`],
      anew: [`add table ${it}`, `delete table ${it}`, `add table ${it}`],
    }[how];
    return [
      ...fresh,
      `add set ${it} redirected { type ${type}; }`,
      `add set ${it} draining { type ${type}; }`,
      `add set ${it} seen { type ${type}; flags dynamic,timeout; timeout ${SEEN}; }`,
      `add chain ${it} out { type nat hook output priority ${PRIORITY}; policy accept; }`,
      `flush chain ${it} out`,
      `add rule ${it} out ${family} daddr @redirected tcp dport ${port} ${target}`,
      `add chain ${it} through { type filter hook forward priority 0; policy accept; }`,
      `flush chain ${it} through`,
      `add rule ${it} through ${this.#known(one)}${family} daddr @draining update @seen { ${family} daddr }`,
    ].join("; ");
  }

  async #apply(): Promise<void> {
    const { nft, table, families, counts, owned } = this.#installed ?? {};
    if (nft === undefined || families === undefined || (this.#isRetired && owned === false)) return;
    const { redirected } = this.#wanted;
    const wanted = {
      ...this.#wanted,
      redirected: owned === false && !this.#areAll ? new Set([...this.#present.redirected, ...redirected]) : redirected,
    };
    const names: readonly SetName[] = ["redirected", "draining", ...(counts === true ? (["answered"] as const) : [])];
    const lines = families.flatMap((one) => {
      const steps = names.flatMap((name) => {
        const [before, after] = [this.#present[name], wanted[name]];
        const added = [...after].filter((address) => one.isOne(address) && !before.has(address));
        const removed = [...before].filter((address) => one.isOne(address) && !after.has(address));
        const it = `element ${one.family} ${table} ${name}`;
        return [
          ...(added.length > 0 ? [`add ${it} { ${added.join(", ")} }`] : []),
          // Who shares the table may have removed it already, which would be an error.
          ...(removed.length > 0 && owned === false ? [`add ${it} { ${removed.join(", ")} }`] : []),
          ...(removed.length > 0 ? [`delete ${it} { ${removed.join(", ")} }`] : []),
        ];
      });
      return steps.length === 0 ? [] : [steps.join("; ")];
    });
    if (lines.length > 0) await nft.run(...lines);
    this.#present = wanted;
  }
}
