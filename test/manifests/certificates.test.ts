/** Certificates that the cloud itself refuses: told by TKE's codes, and mended by an edit of the Secret. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { certificateCode } from "../../coordinator/domain/refused-call.ts";
import { manifestWorld } from "./world.ts";

const CODES = [
  ["InvalidParameterValue: certificate cert-9 does not exist in this account", "E4036"],
  ["FailedOperation.CertificateNotFound: no such id", "E4036"],
  ["InvalidParameterValue: certificate cert-1 has expired", "E4039"],
  ["InvalidParameterValue: the type of certificate cert-1 does not fit", "E4038"],
  ["InvalidParameterValue: port 80 does not exist", undefined],
  ["FailedOperation: the certificate is busy", undefined],
] as const;
for (const [words, code] of CODES) test(`TKE's code of "${words}" is ${code}`, () => assert.equal(certificateCode(words), code));

test("a certificate that the account does not have is told with TKE's code, and an edit of the Secret mends it", async () => {
  const world = await manifestWorld({ given: [], settings: {}, certificates: ["cert-1"] });
  const secret = (id: string) =>
    world.apply({ kind: "Secret", metadata: { name: "one" }, data: { qcloud_cert_id: Buffer.from(id).toString("base64") } });
  await world.run(
    (async () => {
      world.start();
      await secret("cert-9");
      await world.apply({
        kind: "Service",
        metadata: {
          name: "web",
          annotations: {
            "service.cloud.tencent.com/direct-access": "true",
            "service.cloud.tencent.com/specify-protocol": '{"443":{"protocol":["TCP_SSL"],"tls":"one"}}',
          },
        },
        spec: { type: "LoadBalancer", selector: { app: "web" }, ports: [{ port: 443, targetPort: 8080 }] },
      });
      await world.clock.sleep(60_000);
      const told = world.store
        .list("events")
        .map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`);
      assert.equal(told.length, 1, told.join("\n"));
      assert.match(
        told[0] ?? "",
        /^CertificateUnavailable ServiceErrorCode\{Code:"E4036",Message:"Service demo\/web: .*certificate cert-9 does not exist/,
      );
      await secret("cert-1");
      await world.clock.sleep(60_000);
      assert.deepEqual(
        world.cloud.state().loadBalancers[0]?.listeners.map(({ protocol, port }) => `${protocol} ${port}`),
        ["TCP_SSL 443"],
      );
      await world.kill();
    })(),
  );
  await world.end();
});
