/** Somebody undoes what we write as soon as it is there: it is put back ever more rarely, and told. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { aWorld, type World } from "./world.ts";

const FOR_MS = 300_000;
const LOOK_MS = 50;

/** `undo` takes it away and says so, whenever it is there; gives how often that was. */
async function contest({ clock }: World, undo: () => boolean): Promise<number> {
  let count = 0;
  for (const endMs = clock.now() + FOR_MS; clock.now() < endMs; await clock.sleep(LOOK_MS)) count += Number(undo());
  return count;
}

const WAYS: Readonly<Record<string, { readonly undo: (world: World) => () => boolean; readonly tells: RegExp | undefined }>> = {
  "the finalizer": {
    undo:
      ({ cluster }) =>
      () => {
        if (cluster.service("one")?.finalizers.length === 0) return false;
        cluster.edit("one", { finalizers: [] });
        return true;
      },
    tells: /^Service demo\/one: somebody removes the finalizer clb-direct\.io\/load-balancer again and again/,
  },
  "the gate of a Pod": {
    undo:
      ({ cluster }) =>
      () => {
        if (cluster.pods.get("one-0")?.gate !== "True") return false;
        cluster.turnBack("one-0");
        return true;
      },
    tells: /^Pod demo\/one-0: somebody else turns the condition .* back again and again/,
  },
  "the record": {
    undo:
      ({ cluster }) =>
      () => {
        if (cluster.records.entries("lb-one").length === 0) return false;
        cluster.records.removeOf("lb-one");
        return true;
      },
    tells: undefined, // the log says it: it is no object of a user's
  },
};

suite("somebody who takes away again and again", () => {
  for (const [what, { undo, tells }] of Object.entries(WAYS))
    test(`${what} is answered ever more rarely, at last once in 30 s`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 2 });
      await world.run(async () => {
        world.start();
        await world.converged("one");
        await world.clock.sleep(2_000);
        const count = await contest(world, undo(world));
        assert.ok(count >= 5 && count <= 20, `put back ${count} times in five minutes`);
        const told = world.cluster.told.filter(({ reason }) => reason === "StatusContested");
        if (tells === undefined) assert.deepEqual(told, []);
        else assert.match(told[0]?.message ?? "", tells);
        assert.ok(new Set(told.map(({ message }) => message)).size <= 1);
        await world.clock.sleep(40_000);
        await world.converged("one");
        assert.ok((world.cluster.service("one")?.finalizers.length ?? 0) > 0 && world.cluster.records.entries("lb-one").length > 0);
        await world.kill();
      });
    });
});
