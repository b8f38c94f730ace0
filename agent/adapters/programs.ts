import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** What an agent runs, with the package of Debian that has it. */
const PROGRAMS: Readonly<Record<string, string>> = { ip: "iproute2" };

/**
 * One sentence for each program that is in none of the folders, e.g. "ip is not on PATH (/bin): …". An image without it works worse, and that
 * would show only later and elsewhere.
 */
export function missingPrograms(path: string, programs: Readonly<Record<string, string>> = PROGRAMS): readonly string[] {
  return Object.entries(programs)
    .filter(([program]) => !path.split(":").some((folder) => isExecutable(join(folder, program))))
    .map(
      ([program, inPackage]) =>
        `${program} is not on PATH (${path}): it is in package ${inPackage} of Debian, and in the image that npm run image makes`,
    );
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
