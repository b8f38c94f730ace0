/** The container images of the sample application as a file that runtimes take; as a program: `node test/cluster/real/nodes/write-images.ts FILE`. */
import { readFile, writeFile } from "node:fs/promises";
import { findApplication } from "./application.ts";
import { APPLICATION_IMAGES, PAUSE_IMAGES } from "./configuration.ts";
import { imageArchive } from "./image.ts";

/** `application` is the file of the binary. */
export async function writeImages(application: string, file: string): Promise<void> {
  const images = [
    { tags: APPLICATION_IMAGES, args: [] },
    { tags: PAUSE_IMAGES, args: ["pause"] },
  ];
  await writeFile(file, imageArchive(await readFile(application), images));
}

if (import.meta.main) {
  const [file] = process.argv.slice(2);
  const found = findApplication();
  if (file !== undefined && found.kind === "found") await writeImages(found.file, file);
  else {
    process.stderr.write(`${found.kind === "missing" ? found.reason : "usage: node test/cluster/real/nodes/write-images.ts FILE"}\n`);
    process.exitCode = 1;
  }
}
