/** What the configuration makes of the webhook. */
import assert from "node:assert/strict";
import { Agent } from "node:https";
import { type TestContext, test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import { admissionOf } from "../../../coordinator/admission/controller.ts";
import type { Policy, Retire } from "../../../coordinator/domain/safety/policy.ts";
import { silentLog } from "../pods.ts";
import { NO_SWITCHES } from "../stage.ts";
import { certificates, HOST, post, review, WEB } from "./webhook.ts";

type Wish = { readonly admission?: "webhook" | "off"; readonly retire?: Retire; readonly policy?: Policy };

async function anAdmission({ admission = "webhook", retire = "off", policy = "enforce" }: Wish) {
  const { caPem, issue } = await certificates();
  const current = await issue();
  const nothing = (): undefined => undefined;
  const clock = makeClock();
  const metrics = { onReview: nothing, onConnection: nothing, onRepaired: nothing, onResult: nothing };
  const wish = { admission, retire, policy, listenHost: HOST, webhookPort: 0, ownership: "class" } as const;
  const made = admissionOf(
    { ...wish, gateType: DEFAULT_GATE_TYPE, drainMode: "none" },
    {
      objects: {
        ingressClasses: { records: new Map(), synced: true, lastByteAtMs: 0, run: () => Promise.resolve() },
        tkeSwitches: NO_SWITCHES,
      },
      serving: { current, subscribe: () => nothing },
      namespace: "clb-direct",
      clock: { now: () => clock.now(), sleep: (ms, signal) => clock.sleep(Math.min(ms, 50), signal) }, // its end is not waited for
      wallClock: clock,
      log: silentLog,
      metrics,
    },
  );
  return { made, caPem };
}

/** Whether a Pod of a Namespace that asks for the gate gets a patch; undefined: there is no webhook. */
async function isPatched(t: TestContext, wish: Wish): Promise<boolean | undefined> {
  const { made, caPem } = await anAdmission(wish);
  const server = made?.server;
  if (server === undefined) return undefined;
  const port = await server.start();
  const agent = new Agent({ ca: caPem });
  t.after(async () => {
    agent.destroy();
    await server.stop();
  });
  const { status, body } = await post(agent, `https://${HOST}:${port}/mutate/opted-in`, review(WEB));
  assert.equal(status, 200);
  return "patch" in Object(body["response"]);
}

for (const [name, wish, expected] of [
  ["by default it injects", {}, true],
  ["a replica that is about to be taken away injects nothing, also before the configuration is emptied", { retire: "on" }, false],
  ["nor where the traffic is kept", { retire: "keep-traffic" }, false],
  ["switched off", { admission: "off" }, undefined],
  ["nothing may be written", { policy: "observe" }, undefined],
] as const satisfies readonly (readonly [string, Wish, boolean | undefined])[])
  test(`the webhook: ${name}`, async (t) => assert.equal(await isPatched(t, wish), expected));
