import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { isWorking, mayUninstall, removeOwnObjects } from "../../../coordinator/installation/jobs.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";

/** Answers lists and reads by path; what is missing is 404. `deleted` keeps what was deleted. */
function aClient(objects: Readonly<Record<string, unknown>>) {
  const deleted: string[] = [];
  const find = (path: string): unknown => {
    if (objects[path] instanceof Error) throw objects[path];
    if (objects[path] === undefined) throw new KubeApiError(`GET ${path}`, "notFound", "no", { code: 404 });
    return objects[path];
  };
  const client = {
    get: async (path: string) => find(path),
    list: async (path: string) => ({ items: find(path), resourceVersion: "1" }),
    delete: async (path: string) => {
      find(path);
      deleted.push(path);
    },
  } as unknown as KubeClient;
  return { client, deleted };
}
const service = (name: string, ...finalizers: string[]) => ({ metadata: { namespace: "shop", name, finalizers } });
const FINALIZER = "clb-direct.io/load-balancer";

test("an uninstallation is refused where Services with our finalizer were seen, with their names and both ways on", async () => {
  const services = [
    service("web", "other.io/x", FINALIZER),
    service("api"),
    ...Array.from({ length: 12 }, (_, index) => service(`s${index}`, FINALIZER)),
  ];
  const { ok, text } = await mayUninstall(aClient({ "/api/v1/services": services }).client, "lb-system");
  assert.equal(ok, false);
  for (const part of ["13 Service(s)", "shop/web, shop/s0", "and 3 more", "delete them", "RETIRE=keep-traffic", "-n lb-system"])
    assert.ok(text.includes(part), part);
  assert.ok(!text.includes("shop/api"));
});

test("an uninstallation goes on where no Service is held, and where nobody can be asked", async () => {
  assert.equal((await mayUninstall(aClient({ "/api/v1/services": [service("api")] }).client, "x")).ok, true);
  const denied = new KubeApiError("GET /api/v1/services", "denied", "no", { code: 403 });
  const { ok, text } = await mayUninstall(aClient({ "/api/v1/services": denied }).client, "x");
  assert.equal(ok, true);
  assert.match(text, /cannot be listed/);
});

test("what the processes made goes at the end, other objects stay, what is gone already is no fault", async () => {
  const at = "/api/v1/namespaces/lb-system";
  const names = ["kube-root-ca.crt", "clb-direct-ca-bundle", "clb-direct-journal-lb-1", "mine"];
  const { client, deleted } = aClient({
    [`${at}/configmaps`]: names.map((name) => ({ metadata: { name } })),
    ...Object.fromEntries(names.map((name) => [`${at}/configmaps/${name}`, {}])),
    [`${at}/secrets/clb-direct-ca`]: {},
    [`${at}/services/clb-direct-webhook`]: {},
    "/apis/coordination.k8s.io/v1/namespaces/lb-system/leases/clb-direct-leader": {},
  });
  assert.equal((await removeOwnObjects(client, "lb-system", makeVirtualClock(0))).ok, true);
  assert.deepEqual(deleted, [
    `${at}/configmaps/clb-direct-ca-bundle`,
    `${at}/configmaps/clb-direct-journal-lb-1`,
    `${at}/secrets/clb-direct-ca`,
    "/apis/coordination.k8s.io/v1/namespaces/lb-system/leases/clb-direct-leader",
    `${at}/services/clb-direct-webhook`,
  ]);
});

test("what a leader would put back is deleted when it has ended; one that does not end is not waited for", async () => {
  const lease = "/apis/coordination.k8s.io/v1/namespaces/x/leases/clb-direct-leader";
  const webhook = "/api/v1/namespaces/x/services/clb-direct-webhook";
  for (const [endsMs, goneMs] of [
    [7_200, 7_500],
    [Number.POSITIVE_INFINITY, 40_000],
  ] as const) {
    const clock = makeVirtualClock(Date.parse("2026-01-01T00:00:00Z"));
    const startedMs = clock.now();
    const { client, deleted } = aClient({ "/api/v1/namespaces/x/configmaps": [], [webhook]: {}, [lease]: {} });
    const held = () => ({
      spec: {
        holderIdentity: clock.now() - startedMs < endsMs ? "a" : "",
        renewTime: new Date(clock.now()).toISOString(),
        leaseDurationSeconds: 4,
      },
    });
    const reading = { ...client, get: async () => held() } as unknown as KubeClient;
    await clock.run(removeOwnObjects(reading, "x", clock), 60_000);
    assert.deepEqual([clock.now() - startedMs, deleted], [goneMs, [lease, webhook]]);
  }
});

test("an installation works when somebody leads and every agent is acknowledged", async () => {
  const nowMs = Date.parse("2026-01-01T00:00:10Z");
  const verdict = async (spec: object, status: object) => {
    const { client } = aClient({
      "/apis/coordination.k8s.io/v1/namespaces/x/leases/clb-direct-leader": { spec },
      "/apis/apps/v1/namespaces/x/daemonsets/clb-direct-agent": { status },
    });
    return await isWorking(client, "x", nowMs);
  };
  const held = { holderIdentity: "pod-a_1", renewTime: "2026-01-01T00:00:08.000000Z", leaseDurationSeconds: 4 };
  assert.deepEqual(await verdict(held, { desiredNumberScheduled: 2, numberReady: 2 }), {
    ok: true,
    text: "pod-a_1 leads, and 2 of 2 agents are acknowledged",
  });
  assert.equal((await verdict(held, { desiredNumberScheduled: 2, numberReady: 1 })).ok, false);
  assert.equal((await verdict(held, { desiredNumberScheduled: 0, numberReady: 0 })).ok, false, "on no node at all");
  for (const [change, what] of [
    [{ holderIdentity: "" }, "nobody's"],
    [{ renewTime: "2026-01-01T00:00:05Z" }, "pod-a_1's, renewed"],
  ] as const)
    assert.match((await verdict({ ...held, ...change }, { desiredNumberScheduled: 1, numberReady: 1 })).text, new RegExp(what));
});
