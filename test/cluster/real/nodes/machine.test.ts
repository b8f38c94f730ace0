import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { addressPlan } from "../../network.ts";
import { nodeNetwork, planWithRealNodes } from "./addresses.ts";
import { findApplication } from "./application.ts";
import { imageArchive, tar } from "./image.ts";
import { machineFault, missingPackages } from "./requirements.ts";

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "clb-direct-nodes-test-"));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

test("gives nodes and Pods addresses of their own per slot, none of which is local to the outer namespace", () => {
  const plan = addressPlan(3, "namespace");
  const network = nodeNetwork(plan, ["node-a", "node-b"]);
  assert.deepEqual(network, {
    range: "10.245.3.0/24",
    bridge: "clbd3",
    gateway: "10.245.3.1/26",
    nodes: [
      {
        name: "node-a",
        address: "10.245.3.2",
        podRange: "10.245.3.64/26",
        link: "clbd3n0",
        eni: { address: "10.245.3.34", link: "clbd3e0", mac: "20:90:6f:00:01:00" },
      },
      {
        name: "node-b",
        address: "10.245.3.3",
        podRange: "10.245.3.128/26",
        link: "clbd3n1",
        eni: { address: "10.245.3.35", link: "clbd3e1", mac: "20:90:6f:00:01:01" },
      },
    ],
  });
  assert.equal(planWithRealNodes(plan, network).nodeAddress(1), "10.245.3.3");
  assert.throws(() => planWithRealNodes(plan, network).nodeAddress(2), /below 2, got 2/);
});

test("gives a node that is alone room for as many Pods as a kubelet takes", () => {
  assert.equal(nodeNetwork({ slot: 3 }, ["node-a"]).nodes[0]?.podRange, "10.245.3.128/25");
});

test("refuses more nodes than a slot has ranges for, and none", () => {
  for (const count of [0, 4]) {
    const names = Array.from({ length: count }, (_, index) => `n${index}`);
    assert.throws(() => nodeNetwork({ slot: 3 }, names), { name: "RangeError", message: new RegExp(`1 to 3 .* got ${count}$`) });
  }
});

test("names the packages that are missing and the one command that installs them", async (t) => {
  const home = await folder(t);
  const env = { PATH: home };
  const before = missingPackages(env);
  if (before.length > 0)
    assert.equal(
      machineFault(env, 0),
      `real nodes need ${before.join(", ")}. Run: apt-get update && apt-get install -y --no-install-recommends ${before.join(" ")}`,
    );
  for (const name of ["runc", "nft", "ip"]) await writeFile(join(home, name), "#!/bin/sh\n").then(() => chmod(join(home, name), 0o755));
  assert.deepEqual(
    missingPackages(env).filter((name) => name !== "containernetworking-plugins"),
    [],
  );
});

test("says that real nodes need root", { skip: process.platform === "linux" ? false : "Linux only" }, () => {
  assert.match(machineFault(process.env, 1000) ?? "", /need root .* use simulated nodes$/);
});

test("makes a tar that tar reads, whole blocks with the right content and mode", async (t) => {
  const home = await folder(t);
  const content = Buffer.from("x".repeat(700));
  const archive = tar([
    { name: "app", mode: 0o755, content },
    { name: "empty", mode: 0o644, content: Buffer.alloc(0) },
  ]);
  assert.equal(archive.length % 512, 0);
  await writeFile(join(home, "a.tar"), archive);
  execFileSync("tar", ["xf", "a.tar"], { cwd: home });
  assert.deepEqual(await readFile(join(home, "app")), content);
  assert.match(execFileSync("tar", ["tvf", "a.tar"], { cwd: home, encoding: "utf8" }), /^-rwxr-xr-x 0\/0 +700 .* app\n-rw-r--r-- 0\/0 +0 /);
  assert.throws(() => tar([{ name: "x".repeat(101), mode: 0, content }]), RangeError);
});

test("an archive has a configuration per image and one layer, named as its digest says", async (t) => {
  const home = await folder(t);
  const images = [
    { tags: ["registry.example.com/web:1"], args: [] },
    { tags: ["registry.example.com/pause:1"], args: ["pause"] },
  ];
  await writeFile(join(home, "images.tar"), imageArchive(Buffer.from("binary"), images, "x64"));
  execFileSync("tar", ["xf", "images.tar"], { cwd: home });
  const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(home, name), "utf8")) as unknown;
  type Named = { Config: string; RepoTags: string[]; Layers: string[] };
  const manifest = (await read("manifest.json")) as Named[];
  assert.deepEqual(
    manifest.map(({ RepoTags }) => RepoTags),
    images.map(({ tags }) => tags),
  );
  const layer = manifest[0]?.Layers[0] ?? "";
  const digest = createHash("sha256").update(await readFile(join(home, layer)));
  assert.equal(`${digest.digest("hex")}.tar`, layer);
  const config = (await read(manifest[1]?.Config ?? "")) as { architecture: string; config: object; rootfs: object };
  assert.equal(config.architecture, "amd64");
  assert.deepEqual(config.config, { Entrypoint: ["/app"], Cmd: ["pause"], WorkingDir: "/" });
  assert.deepEqual(config.rootfs, { type: "layers", diff_ids: [`sha256:${layer.replace(".tar", "")}`] });
});

test("without Go the sample application cannot be built, and that is said", async (t) => {
  const home = await folder(t);
  await mkdir(join(home, "empty"));
  const found = findApplication({ XDG_CACHE_HOME: join(home, "cache"), PATH: join(home, "empty") });
  assert.match(found.kind === "missing" ? found.reason : "", /^no Go toolchain on PATH .* install Go/);
});
