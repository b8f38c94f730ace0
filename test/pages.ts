/** Tables of docs/annotations.md, as the code has them. */
import type { Annotation } from "../coordinator/domain/intent/annotations.ts";
import { ANNOTATIONS } from "../coordinator/domain/intent/service-annotations.ts";
import { SERVICE_FIELDS } from "../coordinator/domain/intent/service-fields.ts";

const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
const table = (heading: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(heading), `|${"---|".repeat(heading.length)}`, ...rows.map(row)].join("\n");

const whenOf = ({ takes, verdict }: Annotation): string =>
  takes === "never" || verdict === "written" ? "" : takes === "live" ? "at once" : "at creation";
const lineOf = (one: Annotation): string[] => [
  `\`${one.key}\`${one.on === "Pod" ? " (on Pods)" : ""}`,
  one.verdict,
  one.syntax,
  one.default ?? "",
  whenOf(one),
  one.group,
  [one.code ?? [], one.valueCode ?? []].flat().join(", "),
  one.does,
];
const HEADING = ["key", "verdict", "value", "default", "takes effect", "class", "code of a bad value", "what it does"];

const isOfIngress = ({ key }: Annotation): boolean => key.startsWith("ingress.") || key.startsWith("kubernetes.io/ingress.");
const TABLES: Readonly<Record<string, () => string>> = {
  annotations: () => table(HEADING, ANNOTATIONS.filter((one) => !isOfIngress(one)).map(lineOf)),
  fields: () =>
    table(
      ["field", "verdict", "what it does"],
      SERVICE_FIELDS.map(({ field, verdict, does }) => [`\`${field}\``, verdict, does]),
    ),
  ingress: () => table(HEADING, ANNOTATIONS.filter(isOfIngress).map(lineOf)),
};

/** The page with each table that it marks by "<!-- name -->" and "<!-- end -->" written anew. */
export const withTables = (page: string): string =>
  page.replaceAll(/<!-- (\w+) -->\n[^]*?<!-- end -->/g, (whole, name: string) => {
    const text = TABLES[name]?.();
    return text === undefined ? whole : `<!-- ${name} -->\n${text}\n<!-- end -->`;
  });
