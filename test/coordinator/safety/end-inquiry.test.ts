import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { EndInquiry } from "../../../coordinator/safety/end-inquiry.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const MISSING = { uid: "pod-1", namespace: "demo", name: "web-1" };

/** An API server that fails as long as it is told to; `asked`: when, milliseconds since the start; `proven`: what was learned, e.g. "lb-1 pod-1". */
function anInquiry() {
  const clock = aFakeClock(0);
  const asked: number[] = [];
  const proven: string[] = [];
  const server = { isAway: true };
  const get = (path: string): Promise<never> => {
    asked.push(clock.now());
    return Promise.reject(new KubeApiError(`get ${path}`, server.isAway ? "server" : "notFound", "none"));
  };
  const inquiry = new EndInquiry({
    client: { get, list: () => Promise.reject(new Error("not one by one")) },
    clock,
    log: silentLog,
    onAgain: (id) => void proven.push(`${id} again`),
    onProven: (id, uids) => void proven.push(`${id} ${uids.join()}`),
  });
  return { clock, asked, proven, server, inquiry };
}

test("what the API server could not answer is asked again though no pass comes, ever more rarely, until it is answered", async () => {
  const { clock, asked, proven, server, inquiry } = anInquiry();
  const stop = new AbortController();
  inquiry.ask("lb-1", [MISSING], stop.signal);
  await clock.advance(300_000);
  const [first = 0, second = 0] = asked;
  assert.deepEqual([second - first, asked.length > 10 && asked.length < 60, proven], [5_000, true, []]);
  assert.ok((asked.at(-1) ?? 0) - (asked.at(-2) ?? 0) > 20_000, "after minutes once in half a minute");
  server.isAway = false;
  await clock.advance(30_000);
  assert.deepEqual([proven, inquiry.isGone("pod-1")], [["lb-1 pod-1"], true]);
  const { length } = asked;
  await clock.advance(100_000);
  assert.equal(asked.length, length);
});

test("after the end nobody is asked any more", async () => {
  const { clock, asked, inquiry } = anInquiry();
  const stop = new AbortController();
  inquiry.ask("lb-1", [MISSING], stop.signal);
  await clock.advance(1_000);
  stop.abort();
  await clock.advance(100_000);
  assert.deepEqual([asked.length, clock.pendingSleeps], [1, 0]);
});

test("a Pod that is there is asked about again after half a minute, as long as somebody misses it; one that is being deleted is proven to end", async () => {
  const clock = aFakeClock(0);
  const heard: string[] = [];
  const pod: { metadata: object; status: object } = { metadata: { uid: "pod-1" }, status: { phase: "Running" } };
  const get = <T>(): Promise<T> => Promise.resolve(structuredClone(pod) as T);
  const inquiry = new EndInquiry({
    client: { get, list: () => Promise.reject(new Error("not one by one")) },
    clock,
    log: silentLog,
    onProven: (id, uids) => void heard.push(`${id} ${uids.join()}`),
    onAgain: (id) => void heard.push(`${id} again`),
  });
  const { signal } = new AbortController();
  inquiry.ask("lb-1", [MISSING], signal);
  await clock.advance(29_000);
  assert.deepEqual(heard, []);
  await clock.advance(2_000);
  assert.deepEqual([heard, inquiry.isEnding("pod-1")], [["lb-1 again"], false]);
  await clock.advance(100_000);
  assert.equal(heard.length, 1, "nobody misses it any more");
  for (const end of [{ metadata: { uid: "pod-1", deletionTimestamp: "2026-01-01T00:00:00Z" } }, { status: { phase: "Failed" } }]) {
    inquiry.lives("pod-1");
    Object.assign(pod, { metadata: { uid: "pod-1" }, status: { phase: "Running" } }, end);
    heard.length = 0;
    inquiry.ask("lb-1", [MISSING], signal);
    await clock.advance(1_000);
    assert.deepEqual([heard, inquiry.isEnding("pod-1"), inquiry.isGone("pod-1")], [["lb-1 pod-1"], true, false]);
    await clock.advance(100_000);
  }
});

test("each load balancer that misses a Pod hears of it: one that asks while the question is under way, or after it was answered", async () => {
  const clock = aFakeClock(0);
  const heard: string[] = [];
  const pod: { metadata: object; status: object } = { metadata: { uid: "pod-1" }, status: { phase: "Running" } };
  const get = async <T>(): Promise<T> => {
    await clock.sleep(1_000);
    return structuredClone(pod) as T;
  };
  const inquiry = new EndInquiry({
    client: { get, list: () => Promise.reject(new Error("not one by one")) },
    clock,
    log: silentLog,
    onProven: (id, uids) => void heard.push(`${id} ${uids.join()}`),
    onAgain: (id) => {
      const isKnown = inquiry.isEnding("pod-1");
      heard.push(`${id} ${isKnown ? "pod-1" : "again"}`);
      if (!isKnown) inquiry.ask(id, [MISSING], signal);
    },
  });
  const { signal } = new AbortController();
  inquiry.ask("lb-1", [MISSING], signal);
  await clock.advance(500);
  inquiry.ask("lb-2", [MISSING], signal);
  await clock.advance(5_000);
  inquiry.ask("lb-3", [MISSING], signal);
  await clock.advance(31_000);
  assert.deepEqual(heard.toSorted(), ["lb-1 again", "lb-2 again", "lb-3 again"]);
  heard.length = 0;
  pod.metadata = { uid: "pod-1", deletionTimestamp: "2026-01-01T00:00:00Z" };
  await clock.advance(35_000);
  assert.deepEqual([...new Set(heard.filter((one) => one.endsWith("pod-1")))].toSorted(), ["lb-1 pod-1", "lb-2 pod-1", "lb-3 pod-1"]);
});
