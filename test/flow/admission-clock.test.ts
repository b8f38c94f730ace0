/** The machines' clock is wrong and is put right: what the webhook serves with has expired at once, and is replaced within seconds. On both kinds of cluster. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CANARY_NAMESPACE, DEFAULT_NAMESPACE, SERVING_SECRET } from "../../common/names.ts";
import { expirySeconds } from "../../coordinator/tls/certificate.ts";
import { isInjected } from "../cluster/injected.ts";
import { applyExample, startWorld, until } from "./world.ts";

const PODS = "/api/v1/namespaces/demo/pods";
const OURS = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
const PRELOAD = fileURLToPath(new URL("../cluster/jumping-clock.ts", import.meta.url));
/** Longer than an authority lives. */
const AWAY_MS = -400 * 86_400_000;
const HEAL_MS = 5_000;
const REPLICAS = [0, 1] as const;

test("the clock jumps past every expiry: Pods go on being created, the check tells it, and 5 s later they have the gate", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-clock-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, "shift");
  writeFileSync(file, "0");
  const world = await startWorld(t, {
    replicas: 2,
    coordinatorEnv: { CLOCK_SHIFT_FILE: file },
    programs: { coordinator: { script: "coordinator/main.ts", flags: ["--import", PRELOAD] } },
  });
  const { client, product } = world;
  if (!(await client.get(`/api/v1/namespaces/${CANARY_NAMESPACE}`).catch(() => undefined)))
    await client.create("/api/v1/namespaces", { metadata: { name: CANARY_NAMESPACE } });
  await product.startCoordinator(1);
  await applyExample(world, undefined, ({ kind }) => kind === "Service" || kind === "Namespace");
  const isGated = (): Promise<boolean> => isInjected(client, PODS, { app: "web" }); // rejects where no Pod can be created
  await until("Pods get the gate", isGated, 10_000);
  const jumpTo = (ms: number): void => {
    writeFileSync(file, String(ms));
    for (const replica of REPLICAS) product.coordinator(replica)?.signal("SIGUSR2");
  };
  const expiresAtMs = async (): Promise<number> => {
    const { data } = await client.get<{ data: Record<string, string> }>(`${OURS}/secrets/${SERVING_SECRET}`);
    return expirySeconds(Buffer.from(data["tls.crt"] ?? "", "base64").toString()) * 1_000;
  };
  const refused: unknown[] = [];
  const timer = setInterval(() => void isGated().catch((error: unknown) => refused.push(error)), 100);
  t.after(() => clearInterval(timer));

  jumpTo(AWAY_MS);
  await until("they serve with what was valid then", async () => (await expiresAtMs()) < Date.now(), 10_000);
  await until("Pods have no gate", async () => !(await isGated()), 10_000);
  const messages = await until(
    "the admission check tells it",
    async () => {
      const { items } = await client.list<{ reason: string; message: string }>(`${OURS}/events`);
      const told = items.filter(({ reason }) => reason === "AdmissionNotWorking").map(({ message }) => message);
      return told.length > 0 && told;
    },
    15_000,
  );
  for (const message of messages)
    assert.match(message, /\(tls\): by the API server's clock its certificate has expired; .* minutes behind/);
  for (const replica of REPLICAS) assert.equal(product.coordinator(replica)?.hasExited(), false);

  jumpTo(0);
  const startedMs = performance.now();
  await until("Pods have the gate again", isGated, 30_000, 50);
  const tookMs = performance.now() - startedMs;
  t.diagnostic(`healed ${Math.round(tookMs)} ms after the jump`);
  assert.ok(tookMs < HEAL_MS, `healed after ${tookMs} ms`);
  assert.ok((await expiresAtMs()) > Date.now());
  assert.deepEqual(refused, []);
});
