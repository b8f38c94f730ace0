/**
 * Preloaded (`--import`) into a program of the product: its wall clock jumps as far as the file CLOCK_SHIFT_FILE says, milliseconds, at the
 * start and at each SIGUSR2, as where a machine's clock is put right. What Node's TLS judges by, and monotonic time, go on as they are.
 */
import { readFileSync } from "node:fs";

const { CLOCK_SHIFT_FILE = "" } = process.env;
const now = Date.now.bind(Date);
const shiftMs = (): number => Number(readFileSync(CLOCK_SHIFT_FILE, "utf8"));
let byMs = shiftMs();
process.on("SIGUSR2", () => (byMs = shiftMs()));
Date.now = () => now() + byMs;
