import assert from "node:assert/strict";
import { test } from "node:test";
import { StableBackends } from "../../../coordinator/safety/stable-backends.ts";
import { aListener, aLoadBalancer, aTarget } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";

const targets = (count: number) => Array.from({ length: count }, (_, n) => aTarget({ ip: `10.244.1.${n}` }));

test("a place whose health was not read is counted once it is, although nothing of the load balancer has changed", () => {
  const stable = new StableBackends({ mirror: { health: () => ({ state: "Alive", sinceMs: 0 }) }, clock: aFakeClock() });
  const actual = aLoadBalancer({ listeners: [aListener({ targets: targets(4) })] });
  stable.count(actual);
  stable.healthRead(["lb-1"]);
  stable.count(actual);
  const fewer = aLoadBalancer({ listeners: [aListener({ targets: targets(1) })] });
  assert.equal(stable.of("lb-1", "lbl-1", fewer.listeners[0])?.history[0]?.stable, 4);
});

test("counts a place that has changed, and forgets one that is gone or of a load balancer that is", () => {
  const stable = new StableBackends({ mirror: { health: () => ({ state: "Alive", sinceMs: 0 }) }, clock: aFakeClock() });
  stable.healthRead(["lb-1"]);
  const most = (count: number): number | undefined =>
    stable.of("lb-1", "lbl-1", aListener({ targets: targets(count) }))?.history[0]?.stable;
  const count = (...listeners: readonly ReturnType<typeof aListener>[]): void => stable.count(aLoadBalancer({ listeners }));
  const first = aListener({ targets: targets(2) });
  const other = aListener({ listenerId: "lbl-2" });
  const both = aLoadBalancer({ listeners: [first, other] });
  stable.count(both);
  stable.count(both);
  count(aListener({ targets: targets(3) }), other);
  assert.equal(most(1), 3);
  count(other);
  assert.equal(most(1), 1);
  stable.count(both);
  stable.delete("lb-1");
  stable.healthRead(["lb-1"]);
  stable.count(both);
  assert.equal(most(1), 2);
});
