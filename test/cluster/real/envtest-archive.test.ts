import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, cp, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { findBinaries } from "./binaries.ts";

const skip = process.platform === "linux" ? false : "needs an ELF binary to put into an archive";

/** A small binary of this machine. */
const ELF = "/bin/sh";
const GO_ARCH: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
const FILE = `envtest-v1.36.2-linux-${GO_ARCH[process.arch] ?? process.arch}.tar.gz`;
const FOLDER = `envtest-v1.36.2-linux-${process.arch}`;

type Published = {
  /** Changes a binary before it is packed. */
  readonly spoil?: (file: string) => Promise<void>;
  readonly hash?: string;
  /** Answers a request for the archive. */
  readonly send?: (archive: Buffer, response: ServerResponse) => void;
  readonly releases?: string;
};

/** An index and an archive on loopback; a cache that is empty, and a PATH without Go. */
async function publish(t: TestContext, published: Published = {}): Promise<{ cache: string; env: NodeJS.ProcessEnv; asked: string[] }> {
  const home = await mkdtemp(join(tmpdir(), "clb-direct-archive-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const inside = join(home, "controller-tools", "envtest");
  await mkdir(inside, { recursive: true });
  for (const name of ["etcd", "kube-apiserver"]) {
    await cp(ELF, join(inside, name), { dereference: true });
    await chmod(join(inside, name), 0o755);
    await published.spoil?.(join(inside, name));
  }
  await writeFile(join(inside, "kubectl"), "not wanted");
  const file = join(home, "archive.tar.gz");
  await promisify(execFile)("tar", ["-czf", file, "-C", home, "controller-tools"]);
  const archive = await readFile(file);
  const hash = published.hash ?? createHash("sha512").update(archive).digest("hex");
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const { port } = server.address() as AddressInfo;
    const entry = (version: string, link: string): string =>
      `  ${version}:\n    ${FILE.replace("v1.36.2", version)}:\n      hash: ${hash}\n      selfLink: http://127.0.0.1:${port}/${link}\n`;
    const index = `releases:\n${published.releases ?? entry("v1.36.0", "old") + entry("v1.36.2", "archive") + entry("v1.37.1", "other")}`;
    if (request.url === "/index.yaml") response.end(index);
    else if (published.send !== undefined) published.send(archive, response);
    else response.end(archive);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const cache = join(home, "cache");
  const env = { XDG_CACHE_HOME: cache, PATH: "/usr/bin:/bin", GOROOT: "", ENVTEST_INDEX_URL: `http://127.0.0.1:${port}/index.yaml` };
  return { cache: join(cache, "clb-direct"), env, asked };
}

async function reasonOf(env: NodeJS.ProcessEnv): Promise<string> {
  const found = await findBinaries(["etcd", "kube-apiserver"], { env, build: true });
  return found.kind === "missing" ? found.reason : "found";
}

const left = async (cache: string): Promise<string[]> =>
  (await readdir(cache).catch(() => [])).filter((name) => name.includes("envtest") || name.startsWith(".archive"));

test("the newest archive of the minor is checked, unpacked and kept", { skip }, async (t) => {
  const { cache, env, asked } = await publish(t);
  const found = await findBinaries(["etcd", "kube-apiserver"], { env, build: true });
  const binaries = { etcd: join(cache, FOLDER, "etcd"), "kube-apiserver": join(cache, FOLDER, "kube-apiserver") };
  assert.deepEqual(found, { kind: "found", binaries });
  assert.deepEqual(asked, ["/index.yaml", "/archive"]);
  assert.deepEqual((await readdir(join(cache, FOLDER))).sort(), ["etcd", "kube-apiserver"]);
  assert.deepEqual(await findBinaries(["etcd", "kube-apiserver"], { env }), { kind: "found", binaries }, "without the network, too");
  assert.equal(asked.length, 2);
});

test("what no archive has is built, or missing with the reason", { skip }, async (t) => {
  const { env } = await publish(t);
  const found = await findBinaries(["etcd", "kube-scheduler"], { env: { ...env, PATH: "/nonexistent:/bin" }, build: true });
  assert.match(found.kind === "missing" ? found.reason : "found", /^no Go toolchain on PATH to build kube-scheduler: install Go/);
});

test("a wrong checksum is named, and nothing of it is kept", { skip }, async (t) => {
  const { cache, env } = await publish(t, { hash: "0".repeat(128) });
  assert.match(
    await reasonOf(env),
    /archive has a wrong checksum: SHA-512 [0-9a-f]{16}… instead of 0{16}…; run it again, or set ENVTEST_INDEX_URL= /,
  );
  assert.deepEqual(await left(cache), []);
});

test("an archive that breaks off is truncated", { skip }, async (t) => {
  const { cache, env } = await publish(t, {
    send: (archive, response) => {
      response.writeHead(200, { "content-length": archive.length });
      response.write(archive.subarray(0, 1_000), () => response.destroy());
    },
  });
  assert.match(await reasonOf(env), /archive is truncated: it broke off after 1000 of \d+ bytes .*; run it again$/);
  assert.deepEqual(await left(cache), []);
});

test("an archive for another machine is refused", { skip }, async (t) => {
  const { cache, env } = await publish(t, {
    spoil: async (file) => {
      const binary = await open(file, "r+");
      await binary.write(Uint8Array.of(0xf3), 0, 1, 18); // e_machine: RISC-V
      await binary.close();
    },
  });
  assert.match(await reasonOf(env), /^etcd of the envtest archive v1\.36\.2 is for riscv64, this machine is \w+; set ENVTEST_INDEX_URL= /);
  assert.deepEqual(await left(cache), []);
});

/** Why no small file system can be made here; false: it can. */
const UNSHARE = "unshare"; // of util-linux
const MOUNT = ["--user", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=48k none "$1" && shift && exec "$@"', "sh"];
const noMount = skip || (spawnSync(UNSHARE, [...MOUNT, tmpdir(), "true"]).status === 0 ? false : "no file system can be mounted here");

test("a full disk is named with what is needed", { skip: noMount }, async (t) => {
  const { cache, env } = await publish(t);
  await mkdir(cache, { recursive: true });
  const script = `const { findBinaries } = await import(${JSON.stringify(new URL("binaries.ts", import.meta.url).href)});
    console.log((await findBinaries(["etcd", "kube-apiserver"], { build: true })).reason)`;
  const command = [process.execPath, "--input-type=module-typescript", "--eval", script];
  const { stdout } = await promisify(execFile)(UNSHARE, [...MOUNT, cache, ...command], { env: { ...process.env, ...env } });
  assert.match(stdout, /^no disk space for the envtest archive in .*clb-direct \(.*ENOSPC.*\): it needs about 250 MB there/);
});

test("without Internet, an index of that minor or an index at all the build follows, and both reasons are told", { skip }, async (t) => {
  const noGo = /^no Go toolchain on PATH to build etcd, kube-apiserver: .*; /;
  const nobody = await publish(t);
  const away = await reasonOf({ ...nobody.env, PATH: "/nonexistent", ENVTEST_INDEX_URL: "http://127.0.0.1:9/index.yaml" });
  assert.match(away, new RegExp(`${noGo.source}the envtest index http://127.0.0.1:9/index.yaml cannot be read \\(`));
  const none = await publish(t, { releases: "  v1.30.0: {}\n" });
  assert.match(await reasonOf({ ...none.env, PATH: "/nonexistent" }), /; http:.* has no archive of Kubernetes 1\.36 for linux-\w+$/);
  const garbage = await publish(t, { releases: "  - what\n" });
  assert.match(await reasonOf({ ...garbage.env, PATH: "/nonexistent" }), /is no envtest index \(/);
});
