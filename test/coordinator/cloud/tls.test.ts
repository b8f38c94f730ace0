import assert from "node:assert/strict";
import { test } from "node:test";
import { listenerName } from "../../../common/names.ts";
import type { WantedListener } from "../../../coordinator/domain/intent/desired-load-balancer.ts";
import type { Certificate, ListenerProtocol } from "../../../coordinator/domain/load-balancer.ts";
import { planLoadBalancer } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import { aBackend, aDesired, aWantedHttpListener, aWantedRule, CLUSTER, SERVICE_UID } from "../../builders.ts";
import { aCertificate, aClientAuthority } from "../../certificates.ts";
import { aStage, type Stage } from "../stage.ts";

const certificates = await Promise.all([
  aCertificate("cert-a"),
  aCertificate("cert-b"),
  aCertificate("cert-c"),
  aClientAuthority("cert-ca"),
]);
const by = (...certIds: string[]) => ({ certIds });

const https = (change: Partial<WantedListener>): WantedListener =>
  aWantedHttpListener({ name: listenerName(CLUSTER, SERVICE_UID, "HTTPS", 443), protocol: "HTTPS", port: 443, ...change });
const layer4 = (protocol: ListenerProtocol, port: number, change: Partial<WantedListener>): WantedListener => {
  const { rules: _, ...bare } = aWantedHttpListener({ name: listenerName(CLUSTER, SERVICE_UID, protocol, port), protocol, port });
  return { ...bare, backends: [aBackend()], ...change };
};
const rule = (domain: string, change: Parameters<typeof aWantedRule>[0] = {}) => aWantedRule({ domain, backends: [aBackend()], ...change });

/** Plans and writes until nothing is left, then reads: a read asks for no write. Returns the actions. */
async function carryOut(stage: Stage, id: string, listeners: readonly WantedListener[]): Promise<string[]> {
  const desired = aDesired({ loadBalancerId: id, listeners });
  const plan = () => {
    const actual = stage.mirror.read(id);
    assert.ok(actual !== undefined);
    const holderOf = (ip: string) => ({ kind: "live", podUid: stage.addressClaims.podOf(id, ip) ?? "" }) as const;
    return planLoadBalancer({ clusterId: CLUSTER, desired, actual, holderOf, serving: () => true, drained: () => true }).calls;
  };
  const from = stage.calls.length;
  for (let turn = 0; turn < 30; turn++) {
    const [call] = plan();
    if (call === undefined) break;
    await stage.finish(stage.writer.make(id, call, stage.signal));
    await stage.clock.advance(1_500);
  }
  const actions = stage.calls.slice(from).flatMap(({ action }) => (/^(Create|Modify|Delete)/.test(action) ? action : []));
  const known = stage.mirror.read(id)?.listeners;
  await stage.fill(id);
  assert.deepEqual(plan(), []);
  assert.deepEqual(tlsOf(stage, id), tlsIn(known ?? []), "what was written is what is read");
  return actions;
}
const tlsIn = (listeners: NonNullable<ReturnType<Stage["mirror"]["listeners"]>>) =>
  listeners.flatMap(({ protocol, certificate, keepalive, rules }) => [
    { protocol, certificate, keepalive },
    ...rules.map((one) => ({ domain: one.domain, certificate: one.certificate, http2: one.http2, settings: one.settings })),
  ]);
const tlsOf = (stage: Stage, id: string) => tlsIn(stage.mirror.listeners(id) ?? []);

test("each domain of an HTTPS listener has its certificate; a swapped one is one write for all rules of the domain", async (t) => {
  const stage = aStage(t, { certificates });
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  const rules = [
    rule("a.example.com", { certificate: by("cert-a") }),
    rule("a.example.com", { certificate: by("cert-a"), url: "/cart" }),
    rule("b.example.com", { certificate: { certIds: ["cert-b"], caCertId: "cert-ca" }, http2: true }),
  ];
  assert.deepEqual(await carryOut(stage, id, [https({ rules })]), ["CreateListener", "CreateRule"]);
  const shown = tlsOf(stage, id).map(({ certificate }) => certificate);
  assert.deepEqual(shown, [undefined, by("cert-a"), by("cert-a"), { certIds: ["cert-b"], caCertId: "cert-ca" }]);

  const swapped = rules.map((one) => (one.domain === "a.example.com" ? { ...one, certificate: by("cert-c") } : one));
  assert.deepEqual(await carryOut(stage, id, [https({ rules: swapped })]), ["ModifyDomainAttributes"]);
  assert.deepEqual(
    tlsOf(stage, id).flatMap(({ certificate }) => certificate?.certIds ?? []),
    ["cert-c", "cert-c", "cert-b"],
  );
  const tuned = swapped.map((one) => ({ ...one, http2: false, settings: { sessionSeconds: 60, forwardType: "HTTPS" } }));
  assert.deepEqual(await carryOut(stage, id, [https({ rules: tuned, keepalive: true, defaultDomain: "B.example.com" })]), [
    "ModifyListener",
    "ModifyDomainAttributes",
    "ModifyRule",
    "ModifyRule",
    "ModifyRule",
  ]);
  assert.deepEqual(
    stage.mirror.listeners(id)?.[0]?.rules.flatMap((one) => (one.isDefault ? one.domain : [])),
    ["b.example.com"],
  );
});

test("TCP_SSL and QUIC on one port number, beside each other; their certificates follow", async (t) => {
  const stage = aStage(t, { certificates });
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  const both = (certificate: Certificate) => [layer4("TCP_SSL", 443, { certificate }), layer4("QUIC", 443, { certificate })];
  assert.deepEqual(await carryOut(stage, id, both(by("cert-a"))), ["CreateListener", "CreateListener"]);
  assert.deepEqual(await carryOut(stage, id, both(by("cert-b"))), ["ModifyListener", "ModifyListener"]);
  assert.deepEqual(
    tlsOf(stage, id).map(({ certificate }) => certificate),
    [by("cert-b"), by("cert-b")],
  );
});

test("without its certificate a listener or rule is not made and its neighbours are; what is there stays", async (t) => {
  const stage = aStage(t, { certificates });
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  const lacksCertificate = true;
  const bare = [
    layer4("TCP_SSL", 8443, { lacksCertificate }),
    https({ rules: [rule("a.example.com", { lacksCertificate }), rule("b.example.com", { certificate: by("cert-b") })] }),
    layer4("TCP", 80, {}),
  ];
  assert.deepEqual(await carryOut(stage, id, bare), ["CreateListener", "CreateListener", "CreateRule"]);
  const names = () => stage.mirror.listeners(id)?.flatMap(({ protocol, rules }) => [protocol, ...rules.map(({ domain }) => domain)]);
  assert.deepEqual(names(), ["HTTPS", "b.example.com", "TCP"]);
  const none = [https({ rules: [rule("b.example.com", { lacksCertificate })] }), layer4("TCP", 80, {})];
  assert.deepEqual(await carryOut(stage, id, none), []);
  assert.deepEqual(names(), ["HTTPS", "b.example.com", "TCP"]);
});

test("an HTTPS listener of which no domain has a certificate is not made", async (t) => {
  const stage = aStage(t, { certificates });
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  assert.deepEqual(await carryOut(stage, id, [https({ rules: [rule("a.example.com", { lacksCertificate: true })] })]), []);
});

test("a certificate that the account does not have stops only its listener", async (t) => {
  const stage = aStage(t, { certificates });
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  const call = {
    lane: "structure",
    create: { protocol: "TCP_SSL", certificate: by("cert-none"), healthCheck: {}, listeners: [{ name: "n", port: 443 }] },
  } as const;
  await assert.rejects(stage.finish(stage.writer.make(id, call, stage.signal)), /cert-none does not exist/);
});
