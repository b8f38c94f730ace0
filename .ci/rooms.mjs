/** What lint cannot say of coordinator/: few files in its root, and import boundaries for every room. Exit code 1 with what is wrong. */
import { readdirSync, readFileSync } from "node:fs";

const MOST_ROOT_FILES = 8;
const entries = readdirSync("coordinator", { withFileTypes: true });
const rootFiles = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
const rooms = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
const bounded = JSON.parse(readFileSync(".oxlintrc.json", "utf8")).overrides.flatMap(({ files, rules }) =>
  rules["no-restricted-imports"] === undefined ? [] : files,
);
const faults = [
  ...(rootFiles.length > MOST_ROOT_FILES
    ? [`coordinator/ has ${rootFiles.length} files, at most ${MOST_ROOT_FILES}: ${rootFiles.join(", ")}`]
    : []),
  ...rooms
    .filter((room) => !bounded.some((pattern) => pattern.includes(`/${room}/`)))
    .map((room) => `coordinator/${room}/ has no import boundaries: add an override of no-restricted-imports to .oxlintrc.json`),
];
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
