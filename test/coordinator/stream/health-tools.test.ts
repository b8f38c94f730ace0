/** gRPC health as monitoring asks for it: by grpc-health-probe and by the Prometheus blackbox exporter, without TLS and with it. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { Health } from "../../../common/health.ts";
import { makeHealthServer } from "../../../common/health-server.ts";
import { makeNodeRegistry } from "../../../coordinator/nodes/node-registry.ts";
import { makeIntake } from "../../../coordinator/stream/intake.ts";
import { makeNodeStream } from "../../../coordinator/stream/node-stream.ts";
import { makeStreamServer } from "../../../coordinator/stream/server.ts";
import { makeTokenReview } from "../../../coordinator/stream/token-review.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { toolsDirectory } from "../../../deploy/tools/health-probe.ts";
import { until } from "../../cluster/process.ts";
import { aRecordingObserver, believing, silentLog } from "../pods.ts";

const NAME = "clb-direct-coordinator.clb-direct.svc";
const SERVICE = "clb.direct.v1.NodeStreamService";
const env = { ...process.env, PATH: `${process.env["PATH"]}:${toolsDirectory(process.env)}` };
const isThere = (program: string): boolean => spawnSync(program, ["--version"], { env }).error === undefined;

/** A coordinator's two ports with health: `plain` as 9091, `tls` as 9443. */
async function aCoordinator(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "health-tools-"));
  const clock = makeClock();
  const stop = new AbortController();
  const authority = await issueAuthority(Date.now());
  const leaf = { ...(await issueServing(authority, [NAME], [], Date.now())), caBundlePem: authority.certPem };
  const common = { clock, log: silentLog, observer: aRecordingObserver(), intake: makeIntake(clock) };
  const registry = makeNodeRegistry({ ...common, ...believing, agentGraceMs: 60_000, watchNode: () => ({ lastByteAtMs: 0 }) }, stop.signal);
  const review = makeTokenReview({ kube: { create: () => Promise.reject(new Error("nobody asks")) }, namespace: "clb-direct", clock });
  const stream = makeNodeStream({ ...common, wallClock: clock, registry, review, replica: "replica-1" });
  const health = new Health(["", SERVICE]);
  health.setStatus("", "SERVING");
  const serving = { current: leaf, subscribe: () => () => undefined };
  const server = makeStreamServer({ ...common, address: "127.0.0.1:0", stream, serving, health });
  const plainServer = makeHealthServer({ host: "127.0.0.1", port: 0, shared: false, health, clock });
  const [tls, plain] = [await server.start(), await plainServer.start()];
  const caFile = join(directory, "ca.crt");
  writeFileSync(caFile, authority.certPem);
  t.after(async () => {
    plainServer.stop();
    stop.abort();
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  return { tls, plain, caFile, directory, health };
}

/** Exit code and words; without blocking, because the server asked is in this process. */
function run(program: string, args: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, text }));
  });
}

const noProbe = !isThere("grpc-health-probe") && "there is no grpc-health-probe. Run: npm run real:prepare -- --tools (needs Go)";
test("grpc-health-probe finds both ports healthy, and a service that is not", { skip: noProbe }, async (t) => {
  const { tls, plain, caFile, health } = await aCoordinator(t);
  const secure = ["-tls", `-tls-ca-cert=${caFile}`, `-tls-server-name=${NAME}`];
  const ask = (port: number, ...args: readonly string[]) => run("grpc-health-probe", [`-addr=127.0.0.1:${port}`, ...args]);
  for (const args of [[], [`-service=${SERVICE}`]]) {
    assert.deepEqual(await ask(plain, ...args), { code: 0, text: "status: SERVING\n" });
    assert.deepEqual(await ask(tls, ...secure, ...args), { code: 0, text: "status: SERVING\n" });
  }
  health.setStatus(SERVICE, "NOT_SERVING");
  assert.equal((await ask(tls, ...secure, `-service=${SERVICE}`)).code, 4);
  assert.notEqual((await ask(tls, "-tls")).code, 0, "a certificate of nobody whom it trusts");
});

const EXPORTER = ["blackbox_exporter", "prometheus-blackbox-exporter"].find(isThere);
const noExporter = EXPORTER === undefined && "there is no blackbox exporter (package prometheus-blackbox-exporter of Debian)";
test("the Prometheus blackbox exporter finds both ports healthy", { skip: noExporter }, async (t) => {
  const { tls, plain, caFile, directory, health } = await aCoordinator(t);
  const module = (more: object) => ({ prober: "grpc", timeout: "5s", grpc: { preferred_ip_protocol: "ip4", service: SERVICE, ...more } });
  const modules = { plain: module({}), secure: module({ tls: true, tls_config: { ca_file: caFile, server_name: NAME } }) };
  const config = join(directory, "blackbox.yml");
  writeFileSync(config, JSON.stringify({ modules })); // JSON is YAML
  const port = await freePort();
  const exporter = spawn(EXPORTER ?? "", [`--config.file=${config}`, `--web.listen-address=127.0.0.1:${port}`], { stdio: "ignore" });
  t.after(() => exporter.kill("SIGKILL"));
  const probe = async (name: string, target: number): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/probe?module=${name}&target=127.0.0.1:${target}`);
    return /^probe_success (\d)$/m.exec(await response.text())?.[1] ?? "";
  };
  await until("the exporter answers", () =>
    fetch(`http://127.0.0.1:${port}/-/healthy`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  assert.deepEqual([await probe("plain", plain), await probe("secure", tls)], ["1", "1"]);
  health.setStatus(SERVICE, "NOT_SERVING");
  assert.deepEqual([await probe("plain", plain), await probe("secure", tls)], ["0", "0"]);
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
