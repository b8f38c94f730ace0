import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * A temporary folder that goes with this process, also where SIGINT or SIGTERM ends it; `handOver` leaves these signals to whoever runs from
 * then on.
 */
export function proofFolder(): { readonly directory: string; readonly handOver: () => void } {
  const directory = mkdtempSync(join(tmpdir(), `clb-direct-proof-${process.pid}-`));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const end = (): never => process.exit(130);
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.once(signal, end);
  return {
    directory,
    handOver: () => {
      for (const signal of signals) process.off(signal, end);
    },
  };
}
