import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../common/errors.ts";
import { readConfig } from "../../coordinator/config.ts";

const LEAST = { CLB_REGION: "ap-guangzhou", TENCENTCLOUD_SECRET_ID: "id", TENCENTCLOUD_SECRET_KEY: "key" };

test("needs the region and the key only; the rest has defaults", () => {
  const config = readConfig(LEAST);
  assert.deepEqual([config.region, config.cloud.endpoint, config.cloud.protocol], ["ap-guangzhou", "clb.tencentcloudapi.com", "https://"]);
  assert.deepEqual(config.cloud.credential, { secretId: "id", secretKey: "key", token: undefined });
  assert.deepEqual(
    [config.ownership, config.policy, config.clusterId, config.gateType],
    ["class", "enforce", undefined, "cloud.tencent.com/load-balancer-backendgroup-ready"],
  );
  assert.deepEqual([config.streamPort, config.opsPort, config.healthPort, config.explainPort], [9443, 9090, 9091, 9092]);
  assert.deepEqual(
    [config.drainMs, config.agentGraceMs, config.resyncMs, config.healthPollMs, config.healthIdleMs],
    [30_000, 10_000, 60_000, 50, 30_000],
  );
  assert.deepEqual(config.servingNames, {
    dns: [
      "clb-direct-coordinator.clb-direct.svc",
      "clb-direct-coordinator.clb-direct.svc.cluster.local",
      "clb-direct-webhook.clb-direct.svc",
    ],
    ip: [],
  });
});

test("lists every mistake at once, by the variable's name", () => {
  assert.throws(
    () => readConfig({ OWNERSHIP: "mine", STREAM_PORT: "70000", DRAIN_MS: "soon", CLUSTER_ID: "Prod", TIME_SCALE: "0" }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const name of [
        "CLB_REGION",
        "TENCENTCLOUD_SECRET_ID",
        "TENCENTCLOUD_SECRET_KEY",
        "OWNERSHIP",
        "STREAM_PORT",
        "DRAIN_MS",
        "CLUSTER_ID",
        "TIME_SCALE",
      ])
        assert.ok(error.message.includes(name), `${name} is missing in: ${error.message}`);
      assert.ok(error.message.includes("use 1 to 16 lower-case letters and digits"));
      return true;
    },
  );
});

const BOUNDS: readonly (readonly [name: string, good: readonly string[], bad: readonly string[]])[] = [
  ["STREAM_PORT", ["1", "65535"], ["0", "65536", "80.5"]],
  ["DRAIN_MS", ["0", "3600000"], ["-1", "3600001"]],
  ["HEALTH_POLL_MS", ["50", "10000"], ["49", "10001"]],
  ["CLB_RULES_PER_CALL", ["1", "50"], ["0", "51"]],
  ["RESYNC_MS", ["1000", "3600000"], ["999", "3600001"]],
  ["AUDIT_MS", ["1000", "3600000"], ["999", "3600001"]],
  ["CLUSTER_ID", ["a", "0123456789abcdef"], ["A", "a-b", "0123456789abcdef0"]],
  ["CLB_PROTOCOL", ["http://", "https://"], ["https"]],
];

for (const [name, good, bad] of BOUNDS)
  test(`${name} at its limits and one past`, () => {
    for (const value of good) assert.doesNotThrow(() => readConfig({ ...LEAST, [name]: value }), `${name}=${value}`);
    for (const value of bad) assert.throws(() => readConfig({ ...LEAST, [name]: value }), ConfigError, `${name}="${value}"`);
  });

test("AUDIT_MS, the former name of RESYNC_MS, counts where the new one is not set, and is warned of", () => {
  const read = (env: NodeJS.ProcessEnv) => readConfig({ ...LEAST, ...env });
  assert.deepEqual([read({}).warnings, read({ RESYNC_MS: "5000" }).warnings], [[], []]);
  assert.equal(read({ AUDIT_MS: "4000" }).resyncMs, 4_000);
  assert.equal(read({ AUDIT_MS: "4000", RESYNC_MS: "5000" }).resyncMs, 5_000);
  for (const config of [read({ AUDIT_MS: "4000" }), read({ AUDIT_MS: "4000", RESYNC_MS: "5000" })])
    assert.match(config.warnings.join(), /AUDIT_MS .* set RESYNC_MS/);
});

test("an empty variable counts as one that is not set", () => {
  const { streamPort, clusterId, drainMs } = readConfig({ ...LEAST, STREAM_PORT: "", CLUSTER_ID: "", DRAIN_MS: "" });
  assert.deepEqual([streamPort, clusterId, drainMs], [9443, undefined, 30_000]);
  for (const region of ["", "REGION", "guangzhou", "ap-guangzhou "])
    assert.throws(() => readConfig({ ...LEAST, CLB_REGION: region }), /CLB_REGION.*e\.g\. ap-guangzhou/, region);
  for (const region of ["ap-shanghai-fsi", "na-siliconvalley", "eu-frankfurt"])
    assert.equal(readConfig({ ...LEAST, CLB_REGION: region }).region, region);
});

test("tells names from addresses for the serving certificate", () => {
  const { servingNames } = readConfig({ ...LEAST, POD_NAMESPACE: "infra", SERVING_NAMES: " localhost, 10.244.1.200 ,fd00::1,," });
  assert.deepEqual(servingNames, {
    dns: [
      "clb-direct-coordinator.infra.svc",
      "clb-direct-coordinator.infra.svc.cluster.local",
      "clb-direct-webhook.infra.svc",
      "localhost",
    ],
    ip: ["10.244.1.200", "fd00::1"],
  });
});

test("knows three policies", () => {
  for (const POLICY of ["enforce", "no-unbind", "observe"]) assert.equal(readConfig({ ...LEAST, POLICY }).policy, POLICY);
  assert.throws(() => readConfig({ ...LEAST, POLICY: "dry-run" }), /POLICY/);
});
