import { readFileSync, writeFileSync } from "node:fs";
import { withTables } from "./pages.ts";

/** Writes the tables of docs/annotations.md as the code has them. */
const PAGE = "docs/annotations.md";
writeFileSync(PAGE, withTables(readFileSync(PAGE, "utf8")));
