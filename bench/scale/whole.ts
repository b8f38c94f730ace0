/** Of `--<flag> <text>`. Throws a RangeError that names both. */
export function whole(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) throw new RangeError(`--${flag} must be a whole number from ${least}, got "${text}"`);
  return value;
}
