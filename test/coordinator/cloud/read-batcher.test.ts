import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedLook } from "../../../coordinator/cloud/read-batcher.ts";
import { aStage } from "../stage.ts";

/** Looks that the test lets go one by one, at most three ids each; ids that begin with "bad" spoil a call, those with "no" do not exist. */
function aLook() {
  const waiting: { go: () => void; readonly signal: AbortSignal }[] = [];
  const asked: string[] = [];
  const shared = new SharedLook<string>({
    most: 3,
    isRefusal: (error) => error instanceof RangeError,
    look: async (ids, signal) => {
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
  return { shared, waiting, asked, go, signal: new AbortController().signal };
}

test("whoever asks before the call has its turn goes along, twice the same costs nothing, and each gets its own answer", async () => {
  const { shared, asked, go, signal } = aLook();
  const answers = Promise.all(["a", "b", "a", "none"].map((id) => shared.ask(id, signal)));
  await go();
  assert.deepEqual([asked, await answers], [["a,b,none"], ["facts of a", "facts of b", "facts of a", undefined]]);
});

test("a full call is left alone, and so is one that is under way", async () => {
  const { shared, asked, go, signal } = aLook();
  const first = Promise.all(["a", "b", "c", "d", "a"].map((id) => shared.ask(id, signal)));
  await go();
  assert.deepEqual(asked, ["a,b,c", "d,a"]);
  await first;
  const late = shared.ask("a", signal);
  await go();
  assert.equal(await late, "facts of a");
  assert.deepEqual(asked.slice(2), ["a"]); // what was found before is no answer to a later question
});

test("one that the cloud refuses spoils nobody else's answer", async () => {
  const { shared, asked, go, signal } = aLook();
  const answers = Promise.allSettled(["a", "bad", "b"].map((id) => shared.ask(id, signal)));
  await go();
  await go();
  assert.deepEqual(asked.toSorted(), ["a", "a,bad,b", "b", "bad"]);
  assert.deepEqual(
    (await answers).map((one) => (one.status === "fulfilled" ? one.value : String(one.reason))),
    ["facts of a", "RangeError: refused: bad", "facts of b"],
  );
});

test("a failure that is nobody's fault is told to all, without asking again", async () => {
  const { shared, asked, go, signal } = aLook();
  const answers = Promise.allSettled(["a", "broken"].map((id) => shared.ask(id, signal)));
  await go();
  assert.deepEqual([(await answers).map(({ status }) => status), asked], [["rejected", "rejected"], ["a,broken"]]);
  const next = shared.ask("a", signal);
  await go();
  assert.equal(await next, "facts of a");
});

test("who gives up leaves the others alone; when all have, the call is called off", async () => {
  const { shared, waiting, asked, go, signal } = aLook();
  const [one, other] = [new AbortController(), new AbortController()];
  const gaveUp = shared.ask("a", one.signal);
  const stays = shared.ask("b", signal);
  one.abort(new Error("stop"));
  await assert.rejects(gaveUp, /^Error: stop$/);
  await go();
  assert.equal(await stays, "facts of b");
  const alone = shared.ask("c", other.signal);
  const [call] = waiting;
  other.abort(new Error("stop"));
  const after: Promise<string | undefined>[] = [];
  await assert.rejects(
    alone.finally(() => void after.push(shared.ask("c", signal))),
    /^Error: stop$/,
  );
  assert.equal(call?.signal.aborted, true);
  await assert.rejects(shared.ask("d", other.signal), /^Error: stop$/);
  await go();
  assert.deepEqual(await Promise.all(after), ["facts of c"]);
  assert.deepEqual(asked, ["a,b", "c"]);
});

test("load balancers that are asked for together share DescribeLoadBalancers, 20 in a call, and nobody waits for company", async (t) => {
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
