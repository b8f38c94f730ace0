/** CPU time of processes, as Linux counts it. */
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks of Linux; fixed for user space. */
const TICKS_PER_SECOND = 100;

/** Of a process and of what it has started that runs, seconds; 0 of one that is gone. */
export function cpuSecondsOf(pid: number): number {
  const children = new Map<number, number[]>();
  const ticks = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const one = Number(name);
    const fields = Number.isInteger(one) ? fieldsOf(one) : undefined;
    if (fields === undefined) continue;
    const parent = Number(fields[1]);
    children.set(parent, [...(children.get(parent) ?? []), one]);
    ticks.set(one, Number(fields[11]) + Number(fields[12])); // utime, stime
  }
  const all = (one: number): number => (children.get(one) ?? []).reduce((sum, child) => sum + all(child), ticks.get(one) ?? 0);
  return all(pid) / TICKS_PER_SECOND;
}

/** `/proc/<pid>/stat` from the state on: "S", the parent, … */
function fieldsOf(pid: number): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
  } catch {
    return undefined;
  }
}
