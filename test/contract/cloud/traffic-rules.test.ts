import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { matchRule, plainPath } from "../../cloud/data-plane/match-rule.ts";

/** "domain url" of each rule; the first domain is the default one. */
type Row = { readonly rules: readonly string[]; readonly asked: string; readonly gets: string };

const EXAMPLE = ["e.com /", "e.com /test1/image/index1.html", "e.com /test1/image", "e.com /test2/video/"];

/** Most from the examples of the documentation (clb-api.md §2.2). */
const ROWS: readonly Row[] = [
  { rules: EXAMPLE, asked: "e.com/test1/image/index1.html", gets: "e.com /test1/image/index1.html" },
  { rules: EXAMPLE, asked: "e.com/test1/image/hello.html", gets: "e.com /test1/image" },
  { rules: EXAMPLE, asked: "e.com/test2/video/mp4/", gets: "e.com /test2/video/" },
  { rules: EXAMPLE, asked: "e.com/test3/hello/index.html", gets: "e.com /" },
  { rules: EXAMPLE, asked: "e.com/test2/", gets: "e.com /" },
  { rules: ["e.com /abc/"], asked: "e.com/abc", gets: "to /abc/" },
  { rules: ["e.com /abc/", "e.com /"], asked: "e.com/abc", gets: "to /abc/" },
  { rules: ["e.com /abc/", "e.com /abc"], asked: "e.com/abc", gets: "e.com /abc" },
  { rules: ["e.com /abc"], asked: "e.com/abc/", gets: "e.com /abc" },
  { rules: ["e.com /abc"], asked: "e.com/abcde", gets: "e.com /abc" },
  { rules: ["e.com /abc"], asked: "e.com/ABC", gets: "none" },
  { rules: ["e.com /abc"], asked: "e.com/", gets: "none" },
  { rules: ["e.com =/abc", "e.com /"], asked: "e.com/abc", gets: "e.com =/abc" },
  { rules: ["e.com =/abc", "e.com /"], asked: "e.com/abc/d", gets: "e.com /" },
  { rules: ["e.com ~*.(gif|jpg|bmp)$", "e.com /"], asked: "e.com/img/a.GIF", gets: "e.com ~*.(gif|jpg|bmp)$" },
  { rules: ["e.com ~*.(gif|jpg|bmp)$", "e.com /img"], asked: "e.com/img/a.gif", gets: "e.com ~*.(gif|jpg|bmp)$" },
  { rules: ["e.com ~*.(gif|jpg|bmp)$", "e.com ^~/img"], asked: "e.com/img/a.gif", gets: "e.com ^~/img" },
  { rules: ["e.com ~ .png$", "e.com /"], asked: "e.com/a.PNG", gets: "e.com /" },
  { rules: ["e.com ~ ^/a", "e.com ~ ^/ab"], asked: "e.com/abc", gets: "e.com ~ ^/a" },
  { rules: ["e.com ~ (", "e.com /"], asked: "e.com/(", gets: "e.com /" },
  { rules: ["a.com /", "b.a.com /", "*.a.com /"], asked: "b.a.com/", gets: "b.a.com /" },
  { rules: ["x.com /", "*.a.com /", "b.* /"], asked: "b.a.com/", gets: "*.a.com /" },
  { rules: ["x.com /", "*.com /", "*.a.com /"], asked: "c.b.a.com/", gets: "*.a.com /" },
  { rules: ["x.com /", "*.a.com /"], asked: "a.com/", gets: "x.com /" },
  { rules: ["x.com /", "www.a.* /"], asked: "www.a.org/", gets: "www.a.* /" },
  { rules: ["x.com /", "www.a.* /", "~^www\\d*\\.a\\.org$ /"], asked: "www.a.org/", gets: "www.a.* /" },
  { rules: ["x.com /", "~^www\\d+\\.e\\.com$ /"], asked: "www12.e.com/", gets: "~^www\\d+\\.e\\.com$ /" },
  { rules: ["x.com /", "~^www\\d+\\.e\\.com$ /"], asked: "www.e.com/", gets: "x.com /" },
  { rules: ["first.com /", "second.com /"], asked: "unknown.com/", gets: "first.com /" },
  { rules: ["first.com /only", "second.com /"], asked: "unknown.com/", gets: "none" },
  { rules: ["first.com /", "second.com /only"], asked: "second.com/other", gets: "none" },
  { rules: ["E.com /".toLowerCase()], asked: "E.COM:8080/", gets: "e.com /" },
  { rules: [], asked: "e.com/", gets: "none" },
];

suite("which rule a request gets", () => {
  for (const { rules, asked, gets } of ROWS)
    test(`${asked} of [${rules.join(", ")}] gets ${gets}`, () => {
      const records = rules.map((rule) => {
        const [domain = "", ...url] = rule.split(" ");
        return { domains: [domain], url: url.join(" "), rule };
      });
      const [host = ""] = asked.split("/");
      const found = matchRule(records, records[0]?.domains[0], host, asked.slice(host.length));
      assert.equal(found.kind === "rule" ? found.rule.rule : found.kind === "redirect" ? `to ${found.path}` : "none", gets);
    });

  test("a rule with several domains answers under each", () => {
    const rule = { domains: ["a.com", "*.b.com"], url: "/" };
    const other = { domains: ["c.com"], url: "/" };
    const of = (host: string) => matchRule([other, rule], "c.com", host, "/");
    for (const host of ["a.com", "x.b.com"]) assert.deepEqual(of(host), { kind: "rule", rule });
    assert.deepEqual(of("b.com"), { kind: "rule", rule: other });
  });
});

test("the path is compared without query, decoded and with its dots resolved", () => {
  const rows = [
    ["/a/b", "/a/b"],
    ["/a?b=/c/..", "/a"],
    ["/a%20b", "/a b"],
    ["/a/../b//c/./d", "/b/c/d"],
    ["http://e.com/x?y", "/x"],
    ["/%zz", "/%zz"],
    ["*", "*"],
  ];
  for (const [given = "", path] of rows) assert.equal(plainPath(given), path);
});
