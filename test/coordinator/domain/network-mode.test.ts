import assert from "node:assert/strict";
import { test } from "node:test";
import type { InterfaceKind, PodFact } from "../../../common/vocabulary.ts";
import { type ClusterDefault, networkModeOf, refusalOf } from "../../../coordinator/domain/network-mode.ts";
import { aPod } from "../../builders.ts";

const named = (name: string): ClusterDefault => ({ kind: "named", name });
const ABSENT: ClusterDefault = { kind: "absent" };
const UNREADABLE: ClusterDefault = { kind: "unreadable", because: "forbidden" };
const asking = (...asked: string[]): Partial<PodFact> => ({ networks: { asked, statusName: "", statusMac: "", fault: "" } });
const given = (statusName: string): Partial<PodFact> => ({ networks: { asked: [], statusName, statusMac: "", fault: "" } });
const over = (kind: InterfaceKind): Partial<PodFact> => ({ hostInterface: { name: "eth1", mac: "", kind, table: 4_002 } });
const PERMIT = { allowed: true, because: "" };
const NO_PERMIT = { allowed: false, because: "GlobalRouteDirectAccess is off" };

const cases: readonly [name: string, pod: Partial<PodFact>, clusterDefault: ClusterDefault, mode: string, refused: boolean][] = [
  ["hostNetwork before all", { hostNetwork: true, ...asking("tke-route-eni") }, named("tke-bridge"), "hostNetwork", false],
  ["the annotation before the default", asking("tke-route-eni"), named("tke-bridge"), "tke-route-eni", false],
  ["the first of several networks", asking("tke-direct-eni", "tke-bridge"), ABSENT, "tke-direct-eni", false],
  ["an annotation that nobody knows", asking("my-net"), named("tke-bridge"), "unresolved", false],
  ["an annotation that JavaScript knows", asking("constructor"), named("tke-bridge"), "unresolved", false],
  ["what multus wrote before the default", given("tke-sub-eni"), named("tke-bridge"), "tke-sub-eni", false],
  ["the cluster's default before the kernel", over("bridge"), named("tke-route-eni"), "tke-route-eni", false],
  ["a default of GlobalRouter without permission", {}, named("tke-bridge"), "tke-bridge", true],
  ["an annotation of GlobalRouter without permission", asking("tke-bridge"), ABSENT, "tke-bridge", true],
  ["no ConfigMap: the kernel", over("eni"), ABSENT, "tke-route-eni", false],
  ["no ConfigMap and nothing seen: VPC-CNI", {}, ABSENT, "tke-route-eni", false],
  ["no ConfigMap, a bridge seen: GlobalRouter, which is not refused for that", over("bridge"), ABSENT, "tke-bridge", false],
  ["an unreadable ConfigMap and nothing seen", {}, UNREADABLE, "unresolved", false],
  ["an unreadable ConfigMap and an ENI in the Pod", over("pod"), UNREADABLE, "tke-direct-eni", false],
  ["a VLAN seen", over("sub-eni"), UNREADABLE, "tke-sub-eni", false],
  ["a Cilium overlay as default", {}, named("cilium-overlay"), "cilium-overlay", true],
  ["an overlay's tunnel seen", over("overlay"), ABSENT, "cilium-overlay", true],
  ["an old agent that says no kind", over("unknown"), ABSENT, "unresolved", false],
  ["a default that nobody knows", over("eni"), named("flannel"), "unresolved", false],
];
for (const [name, change, clusterDefault, mode, refused] of cases)
  test(`network mode: ${name}: ${mode}${refused ? ", refused" : ""}`, () => {
    const pod = aPod(change);
    const resolved = networkModeOf(pod, clusterDefault);
    assert.equal(resolved.mode, mode);
    assert.notEqual(resolved.because, "");
    assert.equal(refusalOf(pod, resolved, NO_PERMIT) !== undefined, refused);
    if (mode === "tke-bridge") assert.equal(refusalOf(pod, resolved, PERMIT), undefined);
  });
