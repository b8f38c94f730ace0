import { isMap, isNode, isPair, LineCounter, type ParsedNode, parseDocument } from "yaml";
import type * as z from "zod";

/**
 * Reads YAML (and so JSON) that a person wrote. Throws a TypeError with one line per fault, each with the line of the text and the reason, e.g.
 * `faults.yaml:4: faults[1].delay: must be a number of ms or a text such as "10s"`. `name` is the file, or what the text is called.
 */
export function parseScript<S extends z.ZodType>(text: string, schema: S, name: string): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => `${name}:${lines.linePos(offset).line}`;
  if (document.errors.length > 0) throw new TypeError(document.errors.map(({ pos, message }) => `${at(pos[0])}: ${message}`).join("\n"));
  const read = schema.safeParse(document.toJS());
  if (read.success) return read.data;
  const faults = read.error.issues.map((issue) => {
    const unknown = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
    const path = [...issue.path, ...unknown];
    const reason = issue.code === "unrecognized_keys" ? `no such field: ${issue.keys.join(", ")}` : issue.message;
    return `${at(offsetOf(document.contents, path))}: ${written(issue.path)}${reason}`;
  });
  throw new TypeError(faults.join("\n"));
}

/** E.g. ["faults", 1, "delay"] -> "faults[1].delay: ". */
function written(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  return text === "" ? "" : `${text.replace(/^\./, "")}: `;
}

/** Where the value at this path begins; for one that is missing, what it is missing from. */
function offsetOf(root: ParsedNode | null, path: readonly PropertyKey[]): number {
  let node: unknown = root;
  let offset = root?.range[0] ?? 0;
  for (const step of path) {
    const pair = isMap(node) ? node.items.find(({ key }) => String(key) === String(step)) : undefined;
    const next: unknown = isPair(pair) ? pair.key : isNode(node) && "get" in node ? node.get(step, true) : undefined;
    if (!isNode(next)) return offset;
    offset = next.range?.[0] ?? offset;
    node = isPair(pair) ? pair.value : next;
  }
  return offset;
}
