import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { readArguments } from "../../../coordinator/dry-run/command.ts";
import { TEST_KEY } from "../../cloud/runtime/options.ts";
import { inherited } from "../../cluster/process.ts";
import { becomesIdle, converged } from "../../flow/disturbed-rollout.ts";
import { changedExample, scaleTo } from "../../flow/examples.ts";
import { applyExample, startWorld, until, type World } from "../../flow/world.ts";

/** The user of the kubeconfig that a world writes; the product and the simulated nodes have names of their own. */
const LOOKER = "kubernetes-admin";

/** `npm run coordinator -- …` against a world's cluster and cloud. */
async function coordinator(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ["coordinator/main.ts", ...args], { env: { ...inherited(), ...env } });
  let [out, error] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (error += data.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, out, error };
}
const envOf = (world: World): Record<string, string> => ({
  KUBECONFIG: join(world.directory, "kubeconfig"),
  CLB_REGION: "ap-guangzhou",
  CLB_ENDPOINT: world.cloud.endpoint,
  CLB_PROTOCOL: "http://",
  TENCENTCLOUD_SECRET_ID: TEST_KEY.secretId,
  TENCENTCLOUD_SECRET_KEY: TEST_KEY.secretKey,
  OWNERSHIP: "annotation",
});
/** Runs once, and proves that nothing was written meanwhile: by the cloud's journal and by what the API server was asked. */
async function look(world: World) {
  const { journal } = world.cloud.cloud;
  const [sinceSeq, sinceRequest] = [journal.lastSeq, world.requests().length];
  const seen = await coordinator(["--once", "--observe"], envOf(world));
  const written = journal.since(sinceSeq).filter((entry) => entry.kind === "call" && !entry.action.startsWith("Describe"));
  const own = world
    .requests()
    .slice(sinceRequest)
    .filter(({ username }) => username === LOOKER);
  assert.ok(own.length > 0, "it has asked the API server");
  return { ...seen, written, asked: own.filter(({ verb }) => !["get", "list", "watch"].includes(verb)) };
}

test("bad arguments: the usage and exit 1", async () => {
  for (const args of [["--once"], ["--twice"], ["--observe", "everything"]]) {
    const { code, error } = await coordinator(args);
    assert.equal(code, 1, args.join(" "));
    assert.match(error, /usage: npm run coordinator/);
  }
  assert.throws(() => readArguments(["--once"]), /--once needs --observe/);
  assert.deepEqual({ ...readArguments(["--once", "--observe"]) }, { once: true, observe: true, help: false });
});

test("a dry run prints what would be done and writes nothing", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t);
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, 2);
  await becomesIdle(world);

  await t.test("nothing to do: exit 0", async () => {
    const { code, out, error, written, asked } = await look(world);
    assert.equal(code, 0, `${out}${error}`);
    assert.match(out, /^nothing to do/);
    assert.deepEqual([written, asked], [[], []]);
  });
  await t.test("Pods that are not bound yet: exit 2, with the Pods as the reason", async () => {
    await world.product.coordinator()?.stop();
    await scaleTo(world, 4);
    await until("four Pods whose containers are ready", async () => {
      const { items } = await world.client.list<{ status?: { conditions?: { type: string; status: string }[] } }>(
        "/api/v1/namespaces/demo/pods",
      );
      return (
        items.filter(({ status }) => status?.conditions?.some(({ type, status: is }) => type === "ContainersReady" && is === "True"))
          .length === 4
      );
    });
    const { code, out, error, written, asked } = await look(world);
    assert.equal(code, 2, `${out}${error}`);
    assert.match(
      out,
      /^LOAD BALANCER +LANE +CALL +WHAT +WHY\nlb-\w+ +bind +BatchRegisterTargets +2 targets: .+Pod demo\/web-\S+ is ready; Pod demo\/web-\S+ is ready\n$/,
    );
    assert.deepEqual([written, asked], [[], []]);
  });
});
