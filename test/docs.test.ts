import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

const FOLDERS = "{agent,bench,common,coordinator,deploy,docs,proto,test}";
const PAGE = /\b(clb-api|kubernetes|real-cluster|tke-contract|toolchain)\.md/;

/** The headings that a text leans on: "clb-api §3.3" and "clb-api §7.5" for a line that names the page once and both sections. */
function citations(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, ...parts] = line.split(PAGE); // page, what follows it, page, …
    return parts.flatMap((page, index) => {
      if (index % 2 === 1) return [];
      const sections = [...(parts[index + 1] ?? "").matchAll(/§(\d+(?:\.\d+)?)/g)];
      return sections.length === 0 ? [page] : sections.map(([, section]) => `${page} §${section}`);
    });
  });
}

test("citations are found by line, page and section", () => {
  assert.deepEqual(citations("/** Sources: clb-api.md §0 and §2.3 (500), toolchain.md §7. */\n// see real-cluster.md"), [
    "clb-api §0",
    "clb-api §2.3",
    "toolchain §7",
    "real-cluster",
  ]);
});

test("docs/sources.md has an entry for every fact that a comment cites", () => {
  const entries = new Set([...readFileSync("docs/sources.md", "utf8").matchAll(/^###? (.+)$/gm)].map(([, heading]) => heading));
  const missing: string[] = [];
  let cited = 0;
  for (const file of globSync([`${FOLDERS}/**/*.{ts,yaml,md,proto}`, "README.md"])) {
    const text = readFileSync(file, "utf8");
    for (const citation of citations(text)) {
      cited += 1;
      if (!entries.has(citation))
        missing.push(`${file} cites "${citation}": add "### ${citation}" to docs/sources.md with the fact and its source`);
    }
    if (/\bdesign §\d/i.test(text)) missing.push(`${file} cites a design page that readers do not have: say the fact itself`);
  }
  assert.deepEqual(missing, []);
  assert.ok(cited > 50, `${cited} citations found: do they still look as this test expects?`);
});

test("docs/install.md lists the actions that the cloud's key needs: all that the code calls, and no others", () => {
  const actions = (files: string, pattern: RegExp): string[] => {
    const text = globSync(files)
      .map((file) => readFileSync(file, "utf8"))
      .join("\n");
    return [...new Set([...text.matchAll(pattern)].map(([, action = ""]) => action))].toSorted();
  };
  const called = actions("coordinator/cloud/clb-*.ts", /"((?:Describe|Create|Modify|Delete|Batch)[A-Z]\w+)"/g);
  assert.ok(called.length > 10, `${called.length} actions found: are they still written as this test expects?`);
  assert.deepEqual(actions("docs/install.md", /`clb:(\w+)`/g), called);
});
