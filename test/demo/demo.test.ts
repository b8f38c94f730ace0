import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { until } from "../cluster/process.ts";
import { readOptions } from "./options.ts";
import { descendantsOf, isRunning, performFairly, REPLICAS, startDemo } from "./testing.ts";

suite("the demo", () => {
  test("its rollout loses no request", { timeout: 360_000 }, async (t) => {
    const { code, summary, output } = await performFairly(t, []);
    assert.equal(code, 0, output);
    assert.deepEqual({ failed: summary.failed, causes: summary.causes }, { failed: 0, causes: {} });
    assert.ok(summary.minRate >= 200, `${summary.minRate} requests in one second`);
    assert.ok(summary.requests > 10 * 200, `${summary.requests} requests`);
    assert.ok(summary.ownMsP99 > 0 && summary.ownMsP99 >= summary.ownMsP50, `our share: ${summary.ownMsP50}, ${summary.ownMsP99} ms`);
    assert.equal(summary.pods.length, REPLICAS * 2, "every Pod, old and new, has its times");
    assert.ok((summary.calls["BatchRegisterTargets"] ?? 0) > 0);
    if (!/no network namespace here/.test(output))
      assert.match(output, /Event PodsNotInjected: Service demo\/web: \d+ of \d+ Pods .* Run kubectl rollout restart/);
    assert.match(output, /requests \d+, failed 0; lowest rate of any second \d+\/s/);
  });

  test("--ingress: hosts and paths reach the right Pods through a rollout, over HTTP and HTTPS, and a certificate is changed meanwhile", {
    timeout: 360_000,
  }, async (t) => {
    const { code, summary, output } = await performFairly(t, ["--ingress"]);
    assert.equal(code, 0, output);
    assert.deepEqual({ failed: summary.failed, causes: summary.causes }, { failed: 0, causes: {} });
    assert.equal(summary.pods.length, REPLICAS * 2 * 2, "every Pod of both Deployments, old and new, has its times");
    assert.match(output, /2 certificates were shown, one after the other/);
    assert.ok((summary.calls["ModifyDomainAttributes"] ?? 0) > 0);
  });

  test("--deny 8080 shows a gate that waits with the rule's name, and ends", { timeout: 120_000 }, async (t) => {
    const demo = startDemo(t, ["--replicas", "2", "--deny", "8080"]);
    assert.equal(await demo.exited, 0, demo.output());
    assert.match(demo.output(), /"reason": "SecurityGroupDenies"/);
    assert.match(demo.output(), /sg-web00001 rule 0 \(DROP TCP 8080 from 0\.0\.0\.0\/0\) blocks clients of lb-\w+:80 on port 8080/);
    assert.match(demo.output(), /ENI: eni-pods000[12] in subnet-demo0001/);
    assert.match(demo.output(), /instance: ins-node000[12] in ap-guangzhou-3/, "the metadata service of the node told it");
  });

  const MISTAKES = [
    ["--deny", "http", /--deny must be a whole number from 1 to 65535, got "http"/],
    ["--surge", "0%", /--surge must be a number of Pods above 0 or a share, e.g. 2 or 25%, got "0%"/],
    ["--replicas", "0", /--replicas must be a whole number from 1 to 250, got "0"/],
    ["--rate", "many", /--rate must be a whole number from 1 to 2000, got "many"/],
    ["--profile", "slow", /--profile must be fast or tke2020, got "slow"/],
    ["--nodes", "many", /--nodes must be simulated or real, got "many"/],
    ["--nodes", "real", /--nodes real needs a real API server: add --cluster real/],
    ["--cluster", "cloud", /--cluster must be embedded, real or kubeconfig, got "cloud"/],
  ] as const;
  for (const [option, value, message] of MISTAKES)
    test(`${option} ${value} is refused with a message that names option and fix`, () => {
      assert.throws(() => readOptions([option, value]), { message });
    });

  test("such a message comes with the usage and exit code 2, and without a stack", { timeout: 60_000 }, async (t) => {
    const demo = startDemo(t, ["--colour", "red"]);
    assert.equal(await demo.exited, 2);
    assert.match(demo.output(), /'--colour'.*usage: npm run demo/s);
    assert.doesNotMatch(demo.output(), /^ {4}at /m, "no stack");
  });

  for (const [moment, said] of [
    ["while it starts", /emulated cloud/],
    ["in the middle of its rollout", /rollout started/],
  ] as const)
    test(`Ctrl-C ${moment} leaves no process behind`, { timeout: 240_000 }, async (t) => {
      const demo = startDemo(t, ["--replicas", String(REPLICAS)]);
      await until(
        () => `the demo gets there; so far:\n${demo.output()}`,
        () => said.test(demo.output()) && descendantsOf(demo.child.pid ?? -1).length >= 2, // what it says comes before what it starts
        180_000,
      );
      const family = descendantsOf(demo.child.pid ?? -1);
      demo.child.kill("SIGINT");
      assert.equal(await demo.exited, 130);
      assert.match(demo.output(), /^interrupted: everything is stopped, nothing is left$/m);
      assert.deepEqual([...family, ...descendantsOf(demo.child.pid ?? -1)].filter(isRunning), []);
      assert.deepEqual(demo.leftovers(), [], "its files are gone as well");
    });
});
