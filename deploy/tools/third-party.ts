/** Whose code is in the bundles, and under which terms. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";

/** One package, e.g. { name: "pino", version: "10.4.0", license: "MIT", text: "MIT License …" }; `text` is empty where it ships none. */
export type Package = {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly text: string;
  /** Of its archive, as in the lock file, e.g. "sha512-…". */
  readonly integrity: string | undefined;
};

const Manifest = z.object({
  name: z.string(),
  version: z.string(),
  license: z.union([z.string(), z.object({ type: z.string() })]).optional(),
});
const Lock = z.object({ packages: z.record(z.string(), z.object({ integrity: z.string().optional() })) });
const LICENCE_FILE = /^(licen[cs]e|copying|notice)/i;

/** Packages that the files belong to, by name. Throws Error for one that does not say its licence. */
export function bundledPackages(root: string, files: readonly string[]): readonly Package[] {
  const lock = Lock.parse(JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")));
  const folders = new Set(files.flatMap((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []));
  return [...folders]
    .map((folder) => readPackage(join(root, folder), lock.packages[folder]?.integrity))
    .toSorted((a, b) => compare(a.name, b.name) || compare(a.version, b.version));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function readPackage(folder: string, integrity: string | undefined): Package {
  const { name, version, license } = Manifest.parse(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")));
  const id = typeof license === "object" ? license.type : license;
  if (id === undefined) throw new Error(`${folder}/package.json names no license: ask its authors before it is shipped`);
  const texts = readdirSync(folder)
    .filter((file) => LICENCE_FILE.test(file))
    .toSorted(compare);
  return { name, version, license: id, integrity, text: texts.map((file) => readFileSync(join(folder, file), "utf8").trim()).join("\n\n") };
}

export function licenceText(packages: readonly Package[]): string {
  const parts = packages.map(
    ({ name, version, license, text }) =>
      `${name} ${version} (${license})\n\n${text || `The package has no licence file; its manifest names ${license}.`}\n`,
  );
  return ["Code of these packages is part of the bundles beside this file.\n", ...parts].join(`\n${"-".repeat(80)}\n`);
}

/** CycloneDX, without time and serial number, so that the same sources give the same bytes. */
export function softwareBill(packages: readonly Package[]): string {
  const components = packages.map(({ name, version, license, integrity }) => ({
    type: "library",
    name,
    version,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    licenses: [/\s/.test(license) ? { expression: license } : { license: { id: license } }],
    ...(integrity !== undefined && {
      hashes: [{ alg: "SHA-512", content: Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex") }],
    }),
  }));
  const component = { type: "application", name: "clb-direct" };
  return `${JSON.stringify({ bomFormat: "CycloneDX", specVersion: "1.6", version: 1, metadata: { component }, components }, null, 2)}\n`;
}
