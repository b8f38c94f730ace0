/** What the cloud's key may not do is told where somebody waits for it, and is over when it may. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const ACTIONS = [
  "DescribeLoadBalancers",
  "DescribeListeners",
  "DescribeTargets",
  "DescribeTargetHealth",
  "DescribeTaskStatus",
  "CreateListener",
  "BatchRegisterTargets",
] as const;

/** Without these, Pods come in at last all the same: what was written is taken to be there, or is looked at. */
const SPARED: readonly string[] = ["DescribeTargets", "DescribeTaskStatus"];

const CAUSES = [
  ...ACTIONS.map((action) => ({
    isServed: SPARED.includes(action),
    title: `the right to call ${action} is missing`,
    denies: (called: string): string | undefined => (called === action ? "UnauthorizedOperation" : undefined),
    says: new RegExp(
      `^ServiceErrorCode\\{Code:"E4007",Message:"Service demo/one.*denies clb:${action}: .*injected refusal\\. Allow clb:${action}`,
    ),
  })),
  {
    isServed: false,
    title: "the key is revoked",
    denies: () => "AuthFailure.SecretIdNotFound",
    says: /^Service demo\/one.*correct Secret clb-direct-cloud/,
  },
  {
    isServed: false,
    title: "the region is wrong",
    denies: () => "UnsupportedRegion",
    says: /^Service demo\/one.*Correct CLB_REGION of the coordinator/,
  },
];

/** What the Pods of the app wait for, each cause once. */
const awaited = (world: World): string[] => {
  const { explain } = world.coordinator().controllers;
  return [...new Set(explain.podsOf("demo").flatMap(({ bindings }) => bindings.map((one) => `${one.from}: ${one.awaited}`)))];
};

suite("a Service and its Pods say so, and go on by themselves, when", () => {
  for (const { isServed, title, denies, says } of CAUSES)
    test(title, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 2 });
      world.intercept.by = denies;
      const at = await world.run(async () => {
        world.start();
        await world.clock.sleep(180_000);
        const waiting = awaited(world);
        world.intercept.by = () => undefined;
        await world.converged("one");
        await world.kill();
        return waiting;
      });
      const told = world.cluster.told.filter(({ reason }) => reason === "CloudAccessDenied").map(({ message }) => message);
      assert.ok(
        told.some((message) => says.test(message)),
        told.join("\n") || "nobody was told",
      );
      assert.equal(new Set(told).size, told.length, told.join("\n"));
      const waits = /^you: .*the cloud denies clb:/;
      assert.ok(at.length > 0 && at.every((text) => isServed || waits.test(text)), at.join("\n"));
      assertNothingWrong(world, { stuck: true });
    });
});

suite("what is refused for ever is asked for at most once in 30 s for each load balancer, and works soon after it may:", () => {
  for (const action of [...ACTIONS, "BatchModifyTargetWeight", "BatchDeregisterTargets"] as const)
    for (const code of ["UnauthorizedOperation", "InternalError"] as const)
      test(`${action}: ${code}`, async (t) => {
        const world = aWorld(t, { apps: ["one"], pods: 2 });
        let asked: number[] = [];
        world.intercept.by = (called) => {
          if (called !== action) return undefined;
          asked.push(world.clock.now());
          return code;
        };
        await world.run(async () => {
          world.start();
          await world.clock.sleep(30_000);
          const [first] = world.cluster.alive("one");
          if (first !== undefined) world.cluster.end([first.uid]); // its drain is denied as well
          await world.clock.sleep(900_000);
          const fromMs = world.clock.now();
          asked = [];
          await world.clock.sleep(300_000);
          assert.ok(asked.length <= 300 / 30 + 1, `asked ${asked.length} times in 300 s: ${asked.map((ms) => ms - fromMs).join(", ")}`);
          world.intercept.by = () => undefined;
          await world.clock.sleep(60_000);
          await world.converged("one");
          await world.kill();
        }, 2 * 3_600_000);
        assertNothingWrong(world, { stuck: true });
      });
});
