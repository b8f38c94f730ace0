import type { KubeObject } from "./objects.ts";
import type { Resource } from "./resources.ts";
import { failure } from "./status.ts";

export type Matches = (object: KubeObject) => boolean;

function requirement(text: string): (labels: Record<string, string>) => boolean {
  const set = /^([^\s=!,()]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    return (labels) => values.has(labels[key] ?? "") === (operator === "in") && (operator === "notin" || key in labels);
  }
  const equality = /^([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)$/.exec(text);
  if (equality) {
    const [, key = "", operator, value] = equality;
    return operator === "!=" ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const existence = /^(!?)\s*([^\s=!,()]+)$/.exec(text);
  if (existence) {
    const [, not, key = ""] = existence;
    return (labels) => key in labels === (not === "");
  }
  throw failure.badRequest(`unable to parse requirement: ${text}`);
}

/** Equality, set-based and existence requirements, e.g. "app=web,tier in (a, b),!legacy". */
export function labelSelector(text: string): Matches {
  const parts = text.split(/,(?![^(]*\))/).map((part) => part.trim());
  const all = text.trim() === "" ? [] : parts.map(requirement);
  return ({ metadata }) => all.every((fits) => fits(metadata.labels ?? {}));
}

/** "spec.nodeName=node-a,metadata.name!=x". Fields that the resource does not offer are 400, as on the real server. */
export function fieldSelector(resource: Resource, text: string): Matches {
  const all = text.split(",").flatMap((part) => {
    if (part === "") return [];
    const [, field = "", operator, value] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
    if (operator === undefined) throw failure.badRequest(`invalid selector: '${part}'; can't understand '${part}'`);
    const read = resource.fields[field];
    if (read === undefined) {
      const what = `Unable to find "${resource.group}/${resource.version}, Resource=${resource.plural}" that match label selector ""`;
      throw failure.badRequest(`${what}, field selector "${text}": field label not supported: ${field}`);
    }
    return (object: KubeObject) => ((read(object) ?? "") === value) === (operator !== "!=");
  });
  return (object) => all.every((fits) => fits(object));
}
