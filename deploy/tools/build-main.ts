/** `npm run build` makes dist/: what the image holds of this project. */
import { parseArgs } from "node:util";
import { argumentsOrExit } from "./arguments.ts";
import { build } from "./build.ts";

const USAGE = `usage: npm run build
Makes dist/: the bundled processes, licences and bill of materials, as the image holds them; no options.`;

argumentsOrExit(USAGE, (args) => parseArgs({ args, options: { help: { type: "boolean", default: false } } }).values);
const { files, bytes, packages } = await build("dist");
process.stdout.write(`dist: ${files} files, ${(bytes / 1e6).toFixed(1)} MB, with the code of ${packages} packages\n`);
