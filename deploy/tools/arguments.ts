import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** What `read` makes of the command line; or the end of the process: 0 after --help, 2 with the mistake that it throws and the usage. */
export function argumentsOrExit<Asked extends { readonly help: boolean }>(usage: string, read: (args: string[]) => Asked): Asked {
  let asked: Asked;
  try {
    asked = read(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return process.exit(2);
  }
  if (!asked.help) return asked;
  console.log(usage);
  return process.exit(0);
}

/** The process ends with a benchmark: 0 where every goal is held, 1 where one is missed or `main` fails; 130 by SIGINT or SIGTERM. */
export async function exitAfter(main: () => Promise<boolean>): Promise<never> {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130)); // what runs ends with us
  try {
    return process.exit((await main()) ? 0 : 1);
  } catch (error) {
    console.error(error instanceof Error ? error.stack : error);
    return process.exit(1);
  }
}

/** An option's value, or that of its former name, e.g. of ["time-scale", "scale"]; with the name that was given, for messages. */
export function namedOrFormer<Name extends string>(
  values: Readonly<Partial<Record<Name, string>>>,
  [name, former]: readonly [name: Name, former: Name],
  preset: string,
): readonly [flag: Name, text: string] {
  const [text, old] = [values[name], values[former]];
  return text === undefined && old !== undefined ? [former, old] : [name, text ?? preset];
}

/** Of `--<flag> <text>`. Throws a RangeError that names both. */
export function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new RangeError(`--${flag} must be a number above 0, got "${text}"`);
  return value;
}

/** The same for a whole number. */
export function wholeAboveZero(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`--${flag} must be a whole number above 0, got "${text}"`);
}

/** What `--<flag> <text>` lists with commas between, in the order of `known`, e.g. "arm64,amd64". Throws a RangeError that names all three. */
export function listed<Known extends string>(flag: string, text: string, known: readonly Known[]): readonly Known[] {
  const wanted = text.split(",");
  const unknown = wanted.filter((one) => !known.some((other) => other === one));
  if (unknown.length > 0) throw new RangeError(`--${flag} must be of ${known.join(", ")}, got "${text}"`);
  return known.filter((one) => wanted.includes(one));
}

/** Throws a RangeError where `file` could not be written after the run, which takes minutes. */
export function checkJsonFile(file: string | undefined): void {
  if (file === undefined) return;
  const folder = dirname(resolve(file));
  if (!isFolder(folder)) throw new RangeError(`--json ${file}: there is no folder ${folder}`);
  if (isFolder(resolve(file))) throw new RangeError(`--json ${file}: this is a folder; name a file`);
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
