/** The hold server of a node: a process of its own, with the right to write the one rule that it needs, and nothing else. */
import { randomBytes } from "node:crypto";
import { makeClock, makeWallClock } from "../../common/clock.ts";
import { ConfigError } from "../../common/errors.ts";
import { loop, runParts } from "../../common/lifecycle.ts";
import { makeLogger } from "../../common/log.ts";
import { missingPrograms } from "../adapters/programs.ts";
import { type HoldConfig, readHoldConfig } from "./config.ts";
import { makeHold } from "./hold.ts";
import { KIND } from "./proof.ts";
import { keepSignOfLife } from "./sign-of-life.ts";

/** With the packages of Debian that have them. */
const PROGRAMS = { nft: "nftables", conntrack: "conntrack" };
/** Below the Pod's grace of 60 s: what still waits then is cut by the kubelet. */
const STOP_LIMIT_MS = 58_000;

async function main(config: HoldConfig): Promise<void> {
  const clock = makeClock();
  const log = await makeLogger("hold", config.logLevel);
  for (const sentence of missingPrograms(config.path, PROGRAMS)) log.error(sentence);
  const hold = makeHold({ ...config, id: randomBytes(4).toString("hex"), nonceKind: KIND, clock, log });
  await runParts(
    [
      loop("sign of life", (signal) => keepSignOfLife({ directory: config.stateDirectory, clock: makeWallClock() }, signal)),
      loop("redirect rule", (signal) => hold.keepRule(signal)),
      loop("proof", (signal) => hold.prove(signal)),
      loop("connections", (signal) => hold.count(signal)),
      { name: "agent's socket", start: () => hold.socket.start(), stop: () => hold.socket.stop() },
      { name: "hold server", start: () => hold.start(), stop: (signal) => hold.finish(signal) },
    ],
    { log, clock, limitMs: STOP_LIMIT_MS },
  );
}

try {
  await main(readHoldConfig());
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
