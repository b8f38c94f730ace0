import type { Clock } from "../../common/clock.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { makeLatch } from "../../common/latch.ts";
import type { Logger } from "../../common/log.ts";
import { FIELD_MANAGER, WEBHOOK_CONFIGURATION, WEBHOOK_SERVICE } from "../../common/names.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import type { ServingSource } from "../tls/serving.ts";
import {
  configurationFaults,
  configurationFor,
  lacksTrustOnly,
  serviceFaults,
  serviceFor,
  servicePatch,
  type WebhookWish,
  webhooksFor,
} from "./webhook-objects.ts";

export type KeeperDeps = {
  /** That of the leader: it alone writes. */
  readonly client: Pick<KubeClient, "create" | "patch" | "list" | "watch">;
  readonly serving: ServingSource;
  readonly namespace: string;
  /** What the replicas' webhooks listen on. */
  readonly port: number;
  /** Nothing is injected by us: whatever there is of a configuration is emptied. */
  readonly retired: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tell: (problem: Problem) => void;
  /** Something was put right. */
  readonly onRepaired?: () => void;
};

/** Keeps what the API server calls the webhook by as it has to be, whoever deletes or edits it. */
export interface WebhookKeeper {
  /** What is wrong now, for people; empty: nothing, as far as is known. */
  readonly faults: readonly string[];
  /** What is wrong is that the API server is told to trust others: all else leads to the webhook. */
  readonly lacksTrustOnly: boolean;
  /** Address of the webhook's Service inside the cluster; undefined while it has none. */
  readonly clusterIp: string | undefined;
  /** The Service that Events are told on; undefined while there is none. */
  readonly object: ObjectRef | undefined;
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Looked at anew this often, whatever the watches say. */
const LOOK_MS = 60_000;
const RETRY_MS = 1_000;
/** Until the watch brings what we wrote. */
const ARRIVES_MS = 5_000;
/** Somebody who changes it so often within that time fights with us: then it is put back once in half a minute. */
const FIGHT = { repairs: 20, withinMs: 600_000, pauseMs: 30_000 } as const;

type Raw = { readonly uid: string; readonly resourceVersion: string; readonly object: unknown };

const versionOf = (raw: unknown): string => String(member(member(raw, "metadata"), "resourceVersion"));
const decode = (raw: unknown): Raw => ({
  uid: String(member(member(raw, "metadata"), "uid")),
  resourceVersion: versionOf(raw),
  object: raw,
});

const CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

type Kept = {
  readonly what: string;
  readonly faults: () => readonly string[];
  readonly create: (signal: AbortSignal) => Promise<unknown>;
  readonly patch: (signal: AbortSignal) => Promise<unknown>;
  readonly present: () => Raw | undefined;
};

export function makeWebhookKeeper(deps: KeeperDeps): WebhookKeeper {
  const { client, serving, namespace, port, retired, clock, log } = deps;
  const latch = makeLatch(clock);
  const services = kubePath`/api/v1/namespaces/${namespace}/services`;
  const watch = (path: string, name: string) =>
    makeListWatch<Raw>(
      { client, clock, log },
      { path, query: { fieldSelector: `metadata.name=${name}` }, decode, onChange: () => latch.set(), onSynced: () => latch.set() },
    );
  const watches = { configuration: watch(CONFIGURATIONS, WEBHOOK_CONFIGURATION), service: watch(services, WEBHOOK_SERVICE) };
  const first = (set: { readonly records: ReadonlyMap<string, Raw> }): Raw | undefined => [...set.records.values()][0];
  const wish = (): WebhookWish => ({ namespace, caBundlePem: serving.current.caBundlePem, retired });
  const query = { fieldManager: FIELD_MANAGER };
  const merged = (path: string, body: object, signal: AbortSignal) => client.patch(path, body, "merge", { query, signal });
  const all: readonly Kept[] = [
    {
      what: `Service ${namespace}/${WEBHOOK_SERVICE}`,
      present: () => first(watches.service),
      faults: () => serviceFaults(first(watches.service)?.object, { port }),
      create: (signal) => client.create(services, serviceFor({ namespace, port }), { query, signal }),
      patch: (signal) =>
        merged(
          kubePath`/api/v1/namespaces/${namespace}/services/${WEBHOOK_SERVICE}`,
          servicePatch(first(watches.service)?.object, { namespace, port }),
          signal,
        ),
    },
    {
      what: `MutatingWebhookConfiguration ${WEBHOOK_CONFIGURATION}`,
      present: () => first(watches.configuration),
      faults: () => configurationFaults(first(watches.configuration)?.object, wish()),
      create: (signal) => client.create(CONFIGURATIONS, configurationFor(wish()), { query, signal }),
      patch: (signal) =>
        merged(
          kubePath`/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${WEBHOOK_CONFIGURATION}`,
          { webhooks: webhooksFor(wish()) },
          signal,
        ),
    },
  ];
  // Retired, the Service is the uninstallation's to delete: put back, it would stay, and whoever waits for its end would wait in vain.
  const kept = retired ? all.slice(1) : all;
  const isSynced = (): boolean => watches.configuration.synced && watches.service.synced;
  const isHeadless = (): boolean => member(member(first(watches.service)?.object, "spec"), "clusterIP") === "None";
  const object = (): ObjectRef | undefined => {
    const service = first(watches.service);
    return service && { kind: "Service", namespace, name: WEBHOOK_SERVICE, uid: service.uid };
  };
  const repairs = makeRepairs(deps, object);
  return {
    get faults() {
      if (!isSynced()) return ["the MutatingWebhookConfiguration or the webhook's Service cannot be read"];
      const wrong = kept.flatMap(({ what, faults }) => faults().map((fault) => `${what}: ${fault}`));
      return isHeadless()
        ? [...wrong, `Service ${namespace}/${WEBHOOK_SERVICE}: it is headless, so no API server calls it: delete it`]
        : wrong;
    },
    get lacksTrustOnly() {
      const isServiceWell = serviceFaults(first(watches.service)?.object, { port }).length === 0 && !isHeadless();
      return isSynced() && isServiceWell && lacksTrustOnly(first(watches.configuration)?.object, wish());
    },
    get clusterIp() {
      const ip = member(member(first(watches.service)?.object, "spec"), "clusterIP");
      return typeof ip === "string" && ip !== "" && ip !== "None" ? ip : undefined;
    },
    get object() {
      return object();
    },
    async run(signal) {
      const unsubscribe = serving.subscribe(() => latch.set());
      const watching = Promise.all(Object.values(watches).map((one) => one.run(signal)));
      try {
        while (!signal.aborted) {
          const waits: number[] = [LOOK_MS];
          if (isSynced()) for (const one of kept) waits.push(await repairs.putRight(one, signal));
          await latch.wait(Math.min(...waits), signal);
        }
      } finally {
        unsubscribe();
        await watching;
      }
    },
  };
}

type Manager = { readonly manager?: unknown; readonly time?: unknown };

/** Nobody has written it since we did, as the API server notes who wrote last: it is wrong because a former version of us wanted something else. */
function isLastOurs(object: unknown): boolean {
  const listed = member(member(object, "metadata"), "managedFields");
  const all: readonly Manager[] = Array.isArray(listed) ? listed : [];
  const last = all.toSorted((a, b) => String(b.time).localeCompare(String(a.time)))[0];
  return last?.manager === FIELD_MANAGER;
}

function makeRepairs({ namespace, clock, log, tell, onRepaired }: KeeperDeps, object: () => ObjectRef | undefined) {
  /** When each object was put right lately, milliseconds since the epoch. */
  const lately = new Map<string, readonly number[]>();
  /** The version that was put right, and when: what is seen for a moment after that is what was there before. */
  const written = new Map<string, { readonly state: string; readonly atMs: number }>();
  /** The version of each object that was as it had to be: where it is wrong all the same, we want something else now (a new CA). */
  const right = new Map<string, string>();
  return {
    /** Returns when to look again, milliseconds. */
    async putRight({ what, present, faults, create, patch }: Kept, signal: AbortSignal): Promise<number> {
      const wrong = faults();
      const now = clock.now();
      const there = present();
      const state = there?.resourceVersion ?? "absent";
      if (wrong.length === 0) {
        written.delete(what); // it has arrived: what is wrong from now on is new, also where it looks as before
        right.set(what, state);
        return LOOK_MS;
      }
      const before = written.get(what);
      if (before?.state === state && now - before.atMs < ARRIVES_MS) return RETRY_MS;
      const isOurs = there === undefined ? !right.has(what) : right.get(what) === state || (!right.has(what) && isLastOurs(there.object));
      const times = (lately.get(what) ?? []).filter((ms) => now - ms < FIGHT.withinMs);
      const last = times.at(-1);
      if (times.length >= FIGHT.repairs && last !== undefined && now < last + FIGHT.pauseMs) {
        tellContested(what, wrong);
        return last + FIGHT.pauseMs - now;
      }
      try {
        const answer = await (there === undefined ? create(signal) : patch(signal));
        const after = versionOf(answer);
        written.set(what, { state, atMs: now });
        right.set(what, after);
        if (!isOurs) tellRepaired(what, wrong, toldOn(answer));
        if (!isOurs || after === state) lately.set(what, [...times, now]); // a write that changes nothing is no cure
        log.info({ object: what, faults: wrong }, isOurs ? "brought up to date" : "put right");
        onRepaired?.();
        return RETRY_MS;
      } catch (err) {
        written.delete(what);
        // Whatever it is, also the fence's refusal and our own abort: what else a leader runs must not end because of it.
        if (!signal.aborted) log.warn({ err, object: what, faults: wrong }, "not put right");
        return RETRY_MS;
      }
    },
  };

  /** The Service, also where it was made just now, and no watch has brought it yet. */
  function toldOn(answer: unknown): ObjectRef | undefined {
    const uid = member(member(answer, "metadata"), "uid");
    const isService = member(member(answer, "metadata"), "name") === WEBHOOK_SERVICE;
    return isService && typeof uid === "string" ? { kind: "Service", namespace, name: WEBHOOK_SERVICE, uid } : object();
  }

  function tellRepaired(what: string, wrong: readonly string[], on: ObjectRef | undefined): void {
    say(
      on,
      "AdmissionRepaired",
      `${what} was changed (${wrong.join(", ")}) and is put back: it is kept by the coordinator; to switch it off set ADMISSION=off`,
    );
  }

  function tellContested(what: string, wrong: readonly string[]): void {
    const message = `${what}: somebody changes it again and again (${wrong.join(", ")}); it is put back once in 30 s, and Pods that are created meanwhile may get no readiness gate: stop who does that, or set ADMISSION=off`;
    log.error({ object: what, faults: wrong }, "somebody fights over the webhook");
    say(object(), "AdmissionContested", message);
  }

  function say(on: ObjectRef | undefined, reason: "AdmissionRepaired" | "AdmissionContested", message: string): void {
    if (on !== undefined) tell({ object: on, type: "Warning", reason, message });
  }
}
