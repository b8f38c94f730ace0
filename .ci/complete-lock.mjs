// Adds lock entries for optional platform packages that the registry in use could not serve: npm 11 and later refuse a
// lock that lacks them. Run it after every `npm install` (npm run lock); with --check it only reports.
import { readFileSync, writeFileSync } from "node:fs";

const LOCK = "package-lock.json";
const lock = JSON.parse(readFileSync(LOCK, "utf8"));
const OS = ["android", "darwin", "freebsd", "linux", "win32", "openharmony"];
const CPU = ["arm64", "x64", "ia32", "riscv64", "s390x", "ppc64", "arm"];
const missing = [];

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    const parts = name.split("/").at(-1).split("-");
    const os = OS.find((candidate) => parts.includes(candidate));
    if (lock.packages[path] || os === undefined) continue;
    const cpu = CPU.find((candidate) => parts.includes(candidate)) ?? (parts.includes("armv7") ? "arm" : undefined);
    const libc =
      os !== "linux"
        ? undefined
        : parts.some((p) => p.startsWith("musl"))
          ? ["musl"]
          : parts.some((p) => p.startsWith("gnu"))
            ? ["glibc"]
            : undefined;
    missing.push(name);
    lock.packages[path] = {
      version: version.replace(/^[\^~]/, ""),
      cpu: cpu && [cpu],
      ...(entry.dev && { dev: true }),
      ...(libc && { libc }),
      optional: true,
      os: [os],
    };
  }
}

if (process.argv.includes("--check")) {
  const resolved = Object.values(lock.packages).filter((entry) => entry.resolved?.startsWith("http")).length;
  if (missing.length > 0)
    console.error(
      `${LOCK} lacks ${missing.length} platform packages (${missing.slice(0, 3).join(", ")} …): run \`npm run lock\` and commit it`,
    );
  if (resolved > 0)
    console.error(`${LOCK} records ${resolved} download addresses: reinstall with omit-lockfile-registry-resolved=true (.npmrc)`);
  process.exit(missing.length + resolved > 0 ? 1 : 0);
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${LOCK}: ${missing.length} platform packages added`);
