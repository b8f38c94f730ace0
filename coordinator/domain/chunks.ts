/** The items in order, in lists of at most `size`, e.g. ([1, 2, 3], 2) -> [[1, 2], [3]]. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = [];
  for (let start = 0; start < items.length; start += size) result.push(items.slice(start, start + size));
  return result;
}
