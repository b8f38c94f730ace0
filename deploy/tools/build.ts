/** Bundles of the processes: JavaScript, split, readable, the same bytes each time. Type stripping alone would cost 25 MB per process. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build as bundle, type Metafile, type Plugin } from "esbuild";
import { bundledPackages, licenceText, softwareBill } from "./third-party.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Commands of the image by name. */
const COMMANDS = {
  agent: "agent/main.ts",
  hold: "agent/hold/main.ts",
  coordinator: "coordinator/main.ts",
  explain: "coordinator/explain/cli.ts",
  installation: "coordinator/installation/main.ts",
} as const;

/** Bundled CommonJS asks for these three, which modules lack. */
const BANNER = [
  'import { createRequire as makeRequire } from "node:module";',
  "const require = makeRequire(import.meta.url);",
  "const __filename = import.meta.filename, __dirname = import.meta.dirname;",
].join("\n");

/** node-fetch asks for a URL of its own, with tables of 300 kB and a deprecated module of Node, and never uses it where Node has one. */
const leftOut: Plugin = {
  name: "left-out",
  setup(bundler) {
    bundler.onResolve({ filter: /^whatwg-url$/ }, ({ path }) => ({ path, namespace: "left-out" }));
    bundler.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "module.exports = { URL: globalThis.URL };" }));
  },
};

export type Built = { readonly files: number; readonly bytes: number; readonly packages: number };

/** Replaces `directory` by agent.mjs, hold.mjs, coordinator.mjs, explain.mjs, what they share, source maps, THIRD_PARTY_LICENSES.txt and sbom.json. */
export async function build(directory: string): Promise<Built> {
  const { metafile, outputFiles } = await bundle({
    absWorkingDir: ROOT,
    entryPoints: COMMANDS,
    outdir: "dist",
    write: false,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    outExtension: { ".js": ".mjs" },
    chunkNames: "shared-[hash]",
    banner: { js: BANNER },
    keepNames: true,
    legalComments: "none", // THIRD_PARTY_LICENSES.txt has whole licences
    sourcemap: true,
    sourcesContent: false, // paths and lines are what a stack trace needs
    plugins: [leftOut],
    external: [
      "pino-pretty", // asked for on a terminal only, and done without where it is missing
      "@grpc/proto-loader", // grpc-js asks for it only to serve channelz or orca, which nobody here does
    ],
    metafile: true,
    logLevel: "warning",
  });
  const packages = bundledPackages(ROOT, inputsOf(metafile));
  const made = new Map<string, Uint8Array>(outputFiles.map(({ path, contents }) => [path.slice(join(ROOT, "dist/").length), contents]));
  made.set("THIRD_PARTY_LICENSES.txt", Buffer.from(licenceText(packages)));
  made.set("sbom.json", Buffer.from(softwareBill(packages)));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of made) writeFileSync(join(directory, name), content);
  const bytes = [...made.values()].reduce((sum, { length }) => sum + length, 0);
  return { files: made.size, bytes, packages: packages.length };
}

/** Files of which something is in a bundle, e.g. "node_modules/pino/pino.js". */
const inputsOf = ({ outputs }: Metafile): readonly string[] => [
  ...new Set(
    Object.values(outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? file : [])),
    ),
  ),
];
