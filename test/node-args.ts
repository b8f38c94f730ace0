import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Arguments of Node for a process that runs these test files, one after the other, with such reporters. Several are imported by a program of one
 * line each: with `--test --test-isolation=none` the runner would begin to follow promises before anything could be preloaded.
 */
export function nodeArgs(files: readonly string[], reporters: readonly string[]): readonly string[] {
  const reports = reporters.flatMap((reporter) => [`--test-reporter=${reporter}`, "--test-reporter-destination=stdout"]);
  const options = ["--import", "./test/promises-untracked.ts", ...reports];
  if (files.length === 1) return [...options, ...files];
  const imports = files.map((file) => `import ${JSON.stringify(pathToFileURL(resolve(file)))};`);
  return [...options, "--input-type=module", "--eval", imports.join("\n")];
}
