import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { nodePath } from "./requirements.ts";

/** Listings of a kernel's tables are long. */
const LONGEST_OUTPUT = 64 * 1024 * 1024;

/** Standard output. Rejects with the command line and what it said. */
export async function run(command: readonly string[]): Promise<string> {
  const [file = "", ...args] = command;
  try {
    const { stdout } = await promisify(execFile)(file, args, { env: { ...process.env, PATH: nodePath() }, maxBuffer: LONGEST_OUTPUT });
    return stdout;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`${command.join(" ")}: ${stderr?.trim() || message}`, { cause: error });
  }
}
