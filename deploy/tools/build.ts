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

/** What packages load and our processes never use, and what stands in its place. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  // node-fetch: a URL of its own, with tables of 300 kB and a deprecated module of Node, where Node has one
  "whatwg-url": "module.exports = { URL: globalThis.URL };",
  // form-data: the types of files that somebody uploads, 2 500 of them; the cloud's APIs that are called here take JSON
  "mime-types": "module.exports = { lookup: () => false };",
  // prom-client: the trace of an exemplar, which no metric here has
  "@opentelemetry/api": "module.exports = {};",
};

const leftOut: Plugin = {
  name: "left-out",
  setup(bundler) {
    const names = Object.keys(LEFT_OUT).join("|");
    bundler.onResolve({ filter: new RegExp(`^(${names})$`) }, ({ path }) => ({ path, namespace: "left-out" }));
    bundler.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({ contents: LEFT_OUT[path] ?? "" }));
  },
};

/**
 * Of undici the processes need a pool, requests and fetch; its index loads mocks, caches, WebSockets and interceptors as well, 3 MB of memory in
 * each process. A name that is missing here fails the build. What reads kubeconfigs, in a chunk of its own, has all of it.
 */
const partsOfUndici: Plugin = {
  name: "parts-of-undici",
  setup(bundler) {
    bundler.onResolve({ filter: /^undici$/ }, ({ importer }) =>
      importer.endsWith("/client-node/dist/config.js") ? undefined : { path: "undici", namespace: "parts" },
    );
    bundler.onLoad({ filter: /.*/, namespace: "parts" }, () => ({ contents: UNDICI, resolveDir: ROOT }));
  },
};
/** `request` with the arguments that we give it: an address and a dispatcher. */
const UNDICI = `
import Agent from "undici/lib/dispatcher/agent.js";
import sendBy from "undici/lib/api/api-request.js";
import { fetch } from "undici/lib/web/fetch/index.js";
const request = (url, { dispatcher, ...options }) => {
  const { origin, pathname, search } = new URL(url);
  return sendBy.call(dispatcher, { ...options, origin, path: pathname + search });
};
export { Agent, fetch, request };
`;

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
    keepNames: false, // nothing is minified, and a call for the name of each function costs 2 MB of memory
    legalComments: "none", // THIRD_PARTY_LICENSES.txt has whole licences
    sourcemap: true,
    sourcesContent: false, // paths and lines are what a stack trace needs
    plugins: [leftOut, partsOfUndici],
    external: [
      "pino-pretty", // asked for on a terminal only, and done without where it is missing
      "@grpc/proto-loader", // grpc-js asks for it only to serve channelz or orca, which nobody here does
    ],
    metafile: true,
    logLevel: "warning",
  });
  const packages = bundledPackages(ROOT, inputsOf(metafile));
  const made = new Map<string, Uint8Array>(
    outputFiles.map(({ path, text }) => [
      path.slice(join(ROOT, "dist/").length),
      Buffer.from(path.endsWith(".mjs") ? inAscii(text) : text),
    ]),
  );
  made.set("THIRD_PARTY_LICENSES.txt", Buffer.from(licenceText(packages)));
  made.set("sbom.json", Buffer.from(softwareBill(packages)));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of made) writeFileSync(join(directory, name), content);
  const bytes = [...made.values()].reduce((sum, { length }) => sum + length, 0);
  return { files: made.size, bytes, packages: packages.length };
}

/**
 * One comment in Chinese makes V8 keep the whole file in two bytes a character, for as long as the process lives. esbuild writes strings in
 * ASCII, but leaves some comments as they are; an escape means the same wherever else it could stand.
 */
const inAscii = (text: string): string =>
  text.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Files of which something is in a bundle, e.g. "node_modules/pino/pino.js". */
const inputsOf = ({ outputs }: Metafile): readonly string[] => [
  ...new Set(
    Object.values(outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? file : [])),
    ),
  ),
];
