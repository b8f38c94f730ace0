import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, suite, type TestContext, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { build } from "../../deploy/tools/build.ts";
import { PROGRAMS } from "../../deploy/tools/debian.ts";
import { archiveOf, imageFault, makeImage } from "../../deploy/tools/image.ts";

const folder = (t: TestContext): string => {
  const made = mkdtempSync(join(tmpdir(), "clb-direct-image-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
};
const contents = (directory: string): Readonly<Record<string, string>> =>
  Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), "utf8")]));

const layout = mkdtempSync(join(tmpdir(), "clb-direct-layout-"));
process.once("exit", () => rmSync(layout, { recursive: true, force: true }));
const dist = join(layout, "dist");
before(() => build(dist));

test("a build is the same each time, names whose code it has, and knows no TypeScript", async (t) => {
  const second = folder(t);
  await build(second);
  const made = contents(dist);
  assert.deepEqual(contents(second), made);
  for (const command of ["agent.mjs", "coordinator.mjs", "explain.mjs"]) assert.ok(made[`${command}.map`], command);
  assert.deepEqual(
    Object.keys(made).filter((name) => name.endsWith(".ts")),
    [],
  );
  const bill = JSON.parse(made["sbom.json"] ?? "") as {
    components: { name: string; version: string; licenses: unknown[]; hashes: unknown[] }[];
  };
  for (const name of ["@grpc/grpc-js", "pino", "undici", "zod"]) {
    const component = bill.components.find((one) => one.name === name);
    assert.ok(component?.hashes.length === 1 && component.licenses.length === 1, name);
    assert.ok(made["THIRD_PARTY_LICENSES.txt"]?.includes(`${name} ${component.version} (`), name);
  }
});

test("bundles are ASCII, or V8 keeps them in two bytes a character; errors of ours keep their names, by which logs tell them", () => {
  for (const [name, text] of Object.entries(contents(dist)).filter(([file]) => file.endsWith(".mjs"))) {
    assert.doesNotMatch(text, /[^\0-\x7f]/, name);
    assert.doesNotMatch(text, /class _(ClbApi|KubeApi|Config|NotListed|Unread)Error\b/, name);
  }
});

test("the built processes start by themselves, and refuse a configuration with all its mistakes and nothing else", () => {
  for (const [command, first] of [
    ["agent", "NODE_NAME"],
    ["coordinator", "CLB_REGION"],
  ] as const) {
    const { status, stderr } = spawnSync(process.execPath, [join(dist, `${command}.mjs`)], { env: {}, encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`^invalid configuration of the ${command}, \\d mistake\\(s\\):\\n  ${first}: is missing`));
  }
});

/** They start programs of another architecture; static, so that they run in any root. Of Debian's qemu-user-static. */
const EMULATORS = { amd64: "/usr/bin/qemu-x86_64-static", arm64: "/usr/bin/qemu-aarch64-static" } as const;
const fault = imageFault(process.env);
suite("the image", { skip: fault ?? false }, () => {
  const name = "registry.example.com/clb-direct:test";
  type Made = Awaited<ReturnType<typeof makeImage>>;
  let image: Made;
  const make = (directory: string): Promise<Made> =>
    makeImage({ name, directory, application: dist, architectures: ["amd64", "arm64"], env: process.env });
  const blob = (digest: string): Buffer => readFileSync(join(layout, "image/blobs", digest.replace(":", "/")));
  const json = (digest: string): unknown => JSON.parse(blob(digest).toString("utf8"));
  type Manifest = { config: { digest: string }; layers: { digest: string; size: number }[] };

  /** By architecture, with the image's layers in it. */
  const roots = new Map<string, string>();

  before(async () => {
    image = await make(join(layout, "image"));
    for (const { digest, architecture } of image.images) {
      const root = join(layout, `root-${architecture}`);
      mkdirSync(root);
      chmodSync(root, 0o755); // others enter it
      for (const layer of (json(digest) as Manifest).layers)
        assert.equal(
          spawnSync("tar", ["xf", "-", "-C", root], { input: gunzipSync(blob(layer.digest)) }).status,
          0,
          "a tar that tar reads",
        );
      roots.set(architecture, root);
    }
  });

  test("made twice it has one digest, for both architectures", async () => {
    const again = await make(join(layout, "again"));
    assert.deepEqual(again, image);
    assert.equal(new Set(image.images.map(({ digest }) => digest)).size, 2);
    assert.deepEqual(archiveOf(join(layout, "again")), archiveOf(join(layout, "image")));
  });

  test("it runs as a numeric user that is not root, and its layers are what the configuration says", () => {
    for (const { digest, architecture } of image.images) {
      const manifest = json(digest) as Manifest;
      const config = json(manifest.config.digest) as { architecture: string; config: { User: string }; rootfs: { diff_ids: string[] } };
      assert.deepEqual(
        [config.architecture, config.config.User, manifest.layers.length],
        [architecture, "65532", config.rootfs.diff_ids.length],
      );
    }
  });

  test("it has every program that the processes run, every library of theirs, and no shell", () => {
    for (const [architecture, root] of roots) {
      const programs = [
        ...PROGRAMS.map((one) => join(root, one === "nft" || one === "conntrack" ? "usr/sbin" : "usr/bin", one)),
        join(root, "usr/local/bin/node"),
      ];
      const triplet = architecture === "amd64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
      const libraries = readdirSync(join(root, "usr/lib", triplet));
      const files = [...programs, ...libraries.map((one) => join(root, "usr/lib", triplet, one))];
      const missing = files.flatMap((file) =>
        neededBy(readFileSync(file)).filter((one) => !libraries.includes(one) && !one.startsWith("ld-linux")),
      );
      assert.deepEqual([...new Set(missing)], [], architecture);
      assert.deepEqual(
        readdirSync(join(root, "usr/bin")).filter((one) => one.endsWith("sh")),
        [],
      );
      const bill = JSON.parse(readFileSync(join(root, "app/sbom.json"), "utf8")) as { components: { name: string; version: string }[] };
      for (const one of ["node", "libc6", "nftables", "zod"])
        assert.ok(
          bill.components.some((component) => component.name === one),
          one,
        );
    }
  });

  for (const architecture of ["amd64", "arm64"] as const) {
    const emulator = (architecture === "amd64" ? "x64" : architecture) === process.arch ? undefined : EMULATORS[architecture];
    const isEmulatorThere = emulator === undefined || existsSync(emulator);
    const reason =
      process.getuid?.() === 0 ? !isEmulatorThere && `there is no ${emulator}: apt-get install -y qemu-user-static` : "chroot needs root";
    test(`its programs run on ${architecture}`, { skip: reason }, () => {
      const root = roots.get(architecture);
      assert.ok(root);
      if (emulator !== undefined) copyFileSync(emulator, join(root, "emulator"));
      const run = (...command: string[]): string => {
        const inside = emulator === undefined ? command : ["/emulator", ...command];
        const { status, stdout, stderr } = spawnSync("chroot", ["--userspec=65532:65532", root, ...inside], {
          env: { PATH: "/usr/bin:/usr/sbin:/bin:/sbin" },
          encoding: "utf8",
        });
        assert.ok(status !== null || emulator !== undefined, stderr); // conntrack ends by a signal there
        return `${stdout}${stderr}`;
      };
      assert.match(run("/usr/bin/ip", "-V"), /iproute2/);
      // qemu's user mode has no netlink of netfilter, which both ask for at once: that they say so means that they and their libraries were loaded
      const loaded = (words: string): RegExp =>
        emulator === undefined ? new RegExp(words) : new RegExp(`${words}|Protocol not supported`);
      assert.match(run("/usr/sbin/nft", "--version"), loaded("nftables v"));
      assert.match(run("/usr/sbin/conntrack", "--version"), loaded("conntrack v"));
      assert.equal(run("/usr/local/bin/node", "-p", "process.arch").trim(), architecture === "amd64" ? "x64" : architecture);
      assert.match(run("/usr/local/bin/node", "/app/agent.mjs", "--help"), /NODE_NAME/);
      assert.match(run("/usr/local/bin/node", "/app/agent.mjs"), /^invalid configuration of the agent/);
      assert.match(run("/usr/local/bin/node", "/app/coordinator.mjs", "--help"), /--observe/);
    });
  }
});

/** DT_NEEDED of a program or library: the names of the libraries that the loader looks for. */
function neededBy(file: Buffer): readonly string[] {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) return []; // libm.so of some packages is a text
  const [at, size, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(54), file.readUInt16LE(56)] as const;
  const segments = Array.from({ length: count }, (_, index) => {
    const entry = at + index * size;
    const number = (offset: number): number => Number(file.readBigUInt64LE(entry + offset));
    return { type: file.readUInt32LE(entry), offset: number(8), address: number(16), length: number(32) };
  });
  const dynamic = segments.find(({ type }) => type === 2);
  if (dynamic === undefined) return [];
  const entries = Array.from({ length: dynamic.length / 16 }, (_, index) => {
    const entry = dynamic.offset + index * 16;
    return { tag: Number(file.readBigUInt64LE(entry)), value: Number(file.readBigUInt64LE(entry + 8)) };
  });
  const strings = entries.find(({ tag }) => tag === 5)?.value ?? 0;
  const holder = segments.find(({ type, address, length }) => type === 1 && strings >= address && strings < address + length);
  const base = strings - (holder?.address ?? 0) + (holder?.offset ?? 0);
  return entries.filter(({ tag }) => tag === 1).map(({ value }) => file.toString("utf8", base + value, file.indexOf(0, base + value)));
}
