import { parseArgs } from "node:util";
import { ConfigError } from "../common/errors.ts";

export const USAGE = `usage: npm run agent
The environment sets everything: docs/operations.md lists the keys, deploy/install.yaml shows them in use.
  NODE_NAME            required: the node whose Pods it watches
  COORDINATOR_ADDRESS  required: where the coordinators are, e.g. dns:///clb-direct-coordinator.clb-direct.svc:9443
  CA_BUNDLE_FILE       required: the CA of the coordinators' certificates
  TOKEN_FILE           required: a ServiceAccount token with audience clb-direct`;

/** What the command line asks for. Throws a ConfigError with the mistake and the usage. */
export function readArguments(args: readonly string[]): { readonly help: boolean } {
  try {
    return parseArgs({ args: [...args], options: { help: { type: "boolean", default: false } } }).values;
  } catch (cause) {
    throw new ConfigError(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`, { cause });
  }
}
