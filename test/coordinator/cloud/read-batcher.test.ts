import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadBatcher } from "../../../coordinator/cloud/read-batcher.ts";
import { aStage } from "../stage.ts";

/** Reads that the test lets go one by one, at most three ids each; ids that begin with "bad" spoil a call, those with "no" do not exist. */
function aBatcher() {
  const waiting: { go: () => void; readonly signal: AbortSignal }[] = [];
  const asked: string[] = [];
  const batcher = new ReadBatcher<string>({
    most: 3,
    isRefusal: (error) => error instanceof RangeError,
    read: async (ids, signal) => {
      await new Promise<void>((resolve, reject) => {
        waiting.push({ go: resolve, signal });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
      const list = ids();
      asked.push(list.join());
      if (list.some((id) => id.startsWith("bad"))) throw new RangeError(`refused: ${list.join()}`);
      if (list.includes("broken")) throw new Error("the cloud is away");
      return new Map(list.filter((id) => !id.startsWith("no")).map((id) => [id, `facts of ${id}`]));
    },
  });
  const go = async (): Promise<void> => {
    await new Promise(setImmediate);
    for (const one of waiting.splice(0)) one.go();
    await new Promise(setImmediate);
  };
  return { batcher, waiting, asked, go, signal: new AbortController().signal };
}

test("callers that ask before the call has its turn share it, the same id is read once, and each caller gets its own answer", async () => {
  const { batcher, asked, go, signal } = aBatcher();
  const answers = Promise.all(["a", "b", "a", "none"].map((id) => batcher.ask(id, signal)));
  await go();
  assert.deepEqual([asked, await answers], [["a,b,none"], ["facts of a", "facts of b", "facts of a", undefined]]);
});

test("no caller joins a full call, or one that is under way", async () => {
  const { batcher, asked, go, signal } = aBatcher();
  const first = Promise.all(["a", "b", "c", "d", "a"].map((id) => batcher.ask(id, signal)));
  await go();
  assert.deepEqual(asked, ["a,b,c", "d,a"]);
  await first;
  const late = batcher.ask("a", signal);
  await go();
  assert.equal(await late, "facts of a");
  assert.deepEqual(asked.slice(2), ["a"]); // what was found before is no answer to a later question
});

test("an id that the cloud refuses spoils no other caller's answer", async () => {
  const { batcher, asked, go, signal } = aBatcher();
  const answers = Promise.allSettled(["a", "bad", "b"].map((id) => batcher.ask(id, signal)));
  await go();
  await go();
  assert.deepEqual(asked.toSorted(), ["a", "a,bad,b", "b", "bad"]);
  assert.deepEqual(
    (await answers).map((one) => (one.status === "fulfilled" ? one.value : String(one.reason))),
    ["facts of a", "RangeError: refused: bad", "facts of b"],
  );
});

test("a failure that no single id explains goes to all callers, and nothing is read again", async () => {
  const { batcher, asked, go, signal } = aBatcher();
  const answers = Promise.allSettled(["a", "broken"].map((id) => batcher.ask(id, signal)));
  await go();
  assert.deepEqual([(await answers).map(({ status }) => status), asked], [["rejected", "rejected"], ["a,broken"]]);
  const next = batcher.ask("a", signal);
  await go();
  assert.equal(await next, "facts of a");
});

test("a caller that gives up does not cancel the others; when all have given up, the batcher cancels the call", async () => {
  const { batcher, waiting, asked, go, signal } = aBatcher();
  const [one, other] = [new AbortController(), new AbortController()];
  const gaveUp = batcher.ask("a", one.signal);
  const stays = batcher.ask("b", signal);
  one.abort(new Error("stop"));
  await assert.rejects(gaveUp, /^Error: stop$/);
  await go();
  assert.equal(await stays, "facts of b");
  const alone = batcher.ask("c", other.signal);
  const [call] = waiting;
  other.abort(new Error("stop"));
  const after: Promise<string | undefined>[] = [];
  await assert.rejects(
    alone.finally(() => void after.push(batcher.ask("c", signal))),
    /^Error: stop$/,
  );
  assert.equal(call?.signal.aborted, true);
  await assert.rejects(batcher.ask("d", other.signal), /^Error: stop$/);
  await go();
  assert.deepEqual(await Promise.all(after), ["facts of c"]);
  assert.deepEqual(asked, ["a,b", "c"]);
});

test("load balancers that are asked for together share DescribeLoadBalancers, 20 in a call, and no call waits for more callers", async (t) => {
  const { clock, cloud, api, calls, signal, finish } = aStage(t);
  const ids = Array.from({ length: 60 }, () => cloud.addLoadBalancer().loadBalancerId);
  const startedMs = clock.now();
  assert.equal((await finish(api.loadBalancer(ids[0] ?? "", signal)))?.loadBalancerId, ids[0]);
  assert.deepEqual(
    calls.map(({ atMs }) => atMs - startedMs),
    [0],
  );
  const found = await finish(Promise.all([...ids, "lb-missing1"].map((id) => api.loadBalancer(id, signal))));
  assert.deepEqual(
    found.map((one) => one?.loadBalancerId),
    [...ids, undefined],
  );
  assert.equal(calls.length, 1 + 4);
});
