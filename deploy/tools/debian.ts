/** The part of the image that comes from Debian: packages by version and hash, out of a cache or the archive that apt is set up for. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import type { TarEntry } from "./tar.ts";

export const ARCHITECTURES = ["amd64", "arm64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Libraries of Node, then the programs with theirs: ip (agent), nft and conntrack (hold), test (the agent's probes). */
const PACKAGES = `
  libc6 libgcc-s1 libstdc++6
  iproute2 libbpf1 libbsd0 libcap2 libelf1 libmd0 libmnl0 libselinux1 libpcre2-8-0 zlib1g
  nftables libnftables1 libnftnl11 libedit2 libgmp10 libjansson4 libtinfo6 libxtables12
  conntrack libnetfilter-conntrack3 libnfnetlink0
  coreutils
`
  .trim()
  .split(/\s+/);
export const PROGRAMS = ["ip", "nft", "conntrack", "test"] as const;

const Pin = z.object({ package: z.string(), version: z.string(), sha256: z.string() });
const Pins = z.object({ amd64: z.array(Pin), arm64: z.array(Pin) });
/** E.g. { package: "libc6", version: "2.36-9+deb12u14", sha256: "…" }. */
export type Pin = z.output<typeof Pin>;

const PINS = fileURLToPath(new URL("../image/debian.json", import.meta.url));
export const readPins = (): z.output<typeof Pins> => Pins.parse(JSON.parse(readFileSync(PINS, "utf8")));

/** What of a package is wanted: programs, libraries, and the copyright. Folders below the libraries are plug-ins that nobody here loads. */
const WANTED = [
  new RegExp(`^usr/s?bin/(?:${PROGRAMS.join("|")})$`),
  /^usr\/lib\/[^/]+-linux-gnu\/[^/]+\.so[^/]*$/,
  /^usr\/lib(?:64)?\/ld-linux[^/]*$/,
  /^usr\/share\/doc\/[^/]+\/copyright$/,
];
/** Debian 12 ships its files under both names of the folders that are one since. */
const MERGED = /^(?:bin|sbin|lib|lib64)\//;

/** The files of an architecture, ordered by path, with the links that merge the folders. Throws Error with the fix. */
export async function debianFiles(architecture: Architecture, cache: string): Promise<readonly TarEntry[]> {
  const files = new Map<string, TarEntry>();
  for (const pin of readPins()[architecture]) {
    const folder = mkdtempSync(join(cache, ".unpack-"));
    try {
      run("dpkg-deb", ["-x", await debOf(pin, architecture, cache), folder]);
      for (const path of filesIn(folder)) {
        const merged = MERGED.test(path) ? `usr/${path}` : path;
        if (!WANTED.some((pattern) => pattern.test(merged))) continue;
        const file = join(folder, path);
        const stat = lstatSync(file);
        if (!stat.isSymbolicLink()) files.set(merged, { path: merged, mode: stat.mode & 0o755, content: readFileSync(file) });
        else files.set(merged, { path: merged, link: readlinkSync(file) });
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  const links = ["bin", "sbin", "lib", "lib64"].map((name): TarEntry => ({ path: name, link: `usr/${name}` }));
  return [...links, ...files.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Whether all packages are in the cache. */
export const isFetched = (architecture: Architecture, cache: string): boolean =>
  readPins()[architecture].every(({ sha256 }) => existsSync(join(cache, `${sha256}.deb`)));

function filesIn(folder: string): readonly string[] {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true });
  return found.filter((entry) => !entry.isDirectory()).map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

async function debOf(pin: Pin, architecture: Architecture, cache: string): Promise<string> {
  const file = join(cache, `${pin.sha256}.deb`);
  if (existsSync(file)) return file;
  const [fetched] = fetchDebs([`${pin.package}=${pin.version}`], architecture, cache);
  if (fetched?.sha256 !== pin.sha256)
    throw new Error(
      `${pin.package} ${pin.version} of ${architecture} is not what deploy/image/debian.json says: npm run image -- --update`,
    );
  return file;
}

/** Into the cache, by apt with folders of its own, so that nothing of this machine's packages is read or changed. */
function fetchDebs(wanted: readonly string[], architecture: Architecture, cache: string): readonly Pin[] {
  const apt = join(cache, `apt-${architecture}`);
  for (const folder of ["state/lists/partial", "cache/archives/partial"]) mkdirSync(join(apt, folder), { recursive: true });
  writeFileSync(join(apt, "status"), "");
  const options = {
    "Dir::State": join(apt, "state"),
    "Dir::State::status": join(apt, "status"),
    "Dir::Cache": join(apt, "cache"),
    "APT::Architecture": architecture,
    "APT::Architectures": architecture,
    "APT::Sandbox::User": "",
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  if (readdirSync(join(apt, "state/lists")).length < 3) run("apt-get", [...flags, "-qq", "update"]);
  const folder = mkdtempSync(join(cache, ".fetch-"));
  try {
    const said = run(
      "apt-get",
      [...flags, "-q", "download", ...wanted],
      folder,
      "npm run image -- --update takes what the archive has now",
    );
    const debs = readdirSync(folder).filter((name) => name.endsWith(".deb"));
    if (debs.length !== wanted.length) throw new Error(`apt-get download brought ${debs.length} of ${wanted.length} packages: ${said}`);
    return debs.map((name) => {
      const deb = join(folder, name);
      const sha256 = createHash("sha256").update(readFileSync(deb)).digest("hex");
      const [found = "", version = ""] = run("dpkg-deb", ["--show", "--showformat", "${Package} ${Version}", deb]).split(" ");
      renameSync(deb, join(cache, `${sha256}.deb`));
      return { package: found, version, sha256 };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Pins what the archive has now. */
export function updatePins(cache: string): void {
  const pinsOf = (architecture: Architecture): readonly Pin[] => {
    rmSync(join(cache, `apt-${architecture}`), { recursive: true, force: true });
    const pins = fetchDebs(PACKAGES, architecture, cache);
    return pins.toSorted((a, b) => PACKAGES.indexOf(a.package) - PACKAGES.indexOf(b.package));
  };
  writeFileSync(PINS, `${JSON.stringify({ amd64: pinsOf("amd64"), arm64: pinsOf("arm64") }, null, 2)}\n`);
}

function run(
  command: string,
  args: readonly string[],
  cwd?: string,
  fix = "npm run image needs Debian's apt and dpkg, else use deploy/Dockerfile",
): string {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], { encoding: "utf8", ...(cwd !== undefined && { cwd }) });
  if (status !== 0) throw new Error(`${command} ${args.at(-1)}: ${error?.message ?? stderr.trim()}; ${fix}`);
  return stdout;
}
