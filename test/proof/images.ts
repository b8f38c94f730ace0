/** The images of a proof, made before it enters its own network. */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "../../deploy/tools/build.ts";
import type { Architecture } from "../../deploy/tools/debian.ts";
import { prepareHelm } from "../../deploy/tools/helm.ts";
import { archiveOf, type Image, makeImage } from "../../deploy/tools/image.ts";
import { proxiedClusterFault } from "../cluster/real/nodes/kube-proxy.ts";
import { IMAGE } from "./names.ts";

const progress = (line: string): void => void process.stderr.write(`${line}\n`);

/** What a proof needs and this machine lacks, with the fix; undefined: nothing. Builds what can be built. */
export async function missingForProof(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const fault = await proxiedClusterFault(["nftables"], progress);
  if (fault !== undefined) return fault;
  const helm = prepareHelm(env);
  return helm.kind === "missing" ? helm.reason : undefined;
}

/**
 * Two builds, as an upgrade has them: the second has one file more. They are image-1.tar and image-2.tar in `directory`, the layout of the
 * first is layout-1. Gives what is said of the first.
 */
export async function makeTwoImages(directory: string, architectures: readonly Architecture[], env: NodeJS.ProcessEnv): Promise<Image> {
  const application = join(directory, "dist");
  await build(application);
  const makeOne = async (tag: string, from: string): Promise<Image> => {
    const layout = join(directory, `layout-${tag}`);
    const image = await makeImage({ name: `${IMAGE}:${tag}`, directory: layout, application: from, architectures, env });
    writeFileSync(join(directory, `image-${tag}.tar`), archiveOf(layout));
    return image;
  };
  const first = await makeOne("1", application);
  const second = join(directory, "dist-2");
  cpSync(application, second, { recursive: true });
  writeFileSync(join(second, "build.txt"), "2\n");
  await makeOne("2", second);
  return first;
}
