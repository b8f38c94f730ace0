/**
 * `npm run proof:install [-- --json FILE]`, as root: makes the image, brings two real nodes up with kube-proxy and DNS, installs with Helm as
 * docs/install.md says, rolls the example under load, upgrades under load, retires, uninstalls, and looks for what was left behind. Exit code 0:
 * all of it held; 1: something did not, or something that it needs is missing, with the fix. What needs a network is made first, here.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "../../deploy/tools/build.ts";
import { prepareHelm } from "../../deploy/tools/helm.ts";
import { archiveOf, type Image, makeImage } from "../../deploy/tools/image.ts";
import { CHART } from "../../deploy/tools/render.ts";
import { launch } from "../cluster/namespace.ts";
import { findBinaries } from "../cluster/real/binaries.ts";
import { CONTROL_PLANE, PROXY } from "../cluster/real/modules.ts";
import { findNodes } from "../cluster/real/nodes/requirements.ts";
import { startedUnderEmulation } from "./emulation.ts";
import { IMAGE } from "./names.ts";

const { values } = parseArgs({ options: { json: { type: "string" } } });
const { env } = process;
const progress = (line: string): void => void process.stderr.write(`${line}\n`);

async function missing(): Promise<string | undefined> {
  const nodes = await findNodes({ build: true, progress });
  if (nodes.kind === "missing") return nodes.reason;
  const others = await findBinaries([...CONTROL_PLANE, ...PROXY], { build: true, progress });
  if (others.kind === "missing") return others.reason;
  const helm = prepareHelm(env);
  return helm.kind === "missing" ? helm.reason : undefined;
}

/** Two builds, as an upgrade has them: the second has one file more. Gives what is said of the first. */
async function makeImages(directory: string): Promise<Image> {
  const application = join(directory, "dist");
  await build(application);
  const first = await makeOne("1", application, directory);
  const second = join(directory, "dist-2");
  cpSync(application, second, { recursive: true });
  writeFileSync(join(second, "build.txt"), "2\n");
  await makeOne("2", second, directory);
  return first;
}

async function makeOne(tag: string, application: string, directory: string): Promise<Image> {
  const layout = join(directory, `layout-${tag}`);
  const image = await makeImage({ name: `${IMAGE}:${tag}`, directory: layout, application, architectures: ["amd64", "arm64"], env });
  writeFileSync(join(directory, `image-${tag}.tar`), archiveOf(layout));
  return image;
}

const directory = mkdtempSync(join(tmpdir(), `clb-direct-proof-${process.pid}-`));
try {
  const reason = await missing();
  if (reason !== undefined) throw new Error(`the proof of an installation cannot run here: ${reason}`);
  const startedMs = performance.now();
  const image = await makeImages(directory);
  const own = image.images.find(({ architecture }) => architecture === (process.arch === "x64" ? "amd64" : process.arch));
  if (own === undefined) throw new Error(`there is no image for ${process.arch}`);
  const imageMiB = own.bytes / 2 ** 20;
  console.log(`image ${image.digest}: ${imageMiB.toFixed(1)} MiB packed; two builds for two architectures in ${seconds(startedMs)} s`);
  console.log(startedUnderEmulation(join(directory, "layout-1"), image));
  mkdirSync(join(directory, "run"));
  cpSync(CHART, join(directory, "chart"), { recursive: true }); // as it is now, whatever is edited meanwhile
  const script = ["node", "test/proof/install.ts", "--directory", directory, "--image-mib", String(imageMiB)];
  process.exitCode = await launch([...script, ...(values.json === undefined ? [] : ["--json", resolve(values.json)])]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}
