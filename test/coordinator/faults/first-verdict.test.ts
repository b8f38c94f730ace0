/** What became ready while nobody led is bound after its agent's first word: a verdict does not lose to the first bind of a reign. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addGroup, editPolicies } from "../../cloud/model/network.ts";
import { assertNothingWrong, aWorld } from "./world.ts";

const DROP_ALL = { action: "DROP", protocol: "ALL", port: "ALL", cidr: "0.0.0.0/0" } as const;
const ACCEPT_ALL = { ...DROP_ALL, action: "ACCEPT" } as const;
/** A verdict delays a bind so long; the default of VERDICT_DELAY_MS. */
const DELAY_MS = 30_000;
/** So long Pods are ready before anybody leads. */
const READY_BEFORE_MS = 5_000;
/** A load balancer is read and bound to sooner. */
const ANSWER_MS = 1_000;

/** The Pods' addresses are on one ENI with one security group; they are ready before anybody leads. */
function aScene(t: Parameters<typeof aWorld>[0], answers: boolean) {
  const world = aWorld(t, { apps: ["one"], pods: 4, ...(answers && { listenMs: 500, answerMs: ANSWER_MS }) });
  const { network } = world.cloud;
  const shared = { name: "", tags: new Map(), createdMs: 0 };
  network.enis.set("eni-1", {
    ...shared,
    id: "eni-1",
    vpcId: "vpc-default",
    subnetId: "subnet-1",
    zone: "z",
    type: 0,
    primary: false,
    mac: "20:90:6f:00:00:01",
    primaryIp: "10.0.0.2",
    secondaryIps: new Set(world.cluster.lives.map(({ ip }) => ip)),
    securityGroupIds: ["sg-pods"],
    attachment: { instanceId: "ins-1", deviceIndex: 1 },
  });
  addGroup(network, "sg-pods", [ACCEPT_ALL]);
  const firstBindMs = (): number | undefined =>
    world.cloud.journal.since(0).find((entry) => entry.kind === "target" && entry.change === "bound")?.timeMs;
  /** How long after the beginning of the reign the first Pod is bound, milliseconds. */
  const bound = (): Promise<number> =>
    world.run(async () => {
      await world.clock.sleep(READY_BEFORE_MS);
      const beganMs = world.clock.now();
      world.start();
      await world.converged("one");
      await world.kill();
      return (firstBindMs() ?? Number.NaN) - beganMs;
    });
  return { world, network, bound };
}

test("a group that denies delays Pods that were ready before the reign began, and says so", async (t) => {
  const { world, network, bound } = aScene(t, true);
  editPolicies(network, "sg-pods", { ingress: [DROP_ALL] }, 0);
  const afterMs = await bound();
  assert.ok(afterMs >= DELAY_MS - READY_BEFORE_MS - 2_000, `bound after ${afterMs} ms`);
  assert.ok(world.cluster.told.some(({ reason }) => reason === "SecurityGroupDenies"));
  assertNothingWrong(world);
});

test("a group that accepts costs nothing but the answer itself, and where no agent answers nobody waits", async (t) => {
  const [asked, unasked] = [await aScene(t, true).bound(), await aScene(t, false).bound()];
  assert.ok(asked - unasked < 2 * ANSWER_MS, `${asked} ms with agents, ${unasked} ms without`);
});
