import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import { eitherSignal } from "../../../common/signals.ts";
import { Elector, type Reign } from "../../../coordinator/leader/elector.ts";
import { type EmbeddedCluster, startApiServer } from "../../cluster/embedded/server.ts";
import { until } from "../../cluster/process.ts";

/** Half of the real times: the same proportions, and slow enough for a busy machine. */
const TIMES = { durationMs: 2_000, renewMs: 500, writesMs: 1_350, retryMs: 120 };

type Candidate = {
  readonly elector: Elector;
  readonly reigns: Reign[];
  readonly stop: () => Promise<void>;
  readonly stopGracefully: () => Promise<void>;
};

async function makeCandidates(
  t: TestContext,
  names: readonly string[],
  lead?: (reign: Reign) => Promise<void>,
): Promise<{ api: EmbeddedCluster; all: Candidate[] }> {
  const api = await startApiServer();
  const directory = await mkdtemp(join(tmpdir(), "elector-"));
  const file = join(directory, "kubeconfig");
  await writeFile(file, api.kubeconfig());
  const clock = makeClock();
  const all: Candidate[] = [];
  t.after(async () => {
    await Promise.all(all.map(({ stop }) => stop()));
    await api.stop();
    await rm(directory, { recursive: true });
  });
  for (const identity of names) {
    const client = await makeKubeClient({ clock, env: { KUBECONFIG: file } });
    const reigns: Reign[] = [];
    const stop = new AbortController();
    const elector = new Elector({
      client,
      clock,
      log: pino({ level: "silent" }),
      namespace: "default",
      identity,
      times: TIMES,
      lead: async (reign) => {
        reigns.push(reign);
        if (lead !== undefined) return await lead(reign);
        await new Promise((resolve) => eitherSignal(reign.retire, reign.lost).addEventListener("abort", resolve));
      },
    });
    const running = elector.run(stop.signal);
    const stopGracefully = async (): Promise<void> => {
      stop.abort();
      await running;
    };
    all.push({
      elector,
      reigns,
      stopGracefully,
      stop: async () => {
        await stopGracefully();
        await client.close();
      },
    });
  }
  return { api, all };
}

const leaders = (all: readonly Candidate[]): number => all.filter(({ elector }) => elector.leading).length;
const holderOf = (api: EmbeddedCluster): string => {
  const lease = api.store.get("leases", "default", "clb-direct-leader") as { spec?: { holderIdentity?: string } } | undefined;
  return lease?.spec?.holderIdentity ?? "";
};

test("three candidates, one leader, and it stays the same one", async (t) => {
  const { all } = await makeCandidates(t, ["a", "b", "c"]);
  await until("a leader", () => leaders(all) === 1);
  const first = all.find(({ elector }) => elector.leading);
  for (let i = 0; i < 20; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(leaders(all), 1);
  }
  assert.equal(first?.elector.leading, true);
  assert.equal(first?.elector.mayWrite(), true);
  assert.equal(all.filter(({ elector }) => elector.mayWrite()).length, 1);
});

test("a leader that stops finishes its work, still holding the Lease, and then hands over at once", async (t) => {
  const finish = Promise.withResolvers<void>();
  let retiring = false;
  const { api, all } = await makeCandidates(t, ["a", "b"], async ({ retire, lost }) => {
    await new Promise((resolve) => eitherSignal(retire, lost).addEventListener("abort", resolve));
    retiring = true;
    await finish.promise;
  });
  await until("a leader", () => leaders(all) === 1);
  const [old, next] = all[0]?.elector.leading ? [all[0], all[1]] : [all[1], all[0]];
  const stopped = old?.stopGracefully();
  await until("its work to end", () => retiring);
  await new Promise((resolve) => setTimeout(resolve, 2 * TIMES.durationMs));
  assert.equal(old?.elector.mayWrite(), true, "the Lease is renewed while the last work is finished");
  assert.equal(next?.elector.leading, false);
  finish.resolve();
  await stopped;
  const fromMs = performance.now();
  await until("the other to lead", () => next?.elector.leading);
  assert.ok(performance.now() - fromMs < TIMES.durationMs, "without waiting for the expiry");
  assert.notEqual(holderOf(api), "");
});

/** An elector beside a stand-in of the API server, which answers at once. */
const QUICK = {
  clock: makeClock(),
  log: pino({ level: "silent" }),
  namespace: "default",
  identity: "a",
  times: { durationMs: 200, renewMs: 20, writesMs: 150, retryMs: 10 },
};

test("a reign that ends while its Lease is being renewed is not followed by another when the process stops", async () => {
  const written: string[] = [];
  const renewal = { begun: Promise.withResolvers<void>(), answered: Promise.withResolvers<void>() };
  let reigns = 0;
  const stop = new AbortController();
  const elector = new Elector({
    client: {
      get: () => Promise.reject(new KubeApiError("GET", "notFound", "no Lease")),
      replace: async <T>(_path: string, body: unknown) => {
        const { spec } = body as { spec: { holderIdentity: string } };
        written.push(spec.holderIdentity);
        if (stop.signal.aborted) renewal.begun.resolve();
        if (stop.signal.aborted && spec.holderIdentity !== "") await renewal.answered.promise;
        return { metadata: { resourceVersion: String(written.length) }, spec } as T;
      },
    },
    ...QUICK,
    lead: async ({ retire, lost }) => {
      reigns += 1;
      await new Promise((resolve) => eitherSignal(retire, lost).addEventListener("abort", resolve));
      await renewal.begun.promise;
    },
  });
  const running = elector.run(stop.signal);
  await until("the reign", () => reigns === 1);
  stop.abort();
  await until("the reign to end while the renewal is under way", () => !elector.leading);
  renewal.answered.resolve();
  await running;
  assert.deepEqual([reigns, written.at(-1)], [1, ""], "one reign, and the Lease is released");
});

test("a Lease whose last renewal was carried out, but not answered, is given up all the same", async (t) => {
  const lease = { version: 1, holder: "" };
  let isUnanswered = false;
  const stop = new AbortController();
  const conflict = (): Error => new KubeApiError("PUT", "conflict", "the object has been modified", { code: 409 });
  const elector = new Elector({
    client: {
      get: async <T>() => ({ metadata: { resourceVersion: String(lease.version) }, spec: { holderIdentity: lease.holder } }) as T,
      replace: async <T>(_path: string, body: unknown) => {
        const { metadata, spec } = body as { metadata: { resourceVersion?: string }; spec: { holderIdentity: string } };
        if (metadata.resourceVersion !== String(lease.version)) throw conflict();
        lease.version += 1;
        lease.holder = spec.holderIdentity;
        isUnanswered = stop.signal.aborted && spec.holderIdentity !== "";
        if (isUnanswered) throw new KubeApiError("PUT", "timeout", "no complete answer within 20 ms");
        return { metadata: { resourceVersion: String(lease.version) }, spec } as T;
      },
    },
    ...QUICK,
    lead: async ({ retire, lost }) => {
      await new Promise((resolve) => eitherSignal(retire, lost).addEventListener("abort", resolve));
      await until("a renewal without an answer", () => isUnanswered);
    },
  });
  const running = elector.run(stop.signal);
  t.after(() => stop.abort());
  await until("the reign", () => elector.leading);
  stop.abort();
  await running;
  assert.equal(lease.holder, "", "nobody has to wait for its expiry");
});

test("a leader whose API server is frozen may not write after two thirds of the Lease, and is told", async (t) => {
  const { api, all } = await makeCandidates(t, ["a"]);
  await until("a leader", () => leaders(all) === 1);
  api.faults.inject({ kind: "freeze", ms: 3_000 });
  const fromMs = performance.now();
  await until("the fence to close", () => all[0]?.elector.mayWrite() === false, 5_000, 10);
  assert.ok(performance.now() - fromMs < TIMES.durationMs);
  await until("the reign to end", () => all[0]?.reigns[0]?.lost.aborted);
  await until("to lead again after the thaw", () => all[0]?.reigns.length === 2, 10_000);
});

test("a Lease that another took by hand is respected; one that was deleted is made anew", async (t) => {
  const { api, all } = await makeCandidates(t, ["a"]);
  await until("a leader", () => leaders(all) === 1);
  const path = `${api.httpUrl}/apis/coordination.k8s.io/v1/namespaces/default/leases/clb-direct-leader`;
  const headers = { authorization: `Bearer ${api.adminToken}`, "content-type": "application/merge-patch+json" };
  await fetch(path, { method: "PATCH", headers, body: JSON.stringify({ spec: { holderIdentity: "somebody", leaseDurationSeconds: 1 } }) });
  await until("the reign to end", () => all[0]?.reigns[0]?.lost.aborted);
  await until("to lead again after it expired", () => all[0]?.reigns.length === 2, 10_000);
  await fetch(path, { method: "DELETE", headers });
  await until("the Lease to be there again", () => holderOf(api) === "a");
  assert.equal(leaders(all), 1);
});
