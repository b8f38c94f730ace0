/** What the files of the last runs took on this machine: the longest start first, so that none runs alone at the end. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Beside the binaries of a real cluster: `npm ci` empties node_modules. */
const FILE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "clb-direct/test-seconds.json");

/** Seconds by file, e.g. { "test/flow/bind.test.ts": 33.1 }; those on a real cluster by "real test/flow/bind.test.ts". */
type Times = Readonly<Record<string, number>>;

/** Nothing where nothing was kept, or something else was. */
export function lastTimes(): Times {
  try {
    const kept: unknown = JSON.parse(readFileSync(FILE, "utf8"));
    return typeof kept === "object" && kept !== null ? (kept as Times) : {};
  } catch {
    return {};
  }
}

/** Keeps these beside what was kept of other files; without them the next run has only a worse order. */
export function keepTimes(times: Times): void {
  try {
    mkdirSync(dirname(FILE), { recursive: true });
    const whole = `${FILE}.${process.pid}`; // another run may read meanwhile
    writeFileSync(whole, JSON.stringify({ ...lastTimes(), ...times }));
    renameSync(whole, FILE);
  } catch {
    // no home that can be written to
  }
}
