/** `npm run image` makes an OCI layout without a container engine. docs/install.md says how to push it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { argumentsOrExit, listed } from "./arguments.ts";
import { build } from "./build.ts";
import { ARCHITECTURES, updatePins } from "./debian.ts";
import { archiveOf, cacheOf, makeImage } from "./image.ts";

const USAGE = `usage: npm run image -- [options]
  --name registry.example.com/clb-direct:0.1.0   what the image is called in the layout
  --arch amd64,arm64                             for which machines
  --out dist/image                               folder of the OCI layout
  --archive FILE                                 the same as one tar, for "docker load" or "ctr images import"
  --update                                       pins the Debian packages that the archive has now, in deploy/image/debian.json
Needs Debian or Ubuntu, and no container engine. Two runs give one digest.`;

const values = argumentsOrExit(USAGE, (args) => {
  const { values: given } = parseArgs({
    args,
    options: {
      name: { type: "string", default: "registry.example.com/clb-direct:0.1.0" },
      arch: { type: "string", default: ARCHITECTURES.join(",") },
      out: { type: "string", default: "dist/image" },
      archive: { type: "string" },
      update: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return { ...given, architectures: listed("arch", given.arch, ARCHITECTURES) };
});

const { env } = process;
if (values.update) updatePins(cacheOf(env));
await build("dist");
const { digest, images } = await makeImage({
  name: values.name,
  directory: values.out,
  application: "dist",
  architectures: values.architectures,
  env,
});
if (values.archive !== undefined) {
  mkdirSync(dirname(values.archive), { recursive: true });
  writeFileSync(values.archive, archiveOf(values.out));
}
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
for (const image of images)
  process.stdout.write(`${image.architecture} ${image.digest} ${mebibytes(image.bytes)} packed, ${mebibytes(image.unpacked)} unpacked\n`);
process.stdout.write(`${values.name} ${digest} in ${values.out}\n`);
