import type { AnyFields } from "../model/request-fields.ts";

type Field = AnyFields[string];

/** A parameter and those below it, e.g. `Filters` with `0`, with `Name`. */
type Node = { value: string | undefined; readonly below: Map<string, Node> };

/**
 * The request in a query string, e.g. "LoadBalancerIds.0=lb-1&Limit=20" -> { LoadBalancerIds: ["lb-1"], Limit: 20 }. The fields of the
 * action tell numbers and booleans from text; what cannot be one stays text, so that the check of the request names it.
 */
export function readQuery(query: string, fields: AnyFields): unknown {
  const root: Node = { value: undefined, below: new Map() };
  for (const [path, value] of new URLSearchParams(query)) {
    let node = root;
    for (const part of path.split(".")) node = below(node, part);
    node.value = value;
  }
  return root.below.size === 0 ? {} : shape(root, { type: "object", fields });
}

function below(node: Node, part: string): Node {
  const found = node.below.get(part) ?? { value: undefined, below: new Map<string, Node>() };
  node.below.set(part, found);
  return found;
}

function shape(node: Node, field: Field | undefined): unknown {
  if (node.below.size === 0) return leaf(node.value ?? "", field);
  if (field?.type === "array")
    return [...node.below].sort(([one], [other]) => Number(one) - Number(other)).map(([, item]) => shape(item, field.of));
  const fields = field?.type === "object" ? field.fields : {};
  return Object.fromEntries([...node.below].map(([name, item]) => [name, shape(item, fields[name])]));
}

function leaf(text: string, field: Field | undefined): unknown {
  if (field?.type === "integer" && /^-?\d+$/.test(text)) return Number(text);
  if (field?.type === "boolean" && /^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  return text;
}
