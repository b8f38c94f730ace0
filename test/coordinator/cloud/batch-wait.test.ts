import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchWait } from "../../../coordinator/cloud/batch-wait.ts";
import { ClbApiError } from "../../../coordinator/cloud/clb-error.ts";
import type { TaskStatus } from "../../../coordinator/cloud/task-wait.ts";
import { idle } from "../../virtual-clock.ts";

const { signal } = new AbortController();
const anError = (code: string): ClbApiError =>
  new ClbApiError({ action: "DescribeTaskStatus", code, requestId: "r" }, code, { kind: "retry" }, false);

/** Batches whose questions are answered by hand; `failing`: `settle` finds that the task has failed. */
function batches() {
  const doubted: string[] = [];
  const questions: PromiseWithResolvers<TaskStatus>[] = [];
  const settled: string[] = [];
  const state = { failing: false };
  const wait = new BatchWait({
    ask: () => {
      const question = Promise.withResolvers<TaskStatus>();
      questions.push(question);
      return question.promise;
    },
    settle: async (_action, _items, taskId) => {
      settled.push(taskId);
      if (state.failing) throw anError("TaskFailed");
    },
    onDoubt: (id, { call }) => void doubted.push(`${id} ${call.code}`),
  });
  let taskId = 0;
  /** "waits" while the batch is not taken for done. */
  const begin = async () => {
    const at = { is: "waits" };
    const batch = { action: "BatchRegisterTargets", loadBalancerId: "lb-1", items: 1, taskId: `task-${taskId++}` };
    wait.end(batch, signal).then(
      () => (at.is = "done"),
      (err: unknown) => (at.is = err instanceof ClbApiError ? err.call.code : String(err)),
    );
    await idle();
    return at;
  };
  const hear = async (status: TaskStatus["status"] | ClbApiError): Promise<void> => {
    const question = questions.shift();
    if (status instanceof ClbApiError) question?.reject(status);
    else question?.resolve({ status, message: "", loadBalancerIds: [] });
    await idle();
  };
  const trusted = async (): Promise<void> => {
    for (let n = 0; n < 2; n++) {
      await begin();
      await hear("succeeded");
    }
  };
  return { begin, hear, trusted, questions, settled, doubted, state };
}

test("the first batches wait until their question is answered, later ones do not: they are asked about all the same", async () => {
  const { begin, hear, trusted, questions, doubted } = batches();
  const first = await begin();
  assert.equal(first.is, "waits");
  await hear("succeeded");
  assert.equal(first.is, "done");
  await trusted();
  assert.equal((await begin()).is, "done");
  assert.equal(questions.length, 1);
  await hear("succeeded");
  assert.deepEqual(doubted, []);
});

test("while 200 questions that nobody waits for are under way, no more are asked", async () => {
  const { begin, hear, trusted, questions } = batches();
  await trusted();
  for (let n = 0; n < 210; n++) assert.equal((await begin()).is, "done");
  assert.equal(questions.length, 200);
  await hear("succeeded");
  await begin();
  assert.equal(questions.length, 200); // one was answered, one was asked
});

test("one that runs on after its answer: from then on each is waited for", async () => {
  const { begin, hear, trusted, settled, doubted } = batches();
  await trusted();
  assert.equal((await begin()).is, "done");
  await hear("running");
  await begin();
  assert.deepEqual([settled, doubted], [["task-2", "task-3"], []]);
});

test("one that was taken for done and has failed is told, and the next ones wait again", async () => {
  const { begin, hear, trusted, doubted, state } = batches();
  await trusted();
  state.failing = true;
  assert.equal((await begin()).is, "done");
  await hear("failed");
  assert.deepEqual(doubted, ["lb-1 TaskFailed"]);
  const next = await begin();
  assert.equal(next.is, "waits");
  await hear("failed");
  assert.equal(next.is, "TaskFailed");
});

test("where nobody knows the task of a batch, its answer is all that can be known", async () => {
  const { begin, hear, doubted } = batches();
  for (let n = 0; n < 4; n++) {
    const one = await begin();
    await hear(anError("InvalidParameterValue.NotFound"));
    assert.equal(one.is, "done");
  }
  assert.deepEqual(doubted, []);
});
