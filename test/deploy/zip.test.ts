import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { zipMember } from "../../deploy/tools/zip.ts";

/** An archive as any packer writes it: local headers with data, then the directory, then its end. */
function zipOf(files: Readonly<Record<string, string>>, method: 0 | 8): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  for (const [name, text] of Object.entries(files)) {
    const data = method === 8 ? deflateRawSync(text) : Buffer.from(text);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(Buffer.concat(locals).length, 42);
    directory.push(entry, Buffer.from(name));
    locals.push(local, Buffer.from(name), data);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt32LE(Buffer.concat(locals).length, 16);
  return Buffer.concat([...locals, ...directory, end]);
}

test("a file is read out of an archive, packed or not", () => {
  for (const method of [0, 8] as const) {
    const archive = zipOf({ "a/b": "first", "helm/helm": "second".repeat(100) }, method);
    assert.equal(zipMember(archive, "helm/helm").toString(), "second".repeat(100));
    assert.throws(() => zipMember(archive, "helm"), RangeError);
  }
  assert.throws(() => zipMember(Buffer.from("nothing of the kind".repeat(3)), "a"), { message: "this is no zip archive" });
});
