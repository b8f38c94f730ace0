/** Whatever the cloud refuses is told on the object that waits for it, with the words of the one who refused; and it is over when that is. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { aService } from "../../builders.ts";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const CODES = [
  "UnauthorizedOperation",
  "FailedOperation.InsufficientBalance",
  "LimitExceeded",
  "FailedOperation.ResourceInOperating",
  "RequestLimitExceeded",
  "InternalError",
  "InvalidParameter.LBIdNotFound", // although it is listed
  "FailedOperation.NeverHeard",
  "Something.NeverHeard",
];
/** What each holds up: the Pods that come, or nobody but the owner. */
const ACTIONS = [
  { action: "DescribeLoadBalancers", holdsUp: "pods" },
  { action: "DescribeListeners", holdsUp: "pods" },
  { action: "DescribeTargetHealth", holdsUp: "pods" },
  { action: "CreateListener", holdsUp: "pods" },
  { action: "BatchRegisterTargets", holdsUp: "pods" },
  { action: "DescribeTargets", holdsUp: "nobody" }, // what was written is taken to be there
  { action: "DescribeTaskStatus", holdsUp: "nobody" }, // what was written is looked at instead
  { action: "BatchDeregisterTargets", holdsUp: "nobody" },
] as const;

const TOLD = ["CloudAccessDenied", "CloudCallFailed", "WriteRefused", "BindRefused"];
const told = ({ cluster }: World) => cluster.told.filter(({ reason }) => TOLD.includes(reason));

/** What the Pods of the app wait for, each cause once. */
const awaited = (world: World): string[] => {
  const { explain } = world.coordinator().controllers;
  return [...new Set(explain.podsOf("demo").flatMap(({ bindings }) => bindings.map((one) => `${one.from}: ${one.awaited}`)))];
};

for (const { action, holdsUp } of ACTIONS)
  suite(`${action} is refused for ten minutes, with`, () => {
    for (const code of CODES)
      test(code, async (t) => {
        const world = aWorld(t, { apps: ["one"], pods: 1 });
        world.intercept.by = (called) => (called === action ? code : undefined);
        let waits: string[] = [];
        const work = async (): Promise<void> => {
          world.start();
          await world.clock.sleep(30_000);
          const [only] = world.cluster.alive("one");
          if (action === "BatchDeregisterTargets" && only !== undefined) world.cluster.end([only.uid]);
          await world.clock.sleep(600_000);
          waits = awaited(world);
          world.intercept.by = () => undefined;
          await world.converged("one");
          await world.kill();
        };
        await world.run(work, 3_600_000);
        const messages = told(world).map(({ message }) => message);
        assert.ok(
          messages.some((message) => message.includes(action) && message.includes(`${code}: injected refusal`)),
          messages.join("\n") || "nobody was told",
        );
        assert.equal(new Set(messages).size, messages.length, messages.join("\n"));
        if (holdsUp === "pods")
          assert.ok(waits.length > 0 && waits.every((one) => one.includes(action) && one.includes(code)), waits.join("\n"));
        assertNothingWrong(world, { stuck: true });
      });
  });

/** Calls that something has to happen for; `ours`: the load balancer was made for the Service. */
const CAUSED: readonly { readonly action: string; readonly ours?: boolean; readonly cause: (world: World) => unknown }[] = [
  { action: "BatchModifyTargetWeight", cause: ({ cluster }) => cluster.setReady([cluster.alive("one")[0]?.uid ?? ""], false) },
  {
    action: "ModifyListener",
    cause: (world) => {
      const ListenerId = world.cloud.state().loadBalancers[0]?.listeners[0]?.id;
      return world.byHand("one", "ModifyListener", { ListenerId, Scheduler: "LEAST_CONN" });
    },
  },
  {
    action: "DeleteLoadBalancerListeners",
    cause: ({ cluster }) => cluster.edit("one", { ports: [{ name: "http", protocol: "TCP", port: 81, targetPort: 8080 }] }),
  },
  { action: "DeleteLoadBalancer", ours: true, cause: ({ cluster }) => cluster.remove("one") },
  {
    action: "CreateLoadBalancer",
    cause: ({ cluster }) =>
      cluster.recreate("one", { uid: "5e21c0ff-ee99-0000-0000-000000000000", name: "new", annotations: aService().annotations }),
  },
];
for (const { action, ours = false, cause } of CAUSED)
  suite(`${action}, when it becomes necessary, is refused for ten minutes, with`, () => {
    for (const code of CODES)
      test(code, async (t) => {
        const world = aWorld(t, { apps: ["one"], pods: 2, ours });
        const work = async (): Promise<void> => {
          world.start();
          await world.converged("one");
          world.intercept.by = (called) => (called === action ? code : undefined);
          await cause(world);
          await world.clock.sleep(600_000);
          world.intercept.by = () => undefined;
          const calls = (): number =>
            world.cloud.journal.of("call").filter((call) => call.action === action && call.caller.startsWith("coordinator")).length;
          const before = calls();
          await world.until(
            () => `${action} is made again`,
            () => calls() > before,
            60_000,
          );
          await world.kill();
        };
        await world.run(work, 3_600_000);
        const messages = world.cluster.told.map(({ object, reason, message }) => `${object} ${reason} ${message}`);
        assert.ok(
          messages.some((message) => message.includes(action) && message.includes(`${code}: injected refusal`)),
          messages.join("\n") || "nobody was told",
        );
        assert.deepEqual(world.tooEarly, []);
      });
  });

test("what fails for less than a minute is nobody's concern, and a cloud that is away is told by the Pods that wait alone", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 1 });
  const waits: string[][] = [];
  const work = async (): Promise<void> => {
    world.intercept.by = (called) => (called === "BatchRegisterTargets" ? "FailedOperation.ResourceInOperating" : undefined);
    world.start();
    await world.clock.sleep(50_000);
    world.intercept.by = () => undefined;
    await world.converged("one");
    world.intercept.by = () => "Transport";
    world.cluster.start("one", 1);
    await world.clock.sleep(300_000);
    waits.push(awaited(world));
    world.intercept.by = () => undefined;
    await world.converged("one");
    waits.push(awaited(world));
    await world.kill();
  };
  await world.run(work, 3_600_000);
  assert.deepEqual(told(world), []);
  assert.ok(
    waits[0]?.some((one) => one.includes("cannot be reached")),
    waits[0]?.join("\n"),
  );
  assert.ok(
    waits[1]?.every((one) => !one.includes("cannot be reached")),
    waits[1]?.join("\n"),
  );
  assertNothingWrong(world, { stuck: true });
});

test("writes that hang for half an hour, whoever's turn it is, are told by the Pod that waits and by explain all the time", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 2 });
  const writes = ["BatchRegisterTargets", "BatchDeregisterTargets"];
  const silentAtMs: number[] = [];
  const work = async (): Promise<void> => {
    world.start();
    await world.converged("one");
    for (const action of writes) world.cloud.faults.add({ kind: "latency", delay: 7_200_000, action });
    world.cluster.end(world.cluster.alive("one").map(({ uid }) => uid));
    world.cluster.start("one", 2);
    await world.clock.sleep(300_000);
    for (let atMs = 300_000; atMs < 1_800_000; atMs += 7_000) {
      await world.clock.sleep(7_000);
      const found = world.coordinator().controllers.explain.loadBalancer("lb-one")?.findings ?? [];
      const isTold = awaited(world).some((one) => one.includes("cannot be reached"));
      if (!isTold || !found.some((one) => one.includes("BatchDeregisterTargets"))) silentAtMs.push(atMs);
    }
    world.cloud.faults.clear();
    await world.clock.sleep(400_000);
    await world.converged("one");
    assert.ok(
      awaited(world).every((one) => !one.includes("cannot be reached")),
      awaited(world).join("\n"),
    );
    await world.kill();
  };
  await world.run(work, 7_200_000);
  assert.deepEqual(silentAtMs, []);
});
