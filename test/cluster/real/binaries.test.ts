import assert from "node:assert/strict";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { findBinaries, findControlPlane } from "./binaries.ts";
import { binaryFault } from "./binary-file.ts";
import { faultOf } from "./go-build.ts";
import { CONTROL_PLANE, kubernetesMinor, MINORS, moduleOf, NODE } from "./modules.ts";

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "clb-direct-binaries-"));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

const elf = process.platform === "linux" ? false : "needs an ELF binary to look at";

/** A folder with this Node's own binary under the name of etcd: whole, executable, for this machine. */
async function assetsWithEtcd(t: TestContext): Promise<{ assets: string; etcd: string }> {
  const assets = await folder(t);
  const etcd = join(assets, "etcd");
  await cp(process.execPath, etcd);
  return { assets, etcd };
}

test("takes a whole binary for what it is", { skip: elf }, () => {
  assert.equal(binaryFault(process.execPath), undefined);
});

test("names what is wrong with a binary", { skip: elf }, async (t) => {
  const { assets, etcd } = await assetsWithEtcd(t);
  assert.match(binaryFault(etcd, "riscv64") ?? "", /^is for \w+, this machine is riscv64$/);
  await chmod(etcd, 0o644);
  assert.ok(process.getuid?.() === 0 || binaryFault(etcd) === "is not executable");
  await truncate(etcd, 1_000_000);
  assert.match(binaryFault(etcd) ?? "", /^is truncated: 1000000 of \d+ bytes$/);
  await truncate(etcd, 0);
  assert.equal(binaryFault(etcd), "is empty");
  await writeFile(etcd, "#!/bin/sh\n");
  assert.equal(binaryFault(etcd), "is no Linux binary (no ELF header)");
  assert.equal(binaryFault(join(assets, "kubelet")), "is missing");
});

test("uses what KUBEBUILDER_ASSETS has and looks for the rest in the cache", { skip: elf }, async (t) => {
  const { assets, etcd } = await assetsWithEtcd(t);
  const env = { KUBEBUILDER_ASSETS: assets, XDG_CACHE_HOME: join(assets, "cache") };
  assert.deepEqual(await findBinaries(["etcd"], { env }), { kind: "found", binaries: { etcd } });
  const cached = join(assets, "cache", "clb-direct", moduleOf("kubelet", "1.36").key);
  await mkdir(cached, { recursive: true });
  await cp(process.execPath, join(cached, "kubelet"));
  assert.deepEqual(await findBinaries(["etcd", "kubelet"], { env }), {
    kind: "found",
    binaries: { etcd, kubelet: join(cached, "kubelet") },
  });
});

test("refuses a truncated binary of KUBEBUILDER_ASSETS, naming file, fault and fix", { skip: elf }, async (t) => {
  const { assets, etcd } = await assetsWithEtcd(t);
  await truncate(etcd, 1_000_000);
  const found = await findControlPlane({ env: { KUBEBUILDER_ASSETS: assets }, build: true });
  assert.equal(found.kind, "missing");
  assert.match(found.reason, /\/etcd is truncated: 1000000 of \d+ bytes; correct or unset KUBEBUILDER_ASSETS$/);
});

test("refuses a folder that is not there, and binaries of another Kubernetes version", { skip: elf }, async (t) => {
  const gone = await findControlPlane({ env: { KUBEBUILDER_ASSETS: "/nonexistent/assets" } });
  assert.match(gone.kind === "missing" ? gone.reason : "", /^KUBEBUILDER_ASSETS=\/nonexistent\/assets: there is no such folder; /);
  const assets = await folder(t);
  await cp(process.execPath, join(assets, "kube-scheduler")); // answers --version with Node's
  const other = await findControlPlane({ env: { KUBEBUILDER_ASSETS: assets } });
  assert.match(
    other.kind === "missing" ? other.reason : "",
    /kube-scheduler is Kubernetes 2\d\.\d+, asked for is 1\.36; .* choose --kubernetes/,
  );
});

test("without any source the reason names the command that builds", { skip: elf }, async (t) => {
  const cache = await folder(t);
  const found = await findControlPlane({ env: { XDG_CACHE_HOME: cache }, kubernetes: "1.34" });
  assert.match(
    found.kind === "missing" ? found.reason : "",
    /kube-apiserver is missing, .* in .*kubernetes-v1\.34.* Run: node test\/cluster\/real\/prepare\.ts --kubernetes 1\.34$/,
  );
  assert.deepEqual(await readdir(cache), []);
});

test("building without Go says so and leaves nothing", { skip: elf }, async (t) => {
  const cache = await folder(t);
  const found = await findControlPlane({ env: { XDG_CACHE_HOME: cache, PATH: "/nonexistent", ENVTEST_INDEX_URL: "" }, build: true });
  assert.match(found.kind === "missing" ? found.reason : "", /^no Go toolchain on PATH .* install Go .* KUBEBUILDER_ASSETS$/);
  assert.deepEqual(await readdir(cache), []);
});

/** A program in a folder of its own that stands in for Go, on a PATH with the real tools behind it. */
async function withGo(t: TestContext, script: string): Promise<{ cache: string; env: NodeJS.ProcessEnv }> {
  const home = await folder(t);
  await writeFile(join(home, "go"), `#!/bin/sh\n[ "$1" = version ] && exit 0\n${script}\n`, { mode: 0o755 });
  const env = { XDG_CACHE_HOME: join(home, "cache"), PATH: `${home}:${process.env["PATH"]}`, ENVTEST_INDEX_URL: "" };
  return { cache: join(home, "cache"), env };
}

const only = async (cache: string): Promise<string[]> => {
  const [key = ""] = await readdir(join(cache, "clb-direct"));
  return (await readdir(join(cache, "clb-direct", key))).sort();
};

test("a build that fails half way names the cause and leaves only its log", { skip: elf }, async (t) => {
  const { cache, env } = await withGo(t, 'echo half > "$GOBIN/server"; echo "write x: no space left on device"; exit 1');
  const found = await findBinaries(["etcd"], { env, build: true });
  assert.match(found.kind === "missing" ? found.reason : "", /^no disk space for the build .* needs about 6 GB .*build\.log$/);
  assert.deepEqual(await only(cache), ["build.log", "lock"]);
});

test("two builds at once are one, and what a killed build left goes", { skip: elf }, async (t) => {
  const { cache, env } = await withGo(t, `echo built >> "$XDG_CACHE_HOME/count"; sleep 0.7; cp "${process.execPath}" "$GOBIN/server"`);
  const left = join(cache, "clb-direct", moduleOf("etcd", "1.36").key, ".build-killed");
  await mkdir(left, { recursive: true });
  const lines: string[] = [];
  const both = await Promise.all([1, 2].map(() => findBinaries(["etcd"], { env, build: true, progress: (line) => lines.push(line) })));
  assert.deepEqual(
    both.map(({ kind }) => kind),
    ["found", "found"],
  );
  assert.equal(await readFile(join(cache, "count"), "utf8"), "built\n");
  assert.ok(lines.some((line) => line.startsWith("waiting for another build")));
  assert.deepEqual(await only(cache), ["build.log", "etcd", "lock"]);
});

test("a truncated binary in the cache is named, and built anew where that may be", { skip: elf }, async (t) => {
  const { cache, env } = await withGo(t, `cp "${process.execPath}" "$GOBIN/server"`);
  const etcd = join(cache, "clb-direct", moduleOf("etcd", "1.36").key, "etcd");
  await mkdir(dirname(etcd), { recursive: true });
  await cp(process.execPath, etcd);
  await truncate(etcd, 1_000_000);
  const unbuilt = await findBinaries(["etcd"], { env });
  assert.match(
    unbuilt.kind === "missing" ? unbuilt.reason : "",
    /^etcd is truncated: 1000000 of \d+ bytes in .*\. Run: node .*prepare\.ts$/,
  );
  assert.deepEqual(await findBinaries(["etcd"], { env, build: true }), { kind: "found", binaries: { etcd } });
  assert.equal(binaryFault(etcd), undefined);
});

test("tells a proxy that cannot be reached, an old toolchain and a compiler's error apart", () => {
  const fault = (log: string): string => faultOf(log, "/c/build.log", {});
  assert.match(fault("go: x@v1: Get https://p/x: dial tcp: lookup p: no such host"), /^Go modules cannot be downloaded .* set GOPROXY/);
  assert.match(fault("go: go.mod requires go >= 1.26.0 (running go 1.20)"), /^the Go toolchain is too old/);
  assert.match(fault("compile: signal: killed"), /memory/);
  assert.match(fault("x.go:1:1: undefined: y"), /^the build failed; log: \/c\/build\.log\nx\.go:1:1: undefined: y$/);
});

test("every chosen version and every binary has its pinned module", () => {
  for (const minor of MINORS) {
    for (const name of [...CONTROL_PLANE, "kubelet"] as const)
      assert.match(moduleOf(name, minor).version, new RegExp(`^v${minor}\\.\\d+$`));
    for (const name of NODE) assert.match(moduleOf(name, minor).key, /^(kubernetes|containerd)-v[\d.]+-\w+-\w+-[0-9a-f]{8}$/);
  }
  assert.throws(() => kubernetesMinor("1.35"), /--kubernetes 1\.35: known are 1\.36, 1\.34/);
});
