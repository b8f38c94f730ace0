/** Rollouts with readiness gates on simulated nodes; what the endpoint slice controller makes of them. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { makeClock } from "../../../common/clock.ts";
import { until } from "../../cluster/process.ts";
import { kubeletUser } from "../../cluster/real/certificates.ts";
import { untilSchedulable } from "../../cluster/real/schedulable.ts";
import { isReady, isTrue, type Pod } from "../../cluster/simulated/objects.ts";
import { startSimulatedCluster } from "../../cluster/simulated/start.ts";
import { aPod, type Behaviours, condition, GATE, type OnReal, type Subject, within } from "./suite.ts";

export function registerControllers({ both, real }: Behaviours): void {
  both("a rolling update waits for the gate of each new Pod before it ends an old one", rollout);
  real("an EndpointSlice shows Ready only, never a gate; a Pod that ends is serving and terminating", conditions);
  real("publishNotReadyAddresses makes every endpoint ready, to its end", publishNotReady);
  real("a Pod that lacks a named port is listed in a slice without ports", namedPorts);
}

async function rollout(subject: Subject, t: TestContext): Promise<void> {
  const { client, plan, namespace, server, cluster } = subject;
  const nodes = ["node-a", "node-b"];
  const simulated = await startSimulatedCluster({
    client,
    clock: makeClock(),
    log: pino({ level: "error" }, process.stderr),
    plan,
    nodes,
    ...(server === "real" && { controllers: [], kubeletClient: (name: string) => cluster.client(kubeletUser(name)) }),
  });
  t.after(() => simulated.stop());
  if (server === "real") await untilSchedulable(client, nodes);
  const { deployments, pods } = within(await namespace());
  const env = [{ name: "STARTUP_SECONDS", value: "0.1" }];
  const containers = [{ name: "web", image: "web:1", ports: [{ containerPort: 8080 }], env }];
  const labels = { app: "web" };
  await client.create(deployments, {
    metadata: { name: "web" },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels },
        spec: { readinessGates: [{ conditionType: GATE }], terminationGracePeriodSeconds: 1, containers },
      },
    },
  });
  const look = async (): Promise<readonly Pod[]> => (await client.list<Pod>(pods)).items;
  const imageOf = ({ spec }: Pod): string | undefined => spec.containers[0]?.image;
  const waiting = ({ status, metadata }: Pod): boolean =>
    metadata.deletionTimestamp === undefined && isTrue(status?.conditions, "ContainersReady") && !isTrue(status?.conditions, GATE);
  const open = async ({ metadata }: Pod): Promise<void> =>
    void (await client.patch(
      `${pods}/${metadata.name}/status`,
      { metadata: { uid: metadata.uid }, ...condition(GATE, "True") },
      "strategic",
    ));
  await until("2 Pods wait for their gates", async () => (await look()).filter(waiting).length === 2);
  assert.equal((await look()).some(isReady), false);
  for (const pod of await look()) await open(pod);
  await until("both are ready", async () => (await look()).filter(isReady).length === 2);
  await client.patch(
    `${deployments}/web`,
    { spec: { template: { spec: { containers: [{ name: "web", image: "web:2" }] } } } },
    "strategic",
  );
  for (const step of [1, 2]) {
    const [next] = await until(`new Pod ${step} waits`, async () => {
      const found = (await look()).filter((pod) => imageOf(pod) === "web:2" && waiting(pod));
      return found.length > 0 && found;
    });
    assert.ok(next);
    await sleep(1_000);
    const living = (await look()).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    assert.deepEqual([living.filter((pod) => imageOf(pod) === "web:1").length, living.length], [3 - step, 3], "nothing moves");
    await open(next);
  }
  await until("only new Pods are left, and ready", async () => {
    const all = await look();
    return all.length === 2 && all.every((pod) => imageOf(pod) === "web:2" && isReady(pod));
  });
  await client.delete(`${deployments}/web`, { propagationPolicy: "Background" });
  await until("all Pods are gone", async () => (await look()).length === 0, 20_000);
}

type Slice = {
  readonly ports: readonly { readonly port: number; readonly name?: string }[] | null;
  readonly endpoints: readonly {
    readonly conditions: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
    readonly targetRef: { readonly name: string };
  }[];
};

/** The controller leaves out Pods of a Node that does not exist. */
async function makeNode({ client }: OnReal, name: string): Promise<string> {
  await client.create("/api/v1/nodes", { metadata: { name } });
  return name;
}

/** ready/serving/terminating of a Pod in the slices of a Service, e.g. "F/T/T"; "absent". */
async function shown({ client }: OnReal, slices: string, service: string, pod: string): Promise<string> {
  const { items } = await client.list<Slice>(slices, { labelSelector: `kubernetes.io/service-name=${service}` });
  const found = items.flatMap(({ endpoints }) => endpoints ?? []).find(({ targetRef }) => targetRef.name === pod);
  if (found === undefined) return "absent";
  const { ready, serving, terminating } = found.conditions;
  return [ready, serving, terminating].map((one) => (one === true ? "T" : "F")).join("/");
}

/** The status that a kubelet would write. */
const statusOf = (ip: string, conditions: Readonly<Record<string, boolean>>, phase = "Running"): object => ({
  status: {
    phase,
    podIP: ip,
    podIPs: [{ ip }],
    conditions: Object.entries(conditions).map(([type, is]) => ({ type, status: is ? "True" : "False" })),
  },
});

/** Steps in the life of a gated Pod, and what the slices of an ordinary Service and of one with publishNotReadyAddresses show. Source: kubernetes.md §1. */
const LIFE: readonly (readonly [string, Readonly<Record<string, boolean>>, string, string])[] = [
  ["containers not ready", { ContainersReady: false, Ready: false }, "F/F/F", "T/F/F"],
  ["containers ready, gate missing", { ContainersReady: true }, "F/F/F", "T/F/F"],
  ["gate True, the kubelet has not written Ready yet", { [GATE]: true }, "F/F/F", "T/F/F"],
  ["gate True, Ready True", { Ready: true }, "T/T/F", "T/T/F"],
  ["gate False again, Ready still True", { [GATE]: false }, "T/T/F", "T/T/F"],
];

async function live(subject: OnReal, service: object, column: 2 | 3, endings: readonly [string, string, string]): Promise<void> {
  const { client, namespace, plan } = subject;
  const name = await namespace();
  const { services, slices, pods } = within(name);
  const nodeName = await makeNode(subject, `node-of-${name}`);
  const ip = plan.podAddresses.at(-1) ?? "";
  await client.create(services, { metadata: { name: "s" }, spec: { selector: { app: "x" }, ports: [{ port: 80 }], ...service } });
  await client.create(pods, aPod("p", { nodeName, readinessGates: [{ conditionType: GATE }] }, { labels: { app: "x" } }));
  const is = async (what: string, wanted: string): Promise<void> => {
    await sleep(150); // what must not change has had time to; idle lag is 3 to 7 ms
    await until(`${what}: the slice shows ${wanted}`, async () => (await shown(subject, slices, "s", "p")) === wanted, 5_000);
  };
  await is("no IP", "absent");
  for (const [what, conditions, ...wanted] of LIFE) {
    await client.patch(`${pods}/p/status`, statusOf(ip, conditions), "strategic");
    await is(what, wanted[column - 2] ?? "");
  }
  await client.delete(`${pods}/p`);
  await is("terminating, still ready", endings[0]);
  await client.patch(`${pods}/p/status`, statusOf(ip, { Ready: false }), "strategic");
  await is("terminating, not ready", endings[1]);
  await client.patch(`${pods}/p/status`, statusOf(ip, {}, "Succeeded"), "strategic");
  await is("terminating, over", endings[2]);
  assert.ok(await client.get(`${pods}/p`), "the object is still there");
}

const conditions = (subject: OnReal): Promise<void> => live(subject, {}, 2, ["F/T/T", "F/F/T", "absent"]);
const publishNotReady = (subject: OnReal): Promise<void> =>
  live(subject, { publishNotReadyAddresses: true }, 3, ["T/T/T", "T/F/T", "absent"]);

async function namedPorts(subject: OnReal): Promise<void> {
  const { client, namespace, plan } = subject;
  const name = await namespace();
  const { services, slices, pods } = within(name);
  const nodeName = await makeNode(subject, `node-of-${name}`);
  const ports = [{ port: 80, targetPort: "http" }];
  await client.create(services, { metadata: { name: "s" }, spec: { selector: { app: "x" }, ports } });
  for (const [index, port] of [8080, 9090, undefined].entries()) {
    const container = { name: "app", image: "app:1", ports: port === undefined ? [] : [{ name: "http", containerPort: port }] };
    await client.create(pods, aPod(`p-${index}`, { nodeName, containers: [container] }, { labels: { app: "x" } }));
    await client.patch(`${pods}/p-${index}/status`, statusOf(plan.podAddresses[190 + index] ?? "", { Ready: true }), "strategic");
  }
  const byPort = async (): Promise<string> => {
    const { items } = await client.list<Slice>(slices, { labelSelector: "kubernetes.io/service-name=s" });
    const lines = items.flatMap((slice) =>
      (slice.endpoints ?? []).map(({ targetRef }) => `${targetRef.name}:${slice.ports?.[0]?.port ?? "none"}`),
    );
    return lines.sort().join(" ");
  };
  let seen = "";
  await until(
    () => `three slices, there are ${seen}`,
    async () => (seen = await byPort()) === "p-0:8080 p-1:9090 p-2:none",
    5_000,
  );
}
