import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  authoritiesIn,
  type CertificateFault,
  certificateFault,
  isIssuedBy,
  issueAuthority,
  issueServing,
  namesOf,
} from "../../../coordinator/tls/certificate.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 0, 1);
const NAMES = ["coordinator.clb-direct.svc", "127.0.0.1"];

const authority = await issueAuthority(NOW_MS);
const stranger = await issueAuthority(NOW_MS);
const leaf = await issueServing(authority, ["coordinator.clb-direct.svc", "*.pods.svc"], ["127.0.0.1", "fd00::1"], NOW_MS);
const good = { ...leaf, caPem: authority.certPem };

const cases: { why: string; material?: Partial<typeof good>; atMs?: number; names?: string[]; fault: CertificateFault | undefined }[] = [
  { why: "a fresh one is good", fault: undefined },
  { why: "one of several authorities suffices", material: { caPem: stranger.certPem + authority.certPem }, fault: undefined },
  { why: "a wildcard covers one label", names: ["a.pods.svc"], fault: undefined },
  { why: "a wildcard that is wanted itself is found", names: ["*.pods.svc"], fault: undefined },
  { why: "a wildcard that it lacks", names: ["*.other.svc"], fault: "wrong-name" },
  { why: "IPv6 addresses are covered", names: ["fd00::1"], fault: undefined },
  { why: "text that is no certificate", material: { certPem: "garbage" }, fault: "unparsable" },
  { why: "no text at all", material: { certPem: "" }, fault: "unparsable" },
  { why: "another one's key", material: { keyPem: stranger.keyPem }, fault: "key-mismatch" },
  { why: "a key that does not parse", material: { keyPem: "garbage" }, fault: "key-mismatch" },
  { why: "an authority of the same name with another key", material: { caPem: stranger.certPem }, fault: "wrong-issuer" },
  { why: "no authority", material: { caPem: "" }, fault: "wrong-issuer" },
  { why: "a missing DNS name", names: ["other.svc"], fault: "wrong-name" },
  { why: "a missing address", names: ["10.0.0.1"], fault: "wrong-name" },
  { why: "before its time", atMs: NOW_MS - DAY_MS, fault: "not-yet-valid" },
  { why: "just before two thirds of its life", atMs: NOW_MS + 59 * DAY_MS, fault: undefined },
  { why: "after two thirds of its life", atMs: NOW_MS + 61 * DAY_MS, fault: "near-expiry" },
  { why: "after its end", atMs: NOW_MS + 90 * DAY_MS, fault: "expired" },
];
for (const { why, material, atMs, names, fault } of cases)
  test(`certificate fault: ${why}`, () => {
    assert.equal(certificateFault({ ...good, ...material }, atMs ?? NOW_MS, names ?? NAMES), fault);
  });

test("an authority is judged by itself, and a leaf is no authority", () => {
  assert.equal(certificateFault({ ...authority, caPem: authority.certPem }, NOW_MS, []), undefined);
  assert.equal(certificateFault({ ...authority, caPem: authority.certPem }, NOW_MS + 250 * DAY_MS, []), "near-expiry");
  assert.equal(isIssuedBy(leaf.certPem, leaf.certPem), false);
});

test("a leaf does not outlive its authority", async () => {
  const late = await issueServing(authority, ["x"], [], NOW_MS + 364 * DAY_MS);
  assert.equal(certificateFault({ ...late, caPem: authority.certPem }, NOW_MS + 365 * DAY_MS, ["x"]), "expired");
});

test("the names of a certificate come back", () => {
  assert.deepEqual(namesOf(leaf.certPem), {
    dnsNames: ["coordinator.clb-direct.svc", "*.pods.svc"],
    ipAddresses: ["127.0.0.1", "FD00:0:0:0:0:0:0:1"],
  });
  assert.deepEqual(namesOf("garbage"), { dnsNames: [], ipAddresses: [] });
});

test("a bundle yields each certificate once, without garbage and without expired ones", () => {
  const bundle = `junk\n${authority.certPem}${stranger.certPem}${authority.certPem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`;
  assert.deepEqual(authoritiesIn(bundle, NOW_MS), [authority.certPem, stranger.certPem]);
  assert.deepEqual(authoritiesIn(bundle, NOW_MS + 366 * DAY_MS), []);
});

test("openssl accepts the chain and the purpose", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "certificate-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "ca.pem"), authority.certPem);
  writeFileSync(join(folder, "leaf.pem"), leaf.certPem);
  const at = String(NOW_MS / 1_000 + 60);
  const options = ["verify", "-x509_strict", "-purpose", "sslserver", "-attime", at, "-CAfile", "ca.pem", "leaf.pem"];
  try {
    assert.match(execFileSync("openssl", options, { cwd: folder, encoding: "utf8" }), /OK/);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return t.skip("no openssl on this machine");
    throw error;
  }
});
