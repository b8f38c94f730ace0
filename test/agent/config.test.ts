import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../agent/config.ts";
import { ConfigError } from "../../common/errors.ts";

const GOOD = { NODE_NAME: "node-a", COORDINATOR_ADDRESS: "dns:///coordinator.svc:9443", CA_BUNDLE_FILE: "/ca.crt", TOKEN_FILE: "/token" };

test("needs four values and has defaults for the others", () => {
  const { env: _, ...config } = readConfig(GOOD);
  assert.deepEqual(config, {
    nodeName: "node-a",
    coordinators: [{ host: "coordinator.svc", port: 9443 }],
    serverName: "coordinator.svc",
    path: "",
    stateDirectory: undefined,
    holdSocket: undefined,
    caBundleFile: "/ca.crt",
    tokenFile: "/token",
    gateType: "cloud.tencent.com/load-balancer-backendgroup-ready",
    listenHost: "0.0.0.0",
    opsPort: 9090,
    healthPort: 9091,
    logLevel: "info",
    metadataUrl: "http://metadata.tencentyun.com",
    keepaliveMs: 10_000,
    keepaliveTimeoutMs: 5_000,
    digestIntervalMs: 60_000,
    ackTimeoutMs: 5_000,
    timeScale: 1,
  });
});

test("tells all mistakes at once, each with its field, its value and the fix", () => {
  assert.throws(
    () => readConfig({ COORDINATOR_ADDRESS: "host,other:0", CA_BUNDLE_FILE: "", TOKEN_FILE: "/token", OPS_PORT: "http", TIME_SCALE: "0" }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const part of [
        /5 mistake/,
        /NODE_NAME: is missing; set it from spec.nodeName/,
        /"host", "other:0" is not <host>:<port>/,
        /CA_BUNDLE_FILE: is missing/,
        /OPS_PORT.*"http"/,
        /TIME_SCALE.*"0"/,
      ])
        assert.match(error.message, part);
      return true;
    },
  );
});

test("an empty value counts as none", () => assert.equal(readConfig({ ...GOOD, OPS_PORT: "" }).opsPort, 9090));

const addresses: readonly [string, readonly object[] | undefined][] = [
  [
    "10.0.3.7:9443, 10.0.4.9:9444",
    [
      { host: "10.0.3.7", port: 9443 },
      { host: "10.0.4.9", port: 9444 },
    ],
  ],
  ["[fd00::7]:9443", [{ host: "fd00::7", port: 9443 }]],
  ["dns:///[fd00::7]:9443", [{ host: "fd00::7", port: 9443 }]],
  ["fd00::7:9443", undefined],
  ["[10.0.3.7]:9443", undefined],
  ["https://host:9443", undefined],
  ["dns://8.8.8.8/host:9443", undefined],
  ["host:70000", undefined],
  ["a:1,", undefined],
];
for (const [text, expected] of addresses)
  test(`${text} is ${expected === undefined ? "no address" : "understood"}`, () => {
    const read = () => readConfig({ ...GOOD, COORDINATOR_ADDRESS: text }).coordinators;
    if (expected === undefined) assert.throws(read, /COORDINATOR_ADDRESS/);
    else assert.deepEqual(read(), expected);
  });

test("the certificate's name follows the address, in whatever Namespace the coordinators are", () => {
  const nameOf = (address: string, given?: string): string =>
    readConfig({ ...GOOD, COORDINATOR_ADDRESS: address, ...(given !== undefined && { COORDINATOR_SERVER_NAME: given }) }).serverName;
  assert.equal(nameOf("dns:///clb-direct-coordinator.lb-system.svc:9443"), "clb-direct-coordinator.lb-system.svc");
  assert.equal(nameOf("10.0.0.1:9443,[fd00::1]:9443"), "clb-direct-coordinator.clb-direct.svc");
  assert.equal(nameOf("dns:///coordinator.svc:9443", "other"), "other");
});
