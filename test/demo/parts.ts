/** What the parts of the demo's stage say to each other. */
import type { AddressPlan } from "../cluster/network.ts";
import type { RunningProcess } from "../cluster/process.ts";
import type { ProductOptions } from "../cluster/product.ts";

/** What must be undone, in the order in which it was done. */
export type Steps = (() => Promise<unknown>)[];

/** Starts a program of ours that prints a line of JSON when it is ready and ends with us. */
export type Start = (name: string, script: string, args: readonly string[]) => RunningProcess;

/** E.g. { port: "0" } -> ["--port", "0"]. */
export const flagsOf = (flags: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);

export type Ground = Pick<
  ProductOptions,
  "cluster" | "apiServer" | "install" | "plan" | "nodes" | "enter" | "behind" | "coordinatorEnv"
> & {
  readonly kubeconfigFile: string;
  /** The Nodes that get an agent. */
  readonly agents: readonly string[];
  /** Rejects with what must be mended, once it is known that no Pod of the example will ever serve. */
  readonly checkPods: () => Promise<void>;
  /** Takes the example away; before the product ends. */
  readonly leave?: () => Promise<void>;
};

export type GroundDeps = {
  readonly plan: AddressPlan;
  readonly directory: string;
  readonly start: Start;
  readonly steps: Steps;
  readonly say: (text: string) => void;
};

/** The demo cannot run there; the message says what to mend, and no log says more. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}
