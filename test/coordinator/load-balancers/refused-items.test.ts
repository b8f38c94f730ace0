import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ClbApiError } from "../../../coordinator/cloud/clb-error.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { BoundSlot } from "../../../coordinator/domain/load-balancer.ts";
import { RefusedItems } from "../../../coordinator/load-balancers/refused-items.ts";

const slot = (ip: string, podUid = `pod-${ip}`): BoundSlot => ({ listenerId: "lbl-1", ip, port: 8080, weight: 10, podUid });
const bind = (...targets: BoundSlot[]): Call => ({ lane: "bind", targets });
const refusal = (code = "FailedOperation"): ClbApiError =>
  new ClbApiError({ action: "BatchRegisterTargets", code, requestId: "" }, "bad target", { kind: "retryAfter", delayMs: 1_000 }, false);

suite("a refused bind", () => {
  test("is halved until the bad target is alone; the others go on without it", () => {
    const told: string[] = [];
    const refusedItems = new RefusedItems((_id, call) => void told.push(...("targets" in call ? call.targets.map(({ ip }) => ip) : [])));
    const [a, b, c, d] = [slot("10.0.0.1"), slot("10.0.0.2"), slot("10.0.0.3"), slot("10.0.0.4")];
    refusedItems.failed("lb-1", bind(a, b, c, d), refusal(), 0);
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(a, b, c, d)], 0)[0], bind(a, b));
    refusedItems.failed("lb-1", bind(a, b), refusal(), 0);
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(a, b, c, d)], 0)[0], bind(a));
    assert.deepEqual(told, []);
    refusedItems.failed("lb-1", bind(a), refusal(), 0);
    assert.deepEqual(told, ["10.0.0.1"]);
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(a, b, c, d)], 0)[0], bind(b, c, d));
    assert.match(refusedItems.why("lb-1", "lbl-1 10.0.0.1:8080", a.podUid) ?? "", /bad target/);
  });

  test("is tried again after 1 s, then twice as late each time, at most after 30 s", () => {
    const refusedItems = new RefusedItems(() => undefined);
    let now = 0;
    const waits = [1, 2, 3, 4, 5, 6, 7].map(() => {
      refusedItems.failed("lb-1", bind(slot("10.0.0.1")), refusal(), now);
      const next = refusedItems.nextMs("lb-1", now) ?? 0;
      assert.equal(refusedItems.openCalls("lb-1", [bind(slot("10.0.0.1"))], next - 1)[0], undefined);
      assert.deepEqual(refusedItems.openCalls("lb-1", [bind(slot("10.0.0.1"))], next)[0], bind(slot("10.0.0.1")));
      const waitMs = next - now;
      now = next;
      return waitMs;
    });
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test("that comes again for half a minute is not expected to go well any more", () => {
    const refusedItems = new RefusedItems(() => undefined);
    const bad = slot("10.0.0.1");
    const keeps = [0, 1, 3, 7, 15, 31].map((second) => {
      refusedItems.failed("lb-1", bind(bad), refusal(), second * 1_000);
      return refusedItems.keepsRefusing("lb-1", "lbl-1 10.0.0.1:8080", bad.podUid);
    });
    assert.deepEqual(keeps, [false, false, false, false, false, true]);
    assert.equal(refusedItems.keepsRefusing("lb-1", "lbl-1 10.0.0.1:8080", "another"), false);
  });

  test("is forgotten when it works, and does not concern the address's next Pod", () => {
    const refusedItems = new RefusedItems(() => undefined);
    refusedItems.failed("lb-1", bind(slot("10.0.0.1")), refusal(), 0);
    const heir = slot("10.0.0.1", "another");
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(heir)], 0)[0], bind(heir));
    refusedItems.worked("lb-1", bind(slot("10.0.0.1")), 0);
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(slot("10.0.0.1"))], 0)[0], bind(slot("10.0.0.1")));
    assert.equal(refusedItems.nextMs("lb-1", 0), undefined);
  });

  test("says nothing about a target when the cloud was locked, throttled or silent", () => {
    const refusedItems = new RefusedItems(() => assert.fail("told"));
    for (const code of ["FailedOperation.ResourceInOperating", "RequestLimitExceeded", "Transport", "InternalError"])
      refusedItems.failed("lb-1", bind(slot("10.0.0.1")), refusal(code), 0);
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(slot("10.0.0.1"))], 0)[0], bind(slot("10.0.0.1")));
  });

  test("for a quota is forgotten as soon as something was taken away; one for its content is not", () => {
    const refusedItems = new RefusedItems(() => undefined);
    const [full, full2, bad] = [slot("10.0.0.1"), slot("10.0.0.2"), slot("10.0.0.3")];
    refusedItems.failed("lb-1", bind(full, full2), refusal("LimitExceeded"), 0);
    refusedItems.failed("lb-1", bind(full), refusal("LimitExceeded"), 0);
    refusedItems.failed("lb-1", bind(full2), refusal("LimitExceeded"), 0);
    refusedItems.failed("lb-1", bind(bad), refusal("InvalidParameterValue"), 0);
    assert.equal(refusedItems.openCalls("lb-1", [bind(full, full2, bad)], 0)[0], undefined);
    refusedItems.worked("lb-1", { lane: "unbind", slots: [slot("10.0.0.9")] }, 0);
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(full, full2, bad)], 0)[0], bind(full, full2));
  });

  test("takes at most eleven calls to find one of 500, wherever it is, and to bind the others", () => {
    for (const bad of [0, 1, 137, 250, 321, 498, 499]) {
      const all = Array.from({ length: 500 }, (_, n) => slot(`10.1.${Math.floor(n / 250)}.${n % 250}`));
      const refusedItems = new RefusedItems(() => undefined);
      const bound = new Set<BoundSlot>();
      let calls = 0;
      while (bound.size < 499) {
        const [call] = refusedItems.openCalls("lb-1", [bind(...all.filter((one) => !bound.has(one)))], 0);
        assert.ok(call !== undefined && "targets" in call && calls < 20, `${bad}: ${bound.size} bound after ${calls} calls`);
        calls++;
        const isBad = call.targets.some((one) => one === all[bad]);
        if (isBad) refusedItems.failed("lb-1", call, refusal("InvalidParameterValue"), 0);
        else {
          for (const one of call.targets) bound.add(one);
          refusedItems.worked("lb-1", call, 0);
        }
      }
      assert.ok(calls <= 11, `the one at ${bad}: ${calls} calls`);
    }
  });

  test("those that were refused and are due again go last and alone, then twice as many each time that goes well", () => {
    const refusedItems = new RefusedItems(() => undefined);
    const bad = ["1", "2", "3", "4", "5", "6"].map((n) => slot(`10.0.0.${n}`));
    for (const one of bad) refusedItems.failed("lb-1", bind(one), refusal("InvalidParameterValue"), 0);
    const good = slot("10.0.9.9");
    assert.deepEqual(refusedItems.openCalls("lb-1", [bind(...bad, good)], 500)[0], bind(good));
    const sizes: number[] = [];
    for (let left = [...bad]; left.length > 0; ) {
      const [call] = refusedItems.openCalls("lb-1", [bind(...left)], 1_000);
      assert.ok(call !== undefined && "targets" in call);
      sizes.push(call.targets.length);
      refusedItems.worked("lb-1", call, 1_000);
      left = left.filter((one) => !call.targets.includes(one));
    }
    assert.deepEqual(sizes, [1, 2, 3]);
  });

  test("where many are refused for themselves, the lane gives way to the others", () => {
    const refusedItems = new RefusedItems(() => undefined);
    const giveWay = ["1", "2", "3", "4", "5"].map((n) =>
      refusedItems.failed("lb-1", bind(slot(`10.0.0.${n}`)), refusal("InvalidParameterValue"), 0),
    );
    assert.deepEqual(giveWay, [0, 0, 0, 1_000, 1_000]);
  });
});

suite("a quota that is full", () => {
  const at = (listenerId: string, ip: string): BoundSlot => ({ ...slot(ip), listenerId });
  const full = refusal("LimitExceeded");
  const [a1, a2, a3, b1] = [at("lbl-a", "10.0.0.1"), at("lbl-a", "10.0.0.2"), at("lbl-a", "10.0.0.3"), at("lbl-b", "10.0.0.1")];
  const whole = [bind(a1, a2, a3, b1)];
  /** The place of `a` is known to be full at 0. */
  const met = (): RefusedItems => {
    const refusedItems = new RefusedItems(() => undefined);
    refusedItems.failed("lb-1", bind(a1, a2, a3, b1), full, 0);
    refusedItems.failed("lb-1", bind(a1, a2), full, 0);
    refusedItems.failed("lb-1", bind(a1), full, 0);
    return refusedItems;
  };

  test("leaves out its place as a whole, tells each Pod there why, and lets the other places go on", () => {
    const refusedItems = met();
    assert.deepEqual(refusedItems.openCalls("lb-1", whole, 0), [bind(b1)]);
    assert.match(refusedItems.why("lb-1", "lbl-a 10.0.0.3:8080", a3.podUid) ?? "", /LimitExceeded/);
    assert.equal(refusedItems.why("lb-1", "lbl-b 10.0.0.1:8080", b1.podUid), undefined);
  });

  test("is tried by one target after 1 s, 2 s, … 30 s", () => {
    const refusedItems = met();
    let now = 0;
    const waits = [1, 2, 3, 4, 5, 6, 7].map(() => {
      const next = refusedItems.nextMs("lb-1", now) ?? 0;
      assert.deepEqual(refusedItems.openCalls("lb-1", [bind(a1, a2, a3)], next), [bind(a1)]);
      refusedItems.failed("lb-1", bind(a1), full, next);
      const waitMs = next - now;
      now = next;
      return waitMs;
    });
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test("is over for all when something was taken away there; elsewhere one tries", () => {
    const [there, elsewhere] = [met(), met()];
    there.worked("lb-1", { lane: "unbind", slots: [at("lbl-a", "10.0.0.9")] }, 10);
    assert.deepEqual(there.openCalls("lb-1", [bind(a1, a2, a3)], 10), [bind(a1, a2, a3)]);
    elsewhere.worked("lb-1", { lane: "unbind", slots: [at("lbl-c", "10.0.0.9")] }, 10);
    assert.deepEqual(elsewhere.openCalls("lb-1", [bind(a1, a2, a3)], 10), [bind(a1)]);
  });

  test("is over when the account may have more", () => {
    const refusedItems = met();
    refusedItems.failed(
      "lb-2",
      { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [{ name: "l", port: 80 }] } },
      full,
      0,
    );
    refusedItems.quotasRaised();
    assert.deepEqual(refusedItems.openCalls("lb-1", whole, 0), whole);
    assert.deepEqual([refusedItems.nextMs("lb-1", 0), refusedItems.nextMs("lb-2", 0)], [undefined, undefined]);
  });

  test("of listeners holds up no rules, and that of one listener's rules no other listener's", () => {
    const refusedItems = new RefusedItems(() => undefined);
    const listeners: Call = {
      lane: "structure",
      create: { protocol: "TCP", healthCheck: {}, listeners: [80, 81].map((port) => ({ name: "l", port })) },
    };
    const rules = (listenerId: string): Call => ({
      lane: "structure",
      createRules: { listenerId, rules: ["/a", "/b"].map((url) => ({ domain: "example.com", url, healthCheck: {} })) },
    });
    const plan = [listeners, rules("lbl-a"), rules("lbl-b")];
    const made: Call[] = [];
    for (let tries = 0; tries < 20; tries++) {
      const [call] = refusedItems.openCalls(
        "lb-1",
        plan.filter((one) => !made.includes(one)),
        0,
      );
      if (call === undefined) break;
      if (call === plan[2]) made.push(call);
      else refusedItems.failed("lb-1", call, full, 0);
    }
    assert.deepEqual([made, refusedItems.nextMs("lb-1", 0)], [[plan[2]], 1_000]);
  });
});

test("a rule that is refused is another one than that of the same host and path in another listener", () => {
  const refusedItems = new RefusedItems(() => undefined);
  const create = (listenerId: string): Call => ({
    lane: "structure",
    createRules: { listenerId, rules: [{ domain: "a.example.com", url: "/", healthCheck: {} }] },
  });
  refusedItems.failed("lb-1", create("lbl-https"), refusal(), 0);
  const why = () => ["lbl-http", "lbl-https"].map((id) => refusedItems.whyNotCreated("lb-1", `${id} a.example.com /`)?.slice(0, 8));
  const refused = [undefined, refusal().message.slice(0, 8)];
  assert.deepEqual(why(), refused);
  refusedItems.worked("lb-1", create("lbl-http"), 0);
  assert.deepEqual(why(), refused);
  refusedItems.worked("lb-1", create("lbl-https"), 0);
  assert.deepEqual(why(), [undefined, undefined]);
});
