/** Admission: a mutating webhook of ours, called by the API server. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { json } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { until } from "../../cluster/process.ts";
import { aPod, at, type Behaviours, each, GATE, refusal, type Subject, within } from "./suite.ts";

export function registerWebhooks({ both }: Behaviours): void {
  both(
    "admission: our patch arrives, also in a dry run; what cannot be applied is the user's 500; a webhook that is away lets Pods in",
    admission,
  );
}

type Review = { readonly request: { readonly uid: string; readonly dryRun?: boolean; readonly object: unknown; readonly name?: string } };

const ADD_GATE = { op: "add", path: "/spec/readinessGates", value: [{ conditionType: GATE }] };
/** Does not apply where the list is missing. */
const APPEND_GATE = { op: "add", path: "/spec/readinessGates/-", value: { conditionType: GATE } };

async function admission(subject: Subject, t: TestContext): Promise<void> {
  const { ask, client, namespace } = subject;
  const name = await namespace();
  const { pods } = within(name);
  const webhook = await startWebhook(subject, t);
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  await client.create(path, {
    metadata: { name: "contract" },
    webhooks: [
      {
        name: "pods.contract.clb-direct.io",
        admissionReviewVersions: ["v1"],
        sideEffects: "None",
        failurePolicy: "Ignore",
        timeoutSeconds: 1,
        clientConfig: { url: `${webhook.url}/mutate`, caBundle: Buffer.from(webhook.caPem).toString("base64") },
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
        rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }],
      },
    ],
  });
  t.after(() => client.delete(`${path}/contract`));
  const gates = (answer: unknown): unknown[] => each(answer, "body.spec.readinessGates", "conditionType");
  const dry = () => ask("POST", pods, { ...aPod(""), metadata: { generateName: "dry-" } }, { query: { dryRun: "All" } });
  await until("the webhook is asked", async () => gates(await dry()).length > 0, 5_000);
  const { request } = webhook.reviews.at(-1) as Review;
  assert.deepEqual(
    [request.dryRun, request.name, at(request.object, "metadata.uid"), at(request.object, "metadata.namespace")],
    [true, undefined, undefined, name],
  );
  const created = await ask("POST", pods, aPod("p"));
  assert.deepEqual([created.code, gates(created)], [201, [GATE]]);
  webhook.patch([APPEND_GATE]);
  assert.deepEqual(refusal(await ask("POST", pods, aPod("q"))).slice(0, 1), [500]);
  webhook.patch([{ op: "replace", path: "/spec/containers", value: [] }]);
  assert.deepEqual(refusal(await ask("POST", pods, aPod("q"))), [422, "Invalid", "spec.containers"]);
  webhook.patch([{ op: "add", path: "/spec/noSuchField", value: 1 }]);
  assert.equal((await ask("POST", pods, aPod("dropped"))).code, 201);
  await webhook.stop();
  const open = await ask("POST", pods, aPod("open"));
  assert.deepEqual([open.code, gates(open)], [201, []]);
}

/** A webhook that answers every review with the patch that was set last. */
async function startWebhook({ plan }: Subject, t: TestContext) {
  const authority = await issueAuthority(Date.now());
  const { certPem, keyPem } = await issueServing(authority, [], [plan.client], Date.now());
  const reviews: Review[] = [];
  let patch: readonly object[] = [ADD_GATE];
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const review = (await json(incoming)) as Review;
    reviews.push(review);
    const encoded = Buffer.from(JSON.stringify(patch)).toString("base64");
    const verdict = { uid: review.request.uid, allowed: true, patchType: "JSONPatch", patch: encoded };
    const body = { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: verdict };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  const server = createServer({ cert: certPem, key: keyPem }, (incoming, response) => void answer(incoming, response));
  await new Promise<void>((resolve) => server.listen(8443, plan.client, resolve));
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  t.after(stop);
  const set = (next: readonly object[]): void => void (patch = next);
  return { url: `https://${plan.client}:8443`, caPem: authority.certPem, reviews, patch: set, stop };
}
