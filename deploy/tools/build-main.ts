/** `npm run build` makes dist/: what the image holds of this project. */
import { build } from "./build.ts";

const { files, bytes, packages } = await build("dist");
process.stdout.write(`dist: ${files} files, ${(bytes / 1e6).toFixed(1)} MB, with the code of ${packages} packages\n`);
