/**
 * `npm run image [-- --name registry.example.com/clb-direct:0.1.0] [--arch amd64,arm64] [--out dist/image] [--archive FILE]` makes an OCI layout without a
 * container engine, on Debian or Ubuntu; `--update` pins the Debian packages that the archive has now. docs/install.md says how to push it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.ts";
import { ARCHITECTURES, updatePins } from "./debian.ts";
import { archiveOf, cacheOf, makeImage } from "./image.ts";

const { values } = parseArgs({
  options: {
    name: { type: "string", default: "registry.example.com/clb-direct:0.1.0" },
    arch: { type: "string", default: ARCHITECTURES.join(",") },
    out: { type: "string", default: "dist/image" },
    archive: { type: "string" },
    update: { type: "boolean", default: false },
  },
});
const wanted = values.arch.split(",");
const architectures = ARCHITECTURES.filter((one) => wanted.includes(one));
if (architectures.length !== wanted.length) throw new RangeError(`--arch ${values.arch}: known are ${ARCHITECTURES.join(", ")}`);

const { env } = process;
if (values.update) updatePins(cacheOf(env));
await build("dist");
const { digest, images } = await makeImage({ name: values.name, directory: values.out, application: "dist", architectures, env });
if (values.archive !== undefined) {
  mkdirSync(dirname(values.archive), { recursive: true });
  writeFileSync(values.archive, archiveOf(values.out));
}
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
for (const image of images)
  process.stdout.write(`${image.architecture} ${image.digest} ${mebibytes(image.bytes)} packed, ${mebibytes(image.unpacked)} unpacked\n`);
process.stdout.write(`${values.name} ${digest} in ${values.out}\n`);
