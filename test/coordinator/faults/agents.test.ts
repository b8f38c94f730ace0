import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const GRACE_MS = 10_000;

type Scenario = {
  readonly name: string;
  /** Begins some seconds into the rollout. */
  readonly during: (world: World) => Promise<void>;
};

const SCENARIOS: readonly Scenario[] = [
  {
    name: "an agent that reports no Pods, and when it is asked again the right ones",
    during: async (world) => {
      const [agent] = world.coordinator().agents;
      agent?.lie(1);
      agent?.connect();
      await world.clock.sleep(5_000);
    },
  },
  {
    name: "agents that all report no Pods and insist: the coordinator lists the Pods itself",
    during: async (world) => {
      const { agents } = world.coordinator();
      for (const agent of agents) {
        agent.lie(2);
        agent.connect();
      }
      await world.clock.sleep(90_000); // longer than the resync period
      for (const agent of agents) agent.connect();
    },
  },
  {
    name: "an empty list of a node's Pods by the coordinator's own watch",
    during: async (world) => {
      world.watch.lies = 1;
      const [agent] = world.coordinator().agents;
      agent?.disconnect();
      await world.clock.sleep(GRACE_MS * 3);
      assert.equal(world.watch.lies, 0, "the node was never listed");
      agent?.connect();
    },
  },
  {
    name: "all agents gone at once: the coordinator watches the nodes itself",
    during: async (world) => {
      for (const agent of world.coordinator().agents) agent.disconnect();
      await world.clock.sleep(120_000);
    },
  },
  {
    name: "all agents and the API server's watches gone at once: what is bound stays until somebody speaks again",
    during: async (world) => {
      const { agents } = world.coordinator();
      world.watch.answers = false;
      for (const agent of agents) agent.disconnect();
      await world.clock.sleep(90_000);
      world.watch.answers = true;
      for (const agent of agents) agent.connect();
    },
  },
  {
    name: "agents that connect anew all the time",
    during: async (world) => {
      for (let turn = 0; turn < 40; turn++) {
        world.coordinator().agents[turn % 4]?.connect();
        await world.clock.sleep(500);
      }
    },
  },
];

suite("a rollout on two load balancers ends well with", () => {
  for (const scenario of SCENARIOS) test(scenario.name, (t) => rollOutWith(t, scenario));
});

async function rollOutWith(t: TestContext, { during }: Scenario): Promise<void> {
  const world = aWorld(t);
  await world.run(async () => {
    world.start();
    const { over } = await world.beginRollouts();
    await world.clock.sleep(4_000);
    await during(world);
    await over;
    for (const app of world.apps) await world.converged(app);
    await world.kill();
  });
  assertNothingWrong(world);
}
