import assert from "node:assert/strict";
import { test } from "node:test";
import { sharingLists } from "../../../coordinator/owners/shared-list.ts";
import { CLUSTER } from "../../builders.ts";
import { aStage } from "../stage.ts";

test("who asks for our load balancers within half a second shares a list, but never one from before a change of ours", async (t) => {
  const stage = aStage(t);
  for (let n = 0; n < 3; n++) stage.cloud.addLoadBalancer({ tags: { "clb-direct.io/cluster": CLUSTER } });
  const api = sharingLists(stage.api, stage.clock);
  const lists = (): number => stage.calls.filter(({ action }) => action === "DescribeLoadBalancers").length;
  const ask = async (): Promise<number> => (await api.ownLoadBalancers(CLUSTER, stage.signal)).length;
  assert.deepEqual(await stage.finish(Promise.all(Array.from({ length: 20 }, ask))), Array(20).fill(3));
  assert.equal(await ask(), 3);
  assert.equal(lists(), 1);
  const wish = { name: "web", clientToken: "t", clusterId: CLUSTER, ownerUid: "uid", vpcId: undefined, subnetId: undefined };
  await stage.finish(api.createLoadBalancer(wish, stage.signal));
  assert.equal(await stage.finish(ask()), 4);
  assert.equal(lists(), 2);
  await stage.clock.advance(500);
  await stage.finish(ask());
  assert.equal(lists(), 3);
});

test("a list that could not be read is shared by those who waited for it only", async (t) => {
  const stage = aStage(t);
  const api = sharingLists(stage.api, stage.clock);
  stage.cloud.faults.add({ kind: "error", code: "InternalError", action: "DescribeLoadBalancers", count: 1 });
  await stage.finish(assert.rejects(api.ownLoadBalancers(CLUSTER, stage.signal)));
  assert.deepEqual(await stage.finish(api.ownLoadBalancers(CLUSTER, stage.signal)), []);
});
