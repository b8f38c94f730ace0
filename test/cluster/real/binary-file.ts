/** Whether a file can be run here at all, told from its header: a clear message instead of "exec format error". */
import { accessSync, closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** `e_machine` of ELF by Node's name of the architecture. Source: the generic ABI's list of machines. */
const MACHINES: ReadonlyMap<number, string> = new Map([
  [0x03, "ia32"],
  [0x28, "arm"],
  [0x3e, "x64"],
  [0xb7, "arm64"],
  [0xf3, "riscv64"],
]);
const HEADER_BYTES = 64;

/**
 * Why `file` is no complete, executable ELF binary for this machine, e.g. "is truncated: 1048576 of 27234304 bytes"; undefined: it is
 * one. "is missing" where there is no such file. Only what the headers promise is checked, nothing is hashed.
 */
export function binaryFault(file: string, arch: string = process.arch): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "is missing" : `cannot be read: ${(error as Error).message}`;
  }
  try {
    return headerFault(descriptor, arch) ?? accessFault(file);
  } finally {
    closeSync(descriptor);
  }
}

function headerFault(descriptor: number, arch: string): string | undefined {
  const { size } = fstatSync(descriptor);
  const header = Buffer.alloc(HEADER_BYTES);
  const read = readSync(descriptor, header, 0, HEADER_BYTES, 0);
  if (read === 0) return "is empty";
  if (header.readUInt32BE(0) !== 0x7f454c46) return "is no Linux binary (no ELF header)";
  if (read < HEADER_BYTES) return `is truncated: ${size} bytes`;
  const machine = header.readUInt16LE(18);
  const found = MACHINES.get(machine) ?? `machine ${machine}`;
  if (found !== arch) return `is for ${found}, this machine is ${arch}`;
  const wanted = extent(descriptor, header);
  return size < wanted ? `is truncated: ${size} of ${wanted} bytes` : undefined;
}

/** Where the last section or segment of a 64-bit little-endian ELF file ends; what the tables' own place is counts too. */
function extent(descriptor: number, header: Buffer): number {
  const segments = { at: Number(header.readBigUInt64LE(32)), each: header.readUInt16LE(54), count: header.readUInt16LE(56) };
  const sections = { at: Number(header.readBigUInt64LE(40)), each: header.readUInt16LE(58), count: header.readUInt16LE(60) };
  const table = ({ at, each, count }: typeof segments): Buffer[] => {
    const bytes = Buffer.alloc(each * count);
    readSync(descriptor, bytes, 0, bytes.length, at);
    return Array.from({ length: count }, (_, index) => bytes.subarray(index * each, (index + 1) * each));
  };
  const end = (entry: Buffer, offset: number, size: number): number => Number(entry.readBigUInt64LE(offset) + entry.readBigUInt64LE(size));
  const NO_BITS = 8; // a section that takes no room in the file, such as .bss
  return Math.max(
    ...[segments, sections].map(({ at, each, count }) => at + each * count),
    ...table(segments).map((entry) => end(entry, 8, 32)),
    ...table(sections).map((entry) => (entry.readUInt32LE(4) === NO_BITS ? 0 : end(entry, 24, 32))),
  );
}

function accessFault(file: string): string | undefined {
  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch {
    return "is not executable";
  }
}
