/** A look on an emulated cloud and an API server in memory, in virtual time. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { DIRECT_ACCESS, EXISTING_LOAD_BALANCER } from "../../../common/names.ts";
import type { CloudTransport } from "../../../coordinator/cloud/transport.ts";
import { makeConsoleLog } from "../../../coordinator/dry-run/console-log.ts";
import { planOnce, UnreadError } from "../../../coordinator/dry-run/plan-once.ts";
import { makeCloud } from "../../cloud/cloud.ts";
import { alwaysHealthy, inProcessTransport } from "../../cloud/in-process.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { CONTROLLERS_SETTINGS } from "../stage.ts";

const SERVER = "https://cluster.test";
const SETTINGS = { ...CONTROLLERS_SETTINGS, clusterId: undefined, policy: "enforce" } as const;

/** A Service "demo/<name>" with direct access to a load balancer, as the API server tells it. */
const aServiceObject = (name: string, annotations: Readonly<Record<string, string>>) => ({
  metadata: { uid: `uid-${name}`, name, namespace: "demo", resourceVersion: "1", annotations: { [DIRECT_ACCESS]: "true", ...annotations } },
  spec: { type: "LoadBalancer", selector: { app: name }, ports: [{ protocol: "TCP", port: 80, targetPort: 8080 }] },
});

/** An API server that only has Services, and answers reads. */
function aClient(services: readonly object[]): KubeClient {
  const unexpected = (): never => assert.fail("a look writes nothing");
  const answer = <T>(value: unknown): Promise<T> => Promise.resolve(value as T);
  return {
    server: SERVER,
    get: (path) =>
      path.endsWith("/kube-system")
        ? answer({ metadata: { uid: "5e21c0ff-0000" } })
        : Promise.reject(new KubeApiError(`GET ${path}`, "notFound", "404", { code: 404 })),
    list: (path) => answer({ items: path.endsWith("/services") ? services : [], resourceVersion: "1" }),
    watch: (_path, _query, _onEvent, signal) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve({ kind: "aborted" }), { once: true })),
    create: unexpected,
    replace: unexpected,
    patch: unexpected,
    delete: unexpected,
    close: () => Promise.resolve(),
  };
}

type Options = {
  readonly services?: readonly object[];
  readonly client?: Partial<KubeClient>;
  readonly over?: (transport: CloudTransport) => CloudTransport;
};

/** One look; `said` are the lines of its log, `seconds` how long it took. */
async function aLook(t: TestContext, { services = [], client = {}, over = (transport) => transport }: Options) {
  const clock = makeVirtualClock();
  const startMs = clock.now();
  const cloud = makeCloud({ clock, profile: "fast", probe: alwaysHealthy });
  t.after(() => cloud.stop());
  cloud.addLoadBalancer({ id: "lb-1" });
  const said: string[] = [];
  const log = makeConsoleLog("warn", (line) => void said.push(line));
  const transport = over(inProcessTransport(cloud));
  const look = planOnce({ client: { ...aClient(services), ...client }, transport, clock, log, settings: SETTINGS });
  const outcome = look.then(
    (rows) => ({ rows, error: undefined }),
    (error: unknown) => ({ rows: [], error }),
  );
  const { rows, error } = await clock.run(outcome, 120_000);
  const message = error instanceof UnreadError ? error.message : String(error);
  return {
    rows: rows.map(({ lane, call, what, why }) => `${lane} ${call} ${what}: ${why}`),
    message,
    said,
    seconds: (clock.now() - startMs) / 1000,
  };
}
const failing =
  (action: string, code: string): NonNullable<Options["over"]> =>
  (transport) =>
  async (service, asked, request, signal) => {
    if (asked === action) throw Object.assign(new Error("no such answer"), { code, requestId: "req-1" });
    return await transport(service, asked, request, signal);
  };
const web = aServiceObject("web", { [EXISTING_LOAD_BALANCER]: "lb-1" });

for (const [action, code, what] of [
  ["DescribeLoadBalancers", "AuthFailure.SignatureFailure", "Service demo/web"],
  ["DescribeLoadBalancers", "ECONNREFUSED", "Service demo/web"],
  ["DescribeListeners", "UnauthorizedOperation", "load balancer lb-1"],
] as const)
  test(`a cloud that answers ${action} with ${code} was not read: the look fails, and names ${what}`, async (t) => {
    const { rows, message, seconds, said } = await aLook(t, { services: [web], over: failing(action, code) });
    assert.deepEqual(rows, []);
    assert.equal(message, `not read: ${what}: ${action} failed: ${code === "ECONNREFUSED" ? "Transport" : code}: no such answer`);
    assert.ok(seconds < 10, `${seconds} s`);
    assert.equal(said.filter((line) => line.startsWith("pass failed")).length, 1, said.join(""));
  });

test("health that cannot be read ends the dry run after a minute, with the action and the code", async (t) => {
  const { message } = await aLook(t, { services: [web], over: failing("DescribeTargetHealth", "UnauthorizedOperation") });
  assert.equal(message, "not read within 60 s: the health of load balancer lb-1; DescribeTargetHealth failed: UnauthorizedOperation");
});

test("a failure that passes is no failure of the dry run", async (t) => {
  let left = 3;
  const { rows, message } = await aLook(t, {
    services: [web],
    over: (transport) => (service, action, request, signal) =>
      left-- > 0
        ? failing(action, "RequestLimitExceeded")(transport)(service, action, request, signal)
        : transport(service, action, request, signal),
  });
  assert.deepEqual([rows.map((row) => row.split(" ")[0]), message], [["structure"], "undefined"]);
});

test("an API server that is away ends the dry run after a minute: its name, and no stack", async (t) => {
  const refused = (): Promise<never> => Promise.reject(new KubeApiError("GET /api", "transport", "ECONNREFUSED 127.0.0.1:1"));
  for (const client of [{ get: refused, list: refused }, { list: refused }]) {
    const { message, seconds, said } = await aLook(t, { client });
    assert.match(message, /^not read within 60 s: .+ of https:\/\/cluster\.test$/);
    assert.ok(seconds >= 60 && seconds < 61, `${seconds} s`);
    assert.ok(said.length >= 1 && said.length < 10, said.join(""));
    assert.match(said[0] ?? "", /^[^{]+: GET \/api: ECONNREFUSED 127\.0\.0\.1:1\n$/);
  }
});

test("what a person has to mend is a row for each", async (t) => {
  const services = [
    aServiceObject("typo", { [DIRECT_ACCESS]: "yes please", [EXISTING_LOAD_BALANCER]: "lb-1" }),
    aServiceObject("gone", { [EXISTING_LOAD_BALANCER]: "lb-gone" }),
    aServiceObject("inner", { "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": "subnet-1" }),
  ];
  const { rows, message } = await aLook(t, { services });
  assert.equal(message, "undefined");
  assert.deepEqual(
    rows.map((row) => row.split(":")[0]).toSorted((one, other) => (String(one) < String(other) ? -1 : 1)),
    [
      "warning InvalidDirectAccess Service demo/typo",
      "warning LoadBalancerNotFound Service demo/gone",
      "warning VpcUnknown Service demo/inner",
    ],
  );
});

test("a load balancer that would be created is a row, and neither a problem nor a line of the log", async (t) => {
  const { rows, said } = await aLook(t, { services: [aServiceObject("new", {})] });
  assert.deepEqual(rows, ["create CreateLoadBalancer 1 load balancer, then its listeners and targets: Service demo/new has none"]);
  assert.deepEqual(said, []);
});
