import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { suite, type TestContext, test } from "node:test";
import { parseFaultScript } from "../../cloud/faults/script.ts";
import { failsWith, sdkFor, withCloud } from "./fixture.ts";

const SCRIPT = `# A bad minute
faults:
  - kind: error
    code: InternalError
    action: [DescribeQuota, DescribeTargets]
    from: 1.5s
    for: 1m
    probability: 0.1
  - { kind: partial, ips: [10.244.0.1], count: 1 }
`;

test("a script is YAML, or JSON of the same shape", () => {
  const error = { kind: "error", code: "InternalError", action: ["DescribeQuota", "DescribeTargets"] };
  const expected = [
    { ...error, from: 1500, for: 60_000, probability: 0.1 },
    { kind: "partial", ips: ["10.244.0.1"], count: 1 },
  ];
  assert.deepEqual(parseFaultScript(SCRIPT, "faults.yaml"), expected);
  assert.deepEqual(parseFaultScript(JSON.stringify({ faults: expected }), "faults"), expected);
});

test("the documentation has an example of every kind, and each can be read", async () => {
  const page = await readFile(new URL("../../../docs/emulated-cloud.md", import.meta.url), "utf8");
  const [section = ""] = page.split("## Faults\n").slice(1);
  const [, script = ""] = /```yaml\n(.*?)```/s.exec(section) ?? [];
  const kinds = parseFaultScript(script, "docs").map(({ kind }) => kind);
  const [, all = ""] = /must be one of (.*)$/.exec(refusalOf("faults: [{ kind: none }]")) ?? [];
  assert.deepEqual(kinds.toSorted(), all.split(", ").toSorted());
});

/** What a malformed script is refused with. */
function refusalOf(text: string): string {
  try {
    parseFaultScript(text, "f");
  } catch (error) {
    if (error instanceof TypeError) return error.message;
  }
  return "";
}

suite("a malformed script is refused with line and reason:", () => {
  for (const [what, text, reason] of [
    ["no YAML", "faults: [\n a: b\n c", /^f:3: Flow sequence/],
    ["empty", "", /^f:1: must be an object with a list `faults`$/],
    ["no list", "faults: 5", /^f:1: faults: .*expected array/],
    [
      "an unknown kind",
      "faults:\n  - kind: reset\n  - kind: explode",
      /^f:3: faults\[1\]\.kind: must be one of error, throttled, .*locked$/,
    ],
    ["something missing", "faults:\n\n  - kind: error\n    count: 2", /^f:3: faults\[0\]\.code: .*expected string/],
    ["a misspelt field", "faults:\n  - kind: reset\n    count: 1\n    acton: X", /^f:4: faults\[0\]: no such field: acton$/],
    [
      "an action that is none",
      "faults:\n  - kind: reset\n    action: [DescribeTargetz]",
      /^f:3: faults\[0\]\.action: there is no action DescribeTargetz;/,
    ],
    ["a wrong time", "faults:\n  - kind: stale\n    age: 3 s", /^f:3: faults\[0\]\.age: must be a number of ms or a text such as "500ms"/],
    ["no HTTP error", "faults: [{ kind: http, status: 200 }]", /^f:1: faults\[0\]\.status: Too small/],
    ["a share above one", "faults: [{ kind: not-bound, share: 2 }]", /^f:1: faults\[0\]\.share: Too big/],
    ["neither ips nor share", "faults: [{ kind: partial }]", /^f:1: faults\[0\]: needs either ips .* or share/],
    [
      "two faults at once",
      "faults:\n  - kind: latency\n  - 5",
      /^f:2: faults\[0\]\.delay: .*\nf:3: faults\[1\]: a fault must be an object with a kind$/,
    ],
  ] as const)
    test(what, () => {
      assert.match(refusalOf(text), reason);
    });
});

test("the admin pages refuse what is no object, and a question without its parameter", async (t) => {
  const { adminUrl } = await withCloud(t, { dataPlane: false });
  const refused = async (page: string, init?: RequestInit): Promise<string> => {
    const response = await fetch(`${adminUrl}/${page}`, init);
    assert.equal(response.status, 400);
    return response.text();
  };
  for (const [page, body, reason] of [
    ["faults", "null", /must be a JSON object, got null/],
    ["health", "null", /health:1: .*expected object/],
    ["health", '{"status":"Well"}', /health:1: status: .*"Alive\\"\|\\"Dead/],
    ["load-balancers", '{"vip":"here"}', /load-balancers:1: vip: must be an IPv4 address/],
    ["load-balancers", '{"vpc":"vpc-1"}', /no such field: vpc/],
  ] as const)
    assert.match(await refused(page, { method: "POST", body }), reason);
  const again = { method: "POST", body: '{"id":"lb-1"}' };
  assert.equal((await fetch(`${adminUrl}/load-balancers`, again)).status, 200);
  assert.match(await refused("load-balancers", again), /there is a load balancer lb-1 already/);
  assert.match(await refused("connections"), /needs clientPort/);
});

test("the admin page takes a script in place of what was there, and clears it", async (t) => {
  const { adminUrl, sdk, cloud } = await withCloud(t, { dataPlane: false });
  const url = `${adminUrl}/faults`;
  cloud.faults.add({ kind: "reset" });
  const put = await fetch(url, { method: "PUT", body: "faults:\n  - { kind: error, code: InternalError, action: DescribeQuota }" });
  const { faults } = (await put.json()) as { faults: { fault: object; hits: number; state: string }[] };
  assert.deepEqual(
    faults.map(({ fault, hits, state }) => [fault, hits, state]),
    [[{ kind: "error", code: "InternalError", action: ["DescribeQuota"] }, 0, "active"]],
  );
  await failsWith("InternalError", sdk.DescribeQuota(null));
  await sdk.DescribeLoadBalancers({});
  const refused = await fetch(url, { method: "PUT", body: '{\n "faults": [\n { "kind": "boom" } ] }' });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /faults:3: faults\[0\]\.kind: must be one of/);
  assert.equal(cloud.faults.list().length, 1, "a refused script changes nothing");
  await fetch(url, { method: "DELETE" });
  await sdk.DescribeQuota(null);
  const told = cloud.journal.of("fault").map(({ change, fault }) => `${change} ${fault}`);
  assert.deepEqual(told, ["added reset", "cleared reset", "added error", "cleared error"]);
});

suite("alone", () => {
  const run = (t: TestContext, env: NodeJS.ProcessEnv = {}, ...more: string[]) => {
    const args = ["test/cloud/main.ts", ...more, "--port", "0", "--vip-cidr", "127.198.0.0/16", "--json", "--exit-with-parent"];
    const child = spawn(process.execPath, args, {
      cwd: new URL("../../..", import.meta.url),
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    const exited = once(child, "exit");
    const addresses = once(createInterface(child.stdout), "line").then(
      ([line]) => JSON.parse(String(line)) as { endpoint: string; adminUrl: string },
    );
    return { child, exited, addresses };
  };

  test("it tells its addresses in one line, takes the key from the environment, and ends with its parent", async (t) => {
    const key = { secretId: "AKIDfromenv", secretKey: "fromenv" };
    const { child, exited, addresses } = run(t, { TENCENTCLOUD_SECRET_ID: key.secretId, TENCENTCLOUD_SECRET_KEY: key.secretKey });
    const { endpoint } = await addresses;
    assert.equal((await sdkFor(endpoint, key).DescribeQuota(null)).QuotaSet?.length, 8);
    await failsWith("AuthFailure.SecretIdNotFound", sdkFor(endpoint).DescribeQuota(null));
    child.stdin.end();
    assert.deepEqual(await exited, [0, null]);
  });

  test("SIGTERM ends it cleanly", async (t) => {
    const { child, exited, addresses } = run(t);
    await addresses;
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  });

  test("it takes a fault script, and does not start with a malformed one", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "faults-"));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, "faults.yaml");
    await writeFile(file, "faults:\n  - { kind: error, code: InternalError, action: DescribeQuota }\n");
    const { endpoint } = await run(t, {}, "--faults", file).addresses;
    await failsWith("InternalError", sdkFor(endpoint).DescribeQuota(null));
    await writeFile(file, "faults:\n  - { kind: error }\n");
    const refused = run(t, {}, "--faults", file);
    refused.addresses.catch(() => undefined);
    assert.deepEqual(await refused.exited, [1, null]);
  });
});
