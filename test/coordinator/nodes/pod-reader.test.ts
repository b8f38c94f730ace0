import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient, ListPage, Query } from "../../../common/kubernetes/requests.ts";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { type PodAnswer, podReaderOf } from "../../../coordinator/nodes/pod-reader.ts";
import { rawPod } from "../../builders.ts";
import { aFakeClock, aPod, silentLog } from "../pods.ts";

const web = { app: "web" };

/** An API server with these Pods, asked by a reader. */
function aReader(...given: readonly PodFact[]) {
  const clock = aFakeClock();
  const pods = new Map(given.map((pod) => [pod.name, pod]));
  const requests: string[] = [];
  const failures: KubeApiError[] = [];
  const answers: string[] = [];
  const outcomes: string[] = [];
  const client = {
    get: async <T>(path: string): Promise<T> => {
      requests.push(`GET ${path}`);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      const pod = pods.get(path.split("/").at(-1) ?? "");
      if (pod === undefined) throw new KubeApiError(path, "notFound", "gone", { code: 404 });
      return (await Promise.resolve(rawPod(pod))) as T;
    },
    list: async <T>(path: string, query: Query = {}): Promise<ListPage<T>> => {
      requests.push(`LIST ${path} ${query["labelSelector"] ?? query["fieldSelector"]}`);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      const items = [...pods.values()].map((pod) => rawPod(pod) as T);
      return await Promise.resolve({ items, resourceVersion: "1" });
    },
  };
  const watches: { tell: (pod: PodFact) => void; signal: AbortSignal }[] = [];
  const watch: KubeClient["watch"] = async (path, query, onEvent, signal) => {
    requests.push(`WATCH ${path} ${query["labelSelector"]}`);
    watches.push({ tell: (pod) => onEvent("MODIFIED", rawPod(pod)), signal });
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return { kind: "aborted" };
  };
  const stopped = new AbortController();
  const deps = { client: { ...client, watch }, clock, log: silentLog, gateType: DEFAULT_GATE_TYPE };
  const onAnswer = (answer: PodAnswer): void =>
    void answers.push(answer.kind === "gone" ? `gone ${answer.uid}` : `found ${answer.pod.uid}`);
  const onRead = (kind: string, outcome: string): void => void outcomes.push(`${kind} ${outcome}`);
  const reader = podReaderOf({ ...deps, onRead })(onAnswer, stopped.signal);
  return { reader, clock, pods, requests, answers, outcomes, failures, stopped, watches };
}
const named = (count: number, over: Partial<PodFact> = {}): PodFact[] => Array.from({ length: count }, (_, n) => aPod(`p${n}`, over));

test("a Pod whose containers are ready is read at once, by its name", async () => {
  const { reader, clock, requests, answers } = aReader(aPod("p0"));
  reader.want({ reported: aPod("p0"), selector: web, isUrgent: true });
  await clock.advance(0);
  assert.deepEqual(requests, ["GET /api/v1/namespaces/demo/pods/p0"]);
  assert.deepEqual(answers, ["found p0"]);
});

test("one that is not ready waits for others, and more than ten of a Service come in one list", async () => {
  const { reader, clock, requests, answers } = aReader(...named(11));
  for (const pod of named(11)) reader.want({ reported: pod, selector: web, isUrgent: false });
  await clock.advance(1_900);
  assert.deepEqual(requests, []);
  await clock.advance(200);
  assert.deepEqual(requests, ["LIST /api/v1/namespaces/demo/pods app=web"]);
  assert.equal(answers.length, 11);
});

test("few of each of many Services come in one list by the label that tells them apart", async () => {
  const { reader, clock, requests } = aReader(...named(20));
  for (const [n, pod] of named(20).entries()) reader.want({ reported: pod, selector: { app: `s${n % 5}` }, isUrgent: true });
  await clock.advance(0);
  assert.deepEqual(requests, ["LIST /api/v1/namespaces/demo/pods app in (s0,s1,s2,s3,s4)"]);
});

test("who is not in the list is asked about alone; 404 and another UID under the name both mean that it is gone", async () => {
  const { reader, clock, requests, answers } = aReader(...named(11), aPod("other", { name: "taken" }));
  for (const pod of named(11)) reader.want({ reported: pod, selector: web, isUrgent: false });
  for (const uid of ["invented", "taken"]) reader.want({ reported: aPod(uid), selector: web, isUrgent: true });
  await clock.advance(10);
  assert.equal(requests[0], "LIST /api/v1/namespaces/demo/pods app=web");
  assert.deepEqual(requests.slice(1).sort(), ["GET /api/v1/namespaces/demo/pods/invented", "GET /api/v1/namespaces/demo/pods/taken"]);
  assert.deepEqual(answers.filter((answer) => answer.startsWith("gone")).sort(), ["gone invented", "gone taken"]);
});

test("a request that fails is made again, at most every 30 s for ever", async () => {
  const { reader, clock, requests, answers, failures, outcomes } = aReader(aPod("p0"));
  failures.push(new KubeApiError("GET", "timeout", "slow"), new KubeApiError("GET", "invalid", "no"));
  reader.want({ reported: aPod("p0"), selector: undefined, isUrgent: true });
  await clock.advance(1_000);
  assert.equal(requests.length, 2);
  reader.want({ reported: aPod("p0"), selector: undefined, isUrgent: true });
  await clock.advance(28_000);
  assert.equal(requests.length, 2, "told again is not asked again");
  await clock.advance(3_000);
  assert.deepEqual(answers, ["found p0"]);
  assert.deepEqual(outcomes, ["get failed", "get failed", "get ok"]);
});

test("a server that was away for long is asked again within 4 s, and one that has just begun and denies everything within a second", async () => {
  const { reader, clock, requests, answers, failures } = aReader(aPod("p0"));
  const away = (): KubeApiError => new KubeApiError("GET", "transport", "connection refused");
  const denied = (): KubeApiError => new KubeApiError("GET", "denied", "not yet", { code: 403 });
  failures.push(...Array.from({ length: 20 }, away), denied(), denied());
  reader.want({ reported: aPod("p0"), selector: undefined, isUrgent: true });
  let longestMs = 0;
  for (let waitedMs = 0, count = requests.length; answers.length === 0 && waitedMs < 120_000; waitedMs += 100) {
    const since = requests.length;
    await clock.advance(100);
    if (requests.length === since) continue;
    longestMs = Math.max(longestMs, waitedMs - count);
    count = waitedMs;
  }
  assert.deepEqual(answers, ["found p0"]);
  assert.ok(longestMs <= 4_100, `${longestMs} ms`);
  assert.deepEqual(
    requests.slice(20).map((request) => request.split(" ")[0]),
    ["GET", "LIST", "GET"],
    "no missing right is concluded",
  );
});

test("a role of the former version, which may not get Pods, is helped with lists", async () => {
  const { reader, clock, requests, answers, failures } = aReader(aPod("p0"));
  failures.push(new KubeApiError("GET", "denied", "no", { code: 403 }));
  for (let times = 0; times < 2; times++) {
    reader.want({ reported: aPod("p0"), selector: undefined, isUrgent: true });
    await clock.advance(0);
  }
  const list = "LIST /api/v1/namespaces/demo/pods metadata.name=p0";
  assert.deepEqual(requests, ["GET /api/v1/namespaces/demo/pods/p0", list, list]);
  assert.deepEqual(answers, ["found p0", "found p0"]);
});

test("nobody who is forgotten is asked about, and nothing after the end", async () => {
  const { reader, clock, requests, stopped } = aReader(...named(2));
  reader.want({ reported: aPod("p0"), selector: web, isUrgent: false });
  reader.forget("p0");
  await clock.advance(3_000);
  reader.want({ reported: aPod("p1"), selector: web, isUrgent: false });
  stopped.abort();
  await clock.advance(3_000);
  assert.deepEqual(requests, []);
});

test("a quarter of a million Pods that wait are no burden: who is due is asked about in lists, whoever else waits", async () => {
  const { reader, clock, requests, answers } = aReader(...named(20));
  const later = Array.from({ length: 250_000 }, (_, n) => aPod(`later-${n}`));
  for (const pod of later) reader.want({ reported: pod, selector: { app: `of-${pod.uid}` }, isUrgent: false });
  for (const pod of named(20)) reader.want({ reported: pod, selector: web, isUrgent: true });
  await clock.advance(10);
  assert.deepEqual(requests, ["LIST /api/v1/namespaces/demo/pods app=web"]);
  assert.equal(answers.length, 20);
  for (const { uid } of later) reader.forget(uid);
  await clock.advance(5_000);
  assert.equal(requests.length, 1);
});

test("one that is told again while its time has come is asked about once, as it was told last", async () => {
  const { reader, clock, requests } = aReader(...named(9));
  for (const pod of named(8)) reader.want({ reported: pod, selector: undefined, isUrgent: true }); // all that may be asked at a time
  reader.want({ reported: aPod("p8"), selector: undefined, isUrgent: true });
  reader.want({ reported: aPod("p8", { name: "renamed" }), selector: undefined, isUrgent: true });
  await clock.advance(30);
  assert.equal(requests.length, 9);
  assert.equal(requests.filter((request) => request.endsWith("/renamed")).length, 1);
});

test("a Service that is asked about again and again is watched: its next Pods cost no request, until its rollout is over", async () => {
  const { reader, clock, requests, answers, pods, watches } = aReader(...named(12));
  const ask = async (name: string, isUrgent: boolean): Promise<void> => {
    reader.want({ reported: aPod(name), selector: web, isUrgent });
    await clock.advance(100);
  };
  for (let n = 0; n < 10; n++) await ask(`p${n}`, true);
  const path = "/api/v1/namespaces/demo/pods";
  assert.deepEqual(requests.slice(10), [`LIST ${path} app=web`, `WATCH ${path} app=web`]);
  pods.set("late", aPod("late"));
  await ask("late", false);
  watches[0]?.tell(aPod("late"));
  await clock.advance(5_000);
  assert.equal(requests.length, 12);
  assert.equal(answers.at(-1), "found late");
  await ask("p3", true); // nobody tells of it, for it has not changed
  assert.equal(requests.at(-1), `GET ${path}/p3`);
  await clock.advance(299_000);
  assert.equal(watches[0]?.signal.aborted, false);
  await clock.advance(2_000);
  assert.equal(watches[0]?.signal.aborted, true);
});

test("a question that needs a younger answer is not answered by a watch", async () => {
  const { reader, clock, requests, watches } = aReader(...named(12));
  for (let n = 0; n < 10; n++) reader.want({ reported: aPod(`p${n}`), selector: web, isUrgent: true });
  await clock.advance(100);
  const asked = requests.length;
  reader.want({ reported: aPod("p11"), selector: web, isUrgent: false, needsFresh: true });
  watches[0]?.tell(aPod("p11"));
  await clock.advance(3_000);
  assert.deepEqual(requests.slice(asked), ["GET /api/v1/namespaces/demo/pods/p11"]);
});

test("a question about a version of a Pod is not answered by a watch that has not come so far, but by one that has", async () => {
  for (const [resourceVersion, reads] of [
    ["19", ["GET /api/v1/namespaces/demo/pods/p11"]],
    ["20", []],
  ] as const) {
    const { reader, clock, requests, watches } = aReader(...named(12));
    for (let n = 0; n < 10; n++) reader.want({ reported: aPod(`p${n}`), selector: web, isUrgent: true });
    await clock.advance(100);
    const asked = requests.length;
    reader.want({ reported: aPod("p11"), selector: undefined, isUrgent: false, notBefore: "20" });
    reader.want({ reported: aPod("p11"), selector: web, isUrgent: false });
    watches[0]?.tell(aPod("p11", { resourceVersion }));
    await clock.advance(3_000);
    assert.deepEqual(requests.slice(asked), reads);
  }
});
