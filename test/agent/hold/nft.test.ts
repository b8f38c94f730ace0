import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NftError, startNft } from "../../../agent/hold/nft.ts";
import { makeClock } from "../../../common/clock.ts";

test("an nft that hangs has ended: what waits for it fails, and so does what comes after", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "nft-"));
  writeFileSync(join(directory, "nft"), "#!/bin/sh\nexec /bin/sleep 60\n", { mode: 0o755 });
  const nft = startNft({ path: directory, clock: makeClock(), limitMs: 200 });
  t.after(() => {
    nft.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const isHung = (error: unknown): boolean => error instanceof NftError && error.message === "nft did not answer for 0.2 s";
  await assert.rejects(nft.run("list tables"), isHung);
  await assert.rejects(nft.run("list tables"), isHung);
  await assert.rejects(nft.ended, isHung);
});
