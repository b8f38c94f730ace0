import assert from "node:assert/strict";
import { test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { ListWatchDeps } from "../../../common/kubernetes/list-watch.ts";
import { makeCertificateSecrets } from "../../../coordinator/state/certificate-secrets.ts";
import { eventually } from "../../contract/cloud/fixture.ts";
import { aKube } from "../kube.ts";
import { silentLog } from "../pods.ts";

type Client = ListWatchDeps["client"];
function reading(t: { after(fn: () => Promise<void>): void }, client: Client) {
  const changed: string[] = [];
  const secrets = makeCertificateSecrets({ client, clock: makeClock(), log: silentLog }, ({ name }) => void changed.push(name));
  const stop = new AbortController();
  const over = secrets.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error("stop"));
    await over;
  });
  return { secrets, changed };
}

test("Secrets are read from the first time on that one is asked for; those of TLS when one is no Opaque one; of other kinds nothing is known", async (t) => {
  const { client } = await aKube(t);
  let lists = 0;
  const counted: Client = { ...client, list: (...args) => ((lists += 1), client.list(...args)) };
  const { secrets, changed } = reading(t, counted);
  const create = (name: string, type: string, data: Record<string, string> = { qcloud_cert_id: "YQ==" }) =>
    client.create("/api/v1/namespaces/demo/secrets", { apiVersion: "v1", kind: "Secret", metadata: { name }, type, data });
  await create("tls", "kubernetes.io/tls", { "tls.crt": "YQ==", "tls.key": "YQ==" });
  await create("one", "Opaque");
  await create("other", "kubernetes.io/dockercfg");
  assert.equal(lists, 0);
  assert.equal(secrets.find("demo", "one"), undefined);
  await eventually("it is read", () => secrets.find("demo", "one") !== undefined);
  assert.deepEqual(secrets.find("demo", "one"), { certificate: { certIds: ["a"] } });
  assert.equal(lists, 1, "no keys are read as long as nobody names another Secret");
  assert.equal(secrets.find("demo", "other"), undefined);
  await eventually("those of TLS are read too", () => secrets.find("demo", "other") !== undefined);
  for (const name of ["other", "late"]) assert.match(JSON.stringify(secrets.find("demo", name)), /E4010/);
  assert.match(JSON.stringify(secrets.find("demo", "tls")), /^\{"tls":\{"fingerprint":"[0-9a-f]{64}"\}\}$/);
  changed.length = 0;
  await create("late", "Opaque");
  await create("unasked", "Opaque");
  await eventually("it is heard", () => changed.length > 0);
  assert.deepEqual(changed, ["late"]);
});

test("that Secrets may not be read is told to those who asked", async (t) => {
  const client: Client = {
    list: () => Promise.reject(new KubeApiError("list secrets", "denied", "forbidden")),
    watch: () => Promise.reject(new Error("nobody gets here")),
  };
  const { secrets, changed } = reading(t, client);
  secrets.find("demo", "one");
  await eventually("it is denied", () => secrets.denied);
  assert.deepEqual([changed, secrets.find("demo", "one")], [["one"], undefined]);
});
