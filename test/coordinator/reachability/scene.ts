/** One waiting Pod's passes against the emulated VPC, with an agent's answers played by hand, in virtual time. */
import type { TestContext } from "node:test";
import type { GroupVerdict, PodTask, ProbeResult, SecurityGroup } from "../../../common/reachability.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import { makeVpcApi } from "../../../coordinator/cloud/vpc-api.ts";
import type { LoadBalancer } from "../../../coordinator/domain/load-balancer.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { type Asking, makeNodeTasks } from "../../../coordinator/nodes/node-tasks.ts";
import { makeClusterNetworks } from "../../../coordinator/reachability/cluster-networks.ts";
import { makeEniLookup } from "../../../coordinator/reachability/eni-lookup.ts";
import { makeGroupSource } from "../../../coordinator/reachability/group-source.ts";
import { ReachabilityPass } from "../../../coordinator/reachability/reconcile.ts";
import { Enis } from "../../../coordinator/state/enis.ts";
import { Hindrances } from "../../../coordinator/state/hindrances.ts";
import { aListener, anIntent, anOwner, aService, CLUSTER, SERVICE_UID } from "../../builders.ts";
import { makeCloud } from "../../cloud/cloud.ts";
import { inProcessTransport } from "../../cloud/in-process.ts";
import { addGroup, type EniRecord } from "../../cloud/model/network.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { silentLog } from "../pods.ts";

export const never = new AbortController().signal;
export const KEY = "lb-1 TCP:80";
export const ACCEPT_ALL = { action: "ACCEPT", protocol: "ALL", port: "ALL", cidr: "0.0.0.0/0" } as const;

type Options = {
  readonly withoutEnis?: boolean;
  readonly lb?: Partial<LoadBalancer>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly configMaps?: Readonly<Record<string, object>>;
  readonly vpcId?: string;
  /** Families of the load balancers that send to every Pod. */
  readonly families?: readonly ("ipv4" | "ipv6")[];
  /** An action for which the cloud gives an error of this code instead. */
  readonly refused?: Map<string, string>;
};

export function aScene(
  t: TestContext,
  { withoutEnis = false, lb = {}, annotations = {}, configMaps = {}, vpcId, refused = new Map(), families = ["ipv4"] }: Options = {},
) {
  const clock = makeVirtualClock();
  const calls: string[] = [];
  const cloud = makeCloud({ clock, profile: "fast" });
  t.after(() => cloud.stop());
  const { network } = cloud;
  const base = {
    name: "",
    vpcId: "vpc-1",
    subnetId: "subnet-1",
    zone: "z",
    tags: new Map(),
    createdMs: 0,
    type: 0 as const,
    primary: false,
  };
  if (!withoutEnis)
    for (const [index, ips] of [["10.244.1.1", "10.244.1.2"], ["10.244.200.1"]].entries())
      network.enis.set(`eni-${index}`, {
        ...base,
        id: `eni-${index}`,
        mac: `20:90:6f:00:00:0${index}`,
        primaryIp: `10.0.${index}.2`,
        secondaryIps: new Set(ips),
        securityGroupIds: [index === 0 ? "sg-pods" : "sg-node"],
        attachment: { instanceId: "ins-1", deviceIndex: index },
      });
  for (const id of ["sg-pods", "sg-node"]) addGroup(network, id, [ACCEPT_ALL]);
  const toCloud = inProcessTransport(cloud, { name: "test" });
  const rateLimit = new RateLimit(clock, { perSecond: 100, pauseAfterThrottlingMs: 1_000 });
  const api = makeVpcApi({
    clock,
    rateLimit,
    transport: async (service, action, request, signal) => {
      calls.push(action);
      const code = refused.get(action);
      if (code !== undefined) throw Object.assign(new Error("you are not authorized to do that"), { code, requestId: "r-1" });
      return await toCloud(service, action, request, signal);
    },
  });
  const findings = makeNodeTasks(silentLog);
  const asked: Asking[] = [];
  const stream = findings.attach("node-a", async (asking) => void asked.push(asking));
  const enis = new Enis(clock);
  const hindrances = new Hindrances(clock);
  const pods = new Map<string, PodFact>();
  const told: Problem[] = [];
  const judged: string[] = [];
  const read = { isDone: true };
  const loadBalancer: LoadBalancer = {
    loadBalancerId: "lb-1",
    vips: ["198.18.0.1"],
    domain: undefined,
    tags: {},
    listeners: [aListener()],
    ...lb,
  };
  const service = aService({ annotations: { ...aService().annotations, ...annotations } });
  const owners = families.map((family, index) => {
    const intent = { ...anIntent(service), ...(family === "ipv6" && { family }) };
    return anOwner(service, { state: "served", intent, loadBalancerId: `lb-${index + 1}` });
  });
  const get = async (path: string): Promise<never> => {
    const found = configMaps[path.split("/").at(-1) ?? ""];
    if (found === undefined) throw new Error("forbidden");
    return found as never;
  };
  const pass = new ReachabilityPass({
    state: {
      facts: Object({ pods }),
      object: (uid) => (uid === SERVICE_UID ? service : undefined),
      objects: Object({
        nodes: { records: new Map([["n", { uid: "n", name: "node-a", address: "10.0.1.2" }]]) },
      }),
      intents: Object({ selections: { ownersSelecting: () => owners } }),
      mirror: Object({ read: () => (read.isDone ? loadBalancer : undefined) }),
      hindrances,
      listening: new Set<string>(),
    },
    enis,
    eniOf: makeEniLookup({ api, enis, vpcId, clock }),
    groups: makeGroupSource({ api, push: (group) => findings.push(group), clock }),
    networks: makeClusterNetworks({ client: { get }, clock, globalRouterDirectAccess: false }),
    findings,
    clusterId: CLUSTER,
    verdictDelayMs: 30_000,
    onJudged: ({ uid }) => judged.push(uid),
    onVerdict: () => undefined,
    tell: (problem) => {
      if (!told.some(({ message }) => message === problem.message)) told.push(problem);
    },
    clock,
    log: silentLog,
  });
  return {
    clock,
    network,
    api,
    calls,
    told,
    judged,
    hindrances,
    pods,
    pass,
    enis,
    stream,
    read,
    eni: (id: string, change: Partial<EniRecord>) =>
      void network.enis.set(id, {
        ...base,
        id,
        mac: `20:90:6f:00:01:${network.enis.size.toString(16).padStart(2, "0")}`,
        primaryIp: `10.9.${network.enis.size}.2`,
        secondaryIps: new Set(),
        securityGroupIds: ["sg-pods"],
        attachment: undefined,
        ...change,
      }),
    run: (uid = "pod-1") => clock.run(pass.reconcile(uid, never)),
    all: (uids: readonly string[]) => clock.run(Promise.all(uids.map((uid) => pass.reconcile(uid, never)))),
    advance: (ms: number) => clock.run(clock.sleep(ms)),
    groups: (): SecurityGroup[] => asked.flatMap((asking) => (asking.kind === "group" ? [asking.group] : [])),
    task: (): PodTask | undefined => asked.flatMap((asking) => (asking.kind === "tasks" ? asking.pods : [])).at(-1),
    answer: (verdict: GroupVerdict, because = "", probe: ProbeResult = "open") =>
      stream.verdicts([
        {
          uid: "pod-1",
          ports: [
            {
              key: KEY,
              probe,
              probeText: probe === "open" ? "" : "connect ECONNREFUSED",
              sources: [{ kind: "clients", verdict, because }],
            },
          ],
        },
      ]),
  };
}
