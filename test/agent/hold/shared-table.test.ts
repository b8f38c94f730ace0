/** Kernels before 5.12: the old and the new agent of an update share one table. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { makeRedirectRule, type RedirectRule } from "../../../agent/hold/redirect-rule.ts";
import { makeClock } from "../../../common/clock.ts";
import { HOLD_PORT } from "../../../common/names.ts";
import { until } from "../../cluster/process.ts";
import { oldNft, rules } from "./old-nft.ts";

type Started = { readonly rule: RedirectRule; readonly ended: Promise<void> };

/** Resolves when its rule is in place. */
async function start(t: TestContext, path: string, addresses: readonly string[], areAll: boolean): Promise<Started> {
  const deps = { host: undefined, port: HOLD_PORT, ignored: ["100.64.0.0/10"], clock: makeClock(), log: pino({ level: "silent" }) };
  const rule = makeRedirectRule({ ...deps, id: "unused", path });
  const over = new AbortController();
  t.after(() => over.abort());
  rule.setRedirected(new Set(addresses), areAll);
  let ended = Promise.resolve();
  await new Promise<void>((resolve) => void (ended = rule.run(over.signal, resolve)));
  assert.equal(rule.fault, undefined);
  return { rule, ended };
}

const listed = (family: "ip" | "ip6"): readonly string[] => {
  const { stdout } = spawnSync("nft", ["list", "set", family, "clb_direct", "redirected"], { encoding: "utf8" });
  return (/elements = \{([^}]*)\}/.exec(stdout)?.[1]?.match(/[0-9a-f.:]+/g) ?? []).toSorted();
};
const hasTable = (family: "ip" | "ip6"): boolean => spawnSync("nft", ["list", "table", family, "clb_direct"]).status === 0;

test("a new agent that knows no Pods yet takes no address away; then stale ones go; the last agent takes the table with it", {
  skip: !rules && "no nft here",
}, async (t) => {
  const path = oldNft(t);
  const old = await start(t, path, ["10.9.0.1", "10.9.0.2", "fd00::1", "fd00::2"], true);
  assert.deepEqual(
    [listed("ip"), listed("ip6")],
    [
      ["10.9.0.1", "10.9.0.2"],
      ["fd00::1", "fd00::2"],
    ],
  );
  const next = await start(t, path, ["10.9.0.9"], false);
  assert.deepEqual(
    [listed("ip"), listed("ip6")],
    [
      ["10.9.0.1", "10.9.0.2", "10.9.0.9"],
      ["fd00::1", "fd00::2"],
    ],
  );
  const chain = spawnSync("nft", ["list", "chain", "ip", "clb_direct", "out"], { encoding: "utf8" }).stdout;
  assert.equal(chain.match(/@redirected/g)?.length, 1, chain);
  // Both hear that one is gone, in whichever order.
  old.rule.setRedirected(new Set(["10.9.0.1", "fd00::1"]), true);
  next.rule.setRedirected(new Set(["10.9.0.1", "10.9.0.9", "fd00::1"]), true);
  old.rule.retire();
  await until("stale ones are gone", () => listed("ip").join() === "10.9.0.1,10.9.0.9" && listed("ip6").join() === "fd00::1");
  next.rule.retire();
  await next.rule.remove();
  await Promise.all([old.ended, next.ended]); // they look after it once a second, and put it back no more
  assert.deepEqual([hasTable("ip"), hasTable("ip6")], [false, false]);
});
