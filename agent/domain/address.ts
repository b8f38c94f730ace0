/** An IP range: `bits` is the address as a number, `length` its fixed bits, `width` 32 or 128. E.g. 10.244.0.0/16: length 16, width 32. */
export type Prefix = { readonly bits: bigint; readonly length: number; readonly width: 32 | 128 };

/** "10.244.0.0/16", "10.0.3.7" (all bits fixed), "fd00::/64", "default" (IPv4: no bit fixed); undefined where it is none of these. */
export function parsePrefix(text: string): Prefix | undefined {
  if (text === "default") return { bits: 0n, length: 0, width: 32 };
  const [address = "", length, ...rest] = text.split("/");
  const parsed = parseAddress(address);
  if (parsed === undefined || rest.length > 0) return undefined;
  const fixed = length === undefined ? parsed.width : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  return fixed <= parsed.width ? { bits: cut(parsed.bits, fixed, parsed.width), length: fixed, width: parsed.width } : undefined;
}

/** Keeps the first `length` bits. */
export function cut(bits: bigint, length: number, width: number): bigint {
  const loose = BigInt(width - length);
  return (bits >> loose) << loose;
}

/** "10.0.3.7" or "fd00::7" as a number. */
export function parseAddress(text: string): { readonly bits: bigint; readonly width: 32 | 128 } | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text);
}

function parseV4(text: string): { readonly bits: bigint; readonly width: 32 } | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return undefined;
  return { bits: parts.reduce((bits, part) => (bits << 8n) | BigInt(part), 0n), width: 32 };
}

function parseV6(text: string): { readonly bits: bigint; readonly width: 128 } | undefined {
  const halves = text.split("::").map((half) => (half === "" ? [] : half.split(":").flatMap(groupsOf)));
  const [head = [], tail] = halves;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (halves.length > 2 || (tail === undefined ? missing !== 0 : missing < 1)) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...(tail ?? [])];
  if (!groups.every((group) => /^[\da-f]{1,4}$/i.test(group))) return undefined;
  return { bits: groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n), width: 128 };
}

/** The last group may be an IPv4 address, e.g. "::ffff:10.0.0.1". */
function groupsOf(group: string): readonly string[] {
  const v4 = group.includes(".") ? parseV4(group)?.bits : undefined;
  return v4 === undefined ? [group] : [(v4 >> 16n).toString(16), (v4 & 0xffffn).toString(16)];
}
