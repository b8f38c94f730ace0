import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fenceposts } from "./fenceposts.ts";
import { type Deployment, isActive, isReady, kubernetesTime, type Pod, type ReplicaSet } from "./objects.ts";
import { planReplicaSet } from "./plan-replica-set.ts";
import { HASH_LABEL, planRollout, REVISION, templateHash } from "./plan-rollout.ts";

const T0 = Date.parse("2026-11-21T09:00:00Z");

type Shape = { replicas?: number; maxSurge?: number | string; maxUnavailable?: number | string; minReadySeconds?: number; image?: string };

function aDeployment(shape: Shape = {}): Deployment {
  const { replicas = 6, maxSurge = 2, maxUnavailable = 0, minReadySeconds = 0, image = "web:1" } = shape;
  return {
    metadata: { name: "web", namespace: "demo", uid: "d-1", generation: 1 },
    spec: {
      replicas,
      minReadySeconds,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image }] } },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge, maxUnavailable } },
    },
  };
}

/** A cluster without an API: what the loop in deployments.ts does with the plans, and Pods that get ready when told. */
class World {
  deployment: Deployment;
  sets: ReplicaSet[] = [];
  pods: Pod[] = [];
  nowMs = T0;
  #born = 0;

  constructor(deployment: Deployment) {
    this.deployment = deployment;
  }

  /** One look of the controllers; true if they did something. */
  step(): boolean {
    const plan = planRollout(this.deployment, this.sets, this.pods, this.nowMs);
    for (const action of plan.actions) {
      if (action.kind === "create") this.sets.push(this.#newSet(action));
      else if (action.kind === "scale") this.#change(action.name, (set) => ({ ...set, spec: { ...set.spec, replicas: action.replicas } }));
      else if (action.kind === "delete") this.sets = this.sets.filter((set) => set.metadata.name !== action.name);
      else
        this.#change(action.name, (set) => ({
          ...set,
          metadata: { ...set.metadata, annotations: { [REVISION]: action.revision } },
        }));
    }
    this.deployment = { ...this.deployment, status: plan.status };
    let acted = plan.actions.length > 0;
    for (const set of this.sets) {
      const { create, remove } = planReplicaSet(set, this.pods, this.nowMs);
      for (let index = 0; index < create; index++) this.pods.push(this.#newPod(set));
      this.pods = this.pods.filter((pod) => !remove.includes(pod));
      acted ||= create > 0 || remove.length > 0;
    }
    return acted;
  }

  settle(): void {
    for (let steps = 0; this.step(); steps++) assert.ok(steps < 50, "the plan does not come to rest");
  }

  makeReady(count: number): void {
    for (const pod of this.pods.filter((candidate) => !isReady(candidate)).slice(0, count)) this.#setReady(pod, "True");
  }

  update(change: Shape): void {
    const next = aDeployment({ ...change });
    this.deployment = {
      ...next,
      metadata: { ...next.metadata, generation: 2 },
      ...(this.deployment.status && { status: this.deployment.status }),
    };
  }

  ready = (): number => this.pods.filter(isReady).length;
  #change(name: string, change: (set: ReplicaSet) => ReplicaSet): void {
    this.sets = this.sets.map((set) => (set.metadata.name === name ? change(set) : set));
  }
  #setReady(pod: Pod, status: string): void {
    const condition = { type: "Ready", status, lastTransitionTime: kubernetesTime(this.nowMs) };
    this.pods[this.pods.indexOf(pod)] = { ...pod, status: { phase: "Running", conditions: [condition] } };
  }
  #newSet(action: { name: string; hash: string; replicas: number; revision: string }): ReplicaSet {
    const { selector, template, minReadySeconds = 0 } = this.deployment.spec;
    return {
      metadata: {
        name: action.name,
        uid: `rs-${action.name}`,
        labels: { [HASH_LABEL]: action.hash },
        annotations: { [REVISION]: action.revision },
        ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "d-1", controller: true }],
      },
      spec: { replicas: action.replicas, selector, template, minReadySeconds },
    };
  }
  #newPod(set: ReplicaSet): Pod {
    const name = `${set.metadata.name}-${++this.#born}`;
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: set.metadata.name, uid: set.metadata.uid, controller: true };
    return {
      metadata: { name, uid: name, ownerReferences: [owner] },
      spec: { ...set.spec.template.spec, nodeName: "node-a" },
      status: { phase: "Running" },
    };
  }
}

function aRunningWorld(shape: Shape = {}): World {
  const world = new World(aDeployment(shape));
  world.settle();
  world.makeReady(100);
  world.settle();
  return world;
}

suite("fenceposts round as Kubernetes does", () => {
  const cases = [
    [{ replicas: 6, maxSurge: 2, maxUnavailable: 0 }, 2, 0],
    [{ replicas: 10, maxSurge: "25%", maxUnavailable: "25%" }, 3, 2],
    [{ replicas: 3, maxSurge: "10%", maxUnavailable: "10%" }, 1, 0],
    [{ replicas: 3, maxSurge: 0, maxUnavailable: "10%" }, 0, 1],
    [{ replicas: 2, maxSurge: 0, maxUnavailable: 5 }, 0, 2],
  ] as const;
  for (const [shape, maxSurge, maxUnavailable] of cases)
    test(JSON.stringify(shape), () => assert.deepEqual(fenceposts(aDeployment(shape)), { maxSurge, maxUnavailable }));
});

suite("a rollout keeps its limits whatever becomes ready when, and ends with only new Pods", () => {
  const shapes: Shape[] = [
    { replicas: 6, maxSurge: 2, maxUnavailable: 0 },
    { replicas: 6, maxSurge: 0, maxUnavailable: 2 },
    { replicas: 10, maxSurge: "25%", maxUnavailable: "25%" },
    { replicas: 1, maxSurge: 1, maxUnavailable: 0 },
    { replicas: 4, maxSurge: "100%", maxUnavailable: "50%" },
  ];
  for (const shape of shapes)
    for (const readyAtOnce of [1, 3])
      test(`${JSON.stringify(shape)}, ${readyAtOnce} ready at once`, () => {
        const world = aRunningWorld(shape);
        world.update({ ...shape, image: "web:2" });
        const { maxSurge, maxUnavailable } = fenceposts(world.deployment);
        const wanted = world.deployment.spec.replicas ?? 1;
        for (let looks = 0; looks < 200; looks++) {
          const acted = world.step();
          assert.ok(world.ready() >= wanted - maxUnavailable, `${world.ready()} of ${wanted} ready, ${maxUnavailable} may be unavailable`);
          assert.ok(world.pods.length <= wanted + maxSurge, `${world.pods.length} Pods, at most ${wanted + maxSurge} allowed`);
          if (!acted && world.ready() === world.pods.length) break;
          if (!acted) world.makeReady(readyAtOnce);
        }
        assert.deepEqual(new Set(world.pods.map((pod) => pod.spec.containers[0]?.image)), new Set(["web:2"]));
        assert.equal(world.pods.length, wanted);
        const plan = planRollout(world.deployment, world.sets, world.pods, world.nowMs);
        assert.deepEqual(plan.actions, [], "a finished rollout plans nothing");
        assert.deepEqual(plan.status, world.deployment.status, "a finished rollout writes no status");
        assert.equal(plan.status.conditions?.find(({ type }) => type === "Progressing")?.reason, "NewReplicaSetAvailable");
      });
});

test("touches no old Pod while a gate keeps the new ones from being ready", () => {
  const world = aRunningWorld();
  const before = new Set(world.pods);
  world.update({ image: "web:2" });
  world.settle();
  assert.equal(world.pods.length, 8);
  assert.deepEqual(new Set(world.pods.filter(isReady)), before);
  world.nowMs += 601_000;
  world.settle();
  const progressing = world.deployment.status?.conditions?.find(({ type }) => type === "Progressing");
  assert.equal(progressing?.reason, "ProgressDeadlineExceeded");
  assert.deepEqual(new Set(world.pods.filter(isReady)), before);
});

test("replaces Pods that never got ready first, but no more at a time than may be unavailable", () => {
  const shape = { replicas: 6, maxSurge: 0, maxUnavailable: 2 };
  const world = new World(aDeployment(shape));
  world.settle();
  world.makeReady(2);
  world.update({ ...shape, image: "web:2" });
  world.settle();
  const old = world.pods.filter((pod) => pod.spec.containers[0]?.image === "web:1");
  assert.deepEqual([world.pods.length, old.length, old.filter(isReady).length], [6, 4, 2]);
});

test("waits minReadySeconds after Ready and says when to look again", () => {
  const world = aRunningWorld({ minReadySeconds: 5 });
  world.nowMs += 10_000;
  world.settle();
  world.update({ minReadySeconds: 5, image: "web:2" });
  world.settle();
  world.makeReady(2);
  world.settle();
  assert.equal(world.pods.length, 8, "new Pods are ready but not yet available");
  assert.equal(planRollout(world.deployment, world.sets, world.pods, world.nowMs).lookAgainAtMs, world.nowMs + 5000);
  world.nowMs += 5000;
  world.step();
  assert.equal(world.pods.filter((pod) => pod.spec.containers[0]?.image === "web:1").length, 4);
});

test("scales up at once, and down by deleting Pods that are not ready first", () => {
  const world = aRunningWorld();
  world.update({ replicas: 8 });
  world.settle();
  assert.equal(world.pods.length, 8);
  world.makeReady(1);
  world.update({ replicas: 6 });
  world.settle();
  assert.equal(world.pods.length, 6);
  assert.equal(world.ready(), 6);
  assert.ok(world.pods.every(isActive));
});

test("rolls back to the ReplicaSet it already has, as the newest revision", () => {
  const world = aRunningWorld();
  world.update({ image: "web:2" });
  world.settle();
  world.update({ image: "web:1" });
  world.settle();
  assert.equal(world.sets.length, 2);
  const current = world.sets.find((set) => set.metadata.labels?.[HASH_LABEL] === templateHash(world.deployment.spec.template));
  assert.equal(current?.metadata.annotations?.[REVISION], "3");
  assert.equal(world.pods.length, 6);
  assert.equal(world.ready(), 6);
});

test("deletes the cheaper of two ready Pods, and the unscheduled one before both", () => {
  const world = aRunningWorld({ replicas: 3 });
  const [set] = world.sets;
  assert.ok(set);
  const pods = world.pods.map((pod, index): Pod => {
    const cost = String([30, 10, 1000][index]);
    const metadata = { ...pod.metadata, annotations: { "controller.kubernetes.io/pod-deletion-cost": cost } };
    const { nodeName: _, ...unscheduled } = pod.spec;
    return { ...pod, metadata, spec: index === 2 ? unscheduled : pod.spec };
  });
  const order = planReplicaSet({ ...set, spec: { ...set.spec, replicas: 1 } }, pods, T0).remove;
  assert.deepEqual(
    order.map((pod) => pod.metadata.name),
    [pods[2], pods[1]].map((pod) => pod?.metadata.name),
  );
});
