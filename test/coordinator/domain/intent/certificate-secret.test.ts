import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { certificateProblems } from "../../../../coordinator/domain/intent/certificate-problems.ts";
import { readCertificateSecret } from "../../../../coordinator/domain/intent/certificate-secret.ts";

const data = (values: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));

suite("an Opaque Secret", () => {
  const cases: readonly (readonly [values: Readonly<Record<string, string>>, expected: object | RegExp])[] = [
    [{ qcloud_cert_id: "AbCd1234" }, { certificate: { certIds: ["AbCd1234"] } }],
    [{ qcloud_cert_id: " rsa-1 , ecc-1\n" }, { certificate: { certIds: ["rsa-1", "ecc-1"] } }],
    [{ qcloud_cert_id: "a", qcloud_ca_cert_id: "ca" }, { certificate: { certIds: ["a"], caCertId: "ca" } }],
    [{ qcloud_cert_id: "a", qcloud_ca_cert_id: "" }, { certificate: { certIds: ["a"] } }],
    [{ "tls.crt": "-----BEGIN" }, /^E4011 has no key/],
    [{ qcloud_cert_id: "" }, /^E4035 has a malformed key "qcloud_cert_id"/],
    [{ qcloud_cert_id: "a,b,c" }, /^E4035/],
    [{ qcloud_cert_id: "a,a" }, /^E4035/],
    [{ qcloud_cert_id: "-----BEGIN CERTIFICATE-----" }, /^E4035/],
    [{ qcloud_cert_id: "a", qcloud_ca_cert_id: "b,c" }, /^E4035 has a malformed key "qcloud_ca_cert_id"/],
  ];
  for (const [values, expected] of cases)
    test(JSON.stringify(values), () => {
      const reading = readCertificateSecret(data(values));
      if (expected instanceof RegExp) assert.match("fault" in reading ? `${reading.code} ${reading.fault}` : "none", expected);
      else assert.deepEqual(reading, expected);
    });
});

test("one problem for each Secret that says nothing; none while Secrets are being read", () => {
  const ref = { kind: "Service", namespace: "demo", name: "web", uid: "u" } as const;
  const good = readCertificateSecret(data({ qcloud_cert_id: "a" }));
  const find = (_: string, name: string) => (name === "good" ? good : readCertificateSecret({}));
  const sources = [{ secret: "good" }, { secret: "bad" }, { secret: "bad" }, { certIds: ["a"] }];
  const problems = certificateProblems(ref, sources, { find, denied: false });
  assert.deepEqual(
    problems.map(({ reason, message }) => [reason, /Secret demo\/bad has no key/.test(message), /Code:"E4011"/.test(message)]),
    [["CertificateUnavailable", true, true]],
  );
  assert.deepEqual(certificateProblems(ref, sources, { find: () => undefined, denied: false }), []);
  const denied = certificateProblems(ref, [{ secret: "bad" }], { find: () => undefined, denied: true });
  assert.match(denied[0]?.message ?? "", /may not list Secrets: allow it \(certificates\.readSecrets/);
});
