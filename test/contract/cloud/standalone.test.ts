import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { readFlags } from "../../cloud/cli/flags.ts";
import { startCloud } from "../../cloud/cli/start.ts";
import { TEST_KEY } from "../../cloud/runtime/options.ts";
import { echoBackend, eventually, FAST_CHECK, sdkFor } from "./fixture.ts";
import { call, signedHeaders } from "./signer.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const run = promisify(execFile);
/** Of this process: test files run side by side. */
const VIPS = `127.198.${process.pid % 256}.0/24`;

type Addresses = {
  readonly endpoint: string;
  readonly adminUrl: string;
  readonly tlsEndpoint: string;
  readonly caFile: string;
  readonly metadata: Readonly<Record<string, string>>;
};

/** `npm run cloud` with these options; ends with the test. */
function alone(t: TestContext, ...options: string[]) {
  const { TENCENTCLOUD_SECRET_ID: _id, TENCENTCLOUD_SECRET_KEY: _key, ...env } = process.env;
  const args = ["test/cloud/main.ts", "--port", "0", "--vip-cidr", VIPS, ...options];
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  t.after(() => child.kill("SIGKILL"));
  child.stdout.setEncoding("utf8");
  return { child, exited, output: () => once(child.stdout, "data").then(([chunk]) => String(chunk)) };
}

async function started(t: TestContext, ...options: string[]) {
  const { child, exited, output } = alone(t, "--json", ...options);
  const addresses = JSON.parse(await output()) as Addresses;
  const end = async (): Promise<void> => {
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  };
  return { ...addresses, end };
}

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "clb-direct-test-"));
  t.after(() => rm(made, { recursive: true }));
  return made;
}

test("the first call of the banner works as it is printed", async (t) => {
  const { output } = alone(t);
  const banner = await output();
  const command = /A first call:\n([^]+)\nCtrl-C/.exec(banner)?.[1]?.replace("node ", `${process.execPath} `) ?? "";
  const { stdout } = await run("sh", ["-c", command], { cwd: ROOT });
  assert.match(stdout, /LoadBalancerIds: \[ 'lb-[0-9a-z]{8}' \]/);
  assert.match(banner, /1 VPCs, 2 instances, 4 ENIs/);
  assert.ok(banner.includes(TEST_KEY.secretKey));
});

test("without a scenario there is an account in which traffic flows at once", async (t) => {
  const { endpoint, metadata } = await started(t, "--time-scale", "20");
  const sdk = sdkFor(endpoint);
  const vpc = { version: "2017-03-12", payload: '{"Filters":[{"Name":"attachment.instance-id","Values":["ins-node0001"]}]}' };
  const { response } = await call(endpoint, { action: "DescribeNetworkInterfaces", ...vpc });
  const enis = response["NetworkInterfaceSet"] as { Primary: boolean; PrivateIpAddressSet: { PrivateIpAddress: string }[] }[];
  const ip = enis.find(({ Primary }) => !Primary)?.PrivateIpAddressSet[1]?.PrivateIpAddress ?? "";
  assert.equal(ip, "127.20.1.10");
  const backend = await echoBackend(t, ip);
  const { LoadBalancerIds: [LoadBalancerId = ""] = [] } = await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN" });
  const balancer = async () =>
    (await sdk.DescribeLoadBalancers({ LoadBalancerIds: [LoadBalancerId] }).catch(() => undefined))?.LoadBalancerSet?.[0];
  await eventually("the load balancer runs", async () => (await balancer())?.Status === 1);
  assert.equal((await balancer())?.VpcId, "vpc-demo0001");
  const listening = { LoadBalancerId, Ports: [18_080], Protocol: "TCP", HealthCheck: FAST_CHECK };
  const { ListenerIds: [ListenerId = ""] = [] } = await sdk.CreateListener(listening);
  const bind = { LoadBalancerId, Targets: [{ ListenerId, EniIp: ip, Port: backend.port }] };
  await eventually("the listener is there", () =>
    sdk.BatchRegisterTargets(bind).then(
      ({ FailListenerIdSet }) => FailListenerIdSet?.length === 0,
      () => false,
    ),
  );
  const vip = (await balancer())?.LoadBalancerVips?.[0] ?? "";
  const said = async (): Promise<string> => {
    const socket = connect(18_080, vip);
    socket.on("error", () => undefined).end("hello");
    return text(socket).catch(() => ""); // reset while no backend is healthy
  };
  await eventually("traffic flows", async () => (await said()) === `${ip} hello`);
  assert.equal(await fetch(`${metadata["ins-node0001"]}instance-name`).then((answer) => answer.text()), "node-1");
});

test("HTTPS answers under any host name, to clients that know its CA only", async (t) => {
  const { tlsEndpoint, caFile, end } = await started(t, "--tls", "--tls-port", "0");
  const ca = await readFile(caFile, "utf8");
  for (const host of ["clb.tencentcloudapi.com", "vpc.internal.tencentcloudapi.com", "Sts.Intl.tencentcloudapi.com"]) {
    const action = host.startsWith("vpc") ? "DescribeSecurityGroups" : "DescribeQuota";
    const version = host.startsWith("vpc") ? "2017-03-12" : "2018-03-17";
    const { response } = await call(tlsEndpoint, { action, version, host }, ca);
    assert.equal(response.Error?.Code, host.startsWith("Sts") ? "NoSuchVersion" : undefined, host);
  }
  const [address, port = ""] = tlsEndpoint.split(":");
  const byAddress = connectTls({ host: address, port: Number(port), ca });
  await once(byAddress, "secureConnect"); // no name: the certificate is for the address
  byAddress.destroy();
  const stranger = connectTls({ host: address, port: Number(port), servername: "clb.tencentcloudapi.com" });
  const [refusal] = await once(stranger, "error");
  assert.match(String(refusal), /unable to verify|self-signed/);
  await end();
  assert.equal(existsSync(caFile), false); // the temporary file is gone
});

test("a fixed endpoint can be led here: curl over HTTPS, its host name resolved to the cloud", async (t) => {
  const caFile = join(await folder(t), "ca.pem");
  const { tlsEndpoint, end } = await started(t, "--tls", "--tls-port", "0", "--ca-file", caFile);
  const host = "clb.ap-guangzhou.tencentcloudapi.com";
  const [address, port] = tlsEndpoint.split(":");
  const payload = '{"Limit":5}';
  const headers = Object.entries(signedHeaders({ action: "DescribeLoadBalancers", payload }, host)).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  const where = ["--resolve", `${host}:${port}:${address}`, "--cacert", caFile, `https://${host}:${port}/`];
  const { stdout } = await run("curl", ["-sS", "--max-time", "10", ...headers, "-d", payload, ...where]);
  assert.match(stdout, /^\{"Response":\{"TotalCount":0,"LoadBalancerSet":\[\],"RequestId":"[^"]+"\}\}$/);
  await end();
  assert.ok(existsSync(caFile)); // asked for by name: kept
});

test("a scenario file is the account; the command line wins over it", async (t) => {
  const file = join(await folder(t), "scenario.yaml");
  const scenario = [
    "profile: tke2020",
    "limits: { listenersPerLoadBalancer: 7 }",
    "vpcs: [{ id: vpc-own, cidr: 127.30.0.0/16 }]",
    "loadBalancers: [{ id: lb-own, name: mine }]",
  ];
  await writeFile(file, scenario.join("\n"));
  const banner = await alone(t, "--scenario", file, "--profile", "fast").output();
  assert.match(banner, /profile fast\n/);
  const endpoint = /API +http:\/\/(\S+)/.exec(banner)?.[1] ?? "";
  const { LoadBalancerSet: [own] = [] } = await sdkFor(endpoint).DescribeLoadBalancers({});
  assert.deepEqual([own?.LoadBalancerId, own?.LoadBalancerName, own?.VpcId], ["lb-own", "mine", "vpc-own"]);
  const { QuotaSet = [] } = await sdkFor(endpoint).DescribeQuota(null);
  assert.equal(QuotaSet.find(({ QuotaId }) => QuotaId === "TOTAL_LISTENER_QUOTA")?.QuotaLimit, 7);
});

test("an option that cannot be meant is refused by name", () => {
  for (const [given, reason] of [
    ["--port=1.5", '--port must be a whole number from 0 to 65535, got "1.5"'],
    ["--admin-port=", '--admin-port must be a whole number from 0 to 65535, got ""'],
    ["--time-scale=0", '--time-scale must be above 0 and at most 1000, got "0"'],
    ["--backend-cidr=10.0.0.0", '--backend-cidr must be an IPv4 range, e.g. 10.244.0.0/16, got "10.0.0.0"'],
    ["--ca-file=ca.pem", "--ca-file says how HTTPS is served; add --tls"],
    ["--tls-port=443", "--tls-port says how HTTPS is served; add --tls"],
    ["--prot=1", "Unknown option '--prot'"],
    ["--scenario=/none.yaml", "--scenario /none.yaml: there is no such file"],
    ["--faults=/none.yaml", "--faults /none.yaml: there is no such file"],
  ] as const)
    assert.throws(() => readFlags([given]), { message: reason });
});

test("a mistake in the options ends it with 2 and the usage", async (t) => {
  const { child, exited } = alone(t, "--scenario", "/none.yaml");
  assert.match(await text(child.stderr), /^--scenario \/none\.yaml: there is no such file\n\nusage: npm run cloud/);
  assert.deepEqual(await exited, [2, null]);
});

test("--seed, the former name of --scenario, still does, and the new name wins", () => {
  const [former, file] = ["package.json", "README.md"];
  assert.equal(readFlags(["--seed", former]).scenarioFile, former);
  assert.equal(readFlags(["--seed", former, "--scenario", file]).scenarioFile, file);
});

test("a port that is taken is named, with the option that chooses another one", async (t) => {
  const first = await startCloud({ dataPlane: false });
  t.after(() => first.stop());
  const port = Number(first.endpoint.split(":")[1]);
  await assert.rejects(startCloud({ dataPlane: false, port }), {
    message: `127.0.0.1:${port} is taken; give another one with --port, 0 for any`,
  });
});

test("a scenario with faults is refused before anything listens: every fault with its line", async (t) => {
  const file = join(await folder(t), "scenario.yaml");
  await writeFile(file, "vpcs:\n  - { id: vpc-own, cidr: 127.30.0.0/40 }\nregion: [x]\n");
  const { child, exited } = alone(t, "--scenario", file);
  const errors = await text(child.stderr);
  assert.deepEqual(await exited, [1, null]);
  const faults = [`${file}:2: vpcs[0].cidr: must be an IPv4 range, e.g. 10.0.1.0/24, got "127.30.0.0/40"`, `${file}:3: region: `];
  for (const fault of faults) assert.ok(errors.includes(fault), errors);
});
