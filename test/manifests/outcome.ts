import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { suite, test } from "node:test";
import { makeRandom } from "../cloud/runtime/random.ts";
import { type Case, readCase, type Stage } from "./case.ts";
import { faultsOf } from "./look.ts";
import { type ManifestWorld, manifestWorld, pause } from "./world.ts";

/** Two random orders each. */
const SEEDS = [1, 2];
/** A leader falls within this time after the first object was written. Milliseconds. */
const FALL_MS = 6_000;

/** Objects first, then Pods, then deletions; with a seed in its order and with pauses. */
async function write(world: ManifestWorld, stage: Stage, from: number, anyOrder: boolean, seed?: () => number): Promise<void> {
  const works = [
    ...stage.apply.map((object) => () => world.apply(object)),
    ...stage.pods.map((pod, at) => () => world.applyPod(pod, from + at)),
  ];
  const order =
    seed === undefined
      ? works
      : works
          .map((work) => ({ work, at: seed() }))
          .sort((a, b) => a.at - b.at)
          .map(({ work }) => work);
  for (const work of order) {
    await work();
    if (!anyOrder) await world.clock.sleep(1_100); // creation times have whole seconds
    if (seed !== undefined) await pause(world.clock, seed, 1_500);
  }
  for (const name of stage.delete) await world.remove(name);
}

/** All stages one after the other, then a minute with a re-read and a new leader, in which nobody writes anything. */
async function straight(what: Case, file: string): Promise<void> {
  const world = await manifestWorld(what);
  await world.run(
    (async () => {
      world.start();
      let pods = 0;
      for (const [index, stage] of what.stages.entries()) {
        await write(world, stage, pods, what.anyOrder);
        pods += stage.pods.length;
        await world.settle();
        assert.deepEqual(await faultsOf(world, stage.expect), [], `${file}, stage ${index + 1}`);
      }
      const before = world.writes();
      await world.clock.sleep(65_000);
      assert.deepEqual(world.writes(), before, `${file}: a second pass writes`);
      await world.kill();
      world.start();
      await world.settle();
      assert.deepEqual(world.writes(), before, `${file}: the next leader writes`);
      await world.kill();
    })(),
  );
  await world.end();
}

/** In a random order, and the leader falls meanwhile: the same comes about. */
async function disturbed(what: Case, file: string, seed: number): Promise<void> {
  const world = await manifestWorld(what);
  const random = makeRandom(seed);
  const next = (): number => random();
  await world.run(
    (async () => {
      world.start();
      let pods = 0;
      for (const stage of what.stages) {
        const fall = (async () => {
          await pause(world.clock, next, FALL_MS);
          await world.kill();
          await pause(world.clock, next, 2_000);
          world.start();
        })();
        await write(world, stage, pods, what.anyOrder, what.anyOrder ? next : undefined);
        pods += stage.pods.length;
        await fall;
        await world.settle();
      }
      const last = what.stages.at(-1);
      assert.deepEqual(last && (await faultsOf(world, last.expect, true)), [], `${file}, order ${seed}`);
      await world.kill();
    })(),
  );
  await world.end();
}

/**
 * What comes of each manifest under test/manifests: of those with an Ingress, or of the others. Two suites, so that each is a process of its
 * own and two cores share the work.
 */
export function suiteOf(which: "Services" | "Ingresses"): void {
  const files = globSync("test/manifests/*.yaml").sort();
  const isOf = (file: string): boolean => /kind: Ingress\b/.test(readFileSync(file, "utf8")) === (which === "Ingresses");
  suite(`what comes of each manifest of ${which}:`, () => {
    for (const file of files.filter(isOf)) {
      const what = readCase(file);
      test(`${basename(file, ".yaml")}: ${what.title}`, async () => {
        await straight(what, file);
        for (const seed of SEEDS) await disturbed(what, file, seed);
      });
    }
  });
}
