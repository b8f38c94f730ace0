/** A member of a value that nobody has checked yet, e.g. member(object, "metadata"); undefined where there is none. */
export function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}
