import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { tarOf } from "../../deploy/tools/tar.ts";

const list = (tar: Buffer): string => spawnSync("tar", ["tvf", "-", "--utc", "--numeric-owner"], { input: tar, encoding: "utf8" }).stdout;

test("tar reads what is written: files, folders, links, long paths, all root's and of one time", () => {
  const long = `usr/share/doc/${"x".repeat(80)}/${"y".repeat(60)}`;
  const tar = tarOf([
    { path: "tmp/", mode: 0o1777 },
    { path: "bin", link: "usr/bin" },
    { path: "a", mode: 0o755, content: Buffer.from("text") },
    { path: long, content: Buffer.alloc(513, 1) },
  ]);
  const lines = list(tar)
    .trim()
    .split("\n")
    .map((line) => line.replaceAll(/\s+/g, " "));
  assert.deepEqual(lines, [
    "drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/",
    "lrwxrwxrwx 0/0 0 1970-01-01 00:00 bin -> usr/bin",
    "-rwxr-xr-x 0/0 4 1970-01-01 00:00 a",
    `-rw-r--r-- 0/0 513 1970-01-01 00:00 ${long}`,
  ]);
  assert.equal(spawnSync("tar", ["xOf", "-", "a"], { input: tar, encoding: "utf8" }).stdout, "text");
});

test("a path that no tar file can hold is refused", () => {
  assert.throws(() => tarOf([{ path: "x".repeat(300) }]), RangeError);
});
