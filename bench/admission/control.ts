/**
 * The control of `npm run bench:admission`: a webhook that thinks nothing. Bare TLS of Node, one parse of the review for its uid, and always the
 * same patch: what an API server pays for any webhook at all. `control.ts HOST PORT`; its certificate in CERT_PEM and KEY_PEM. At SIGUSR2 it writes a
 * line with how long its answers have taken since the last one, milliseconds, and how many connections have come, e.g. {"p50":0.1,"p99":3,"connections":20}.
 */
import { writeSync } from "node:fs";
import { createServer } from "node:https";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { timesOf } from "./rows.ts";

const [host = "127.0.0.1", port = "0"] = process.argv.slice(2);
const { CERT_PEM: cert = "", KEY_PEM: key = "" } = process.env;
const operations = [{ op: "add", path: "/spec/readinessGates", value: [{ conditionType: DEFAULT_GATE_TYPE }] }];
const patch = Buffer.from(JSON.stringify(operations)).toString("base64");

let took: number[] = [];
let connections = 0;
process.on("SIGUSR2", () => {
  writeSync(1, `${JSON.stringify({ ...timesOf(took), connections })}\n`);
  took = [];
  connections = 0;
});

const server = createServer({ cert, key, keepAlive: true }, (request, response) => {
  const startedMs = performance.now();
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.once("end", () => {
    const review: unknown = JSON.parse(Buffer.concat(chunks).toString());
    const { uid } = (review as { readonly request: { readonly uid: string } }).request;
    const answer = { uid, allowed: true, patchType: "JSONPatch", patch };
    const body = JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: answer });
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
    took.push(performance.now() - startedMs);
  });
});
server.keepAliveTimeout = 120_000; // longer than an API server's own 90 s
server.on("secureConnection", (socket) => {
  connections += 1;
  socket.setNoDelay(true);
});
server.listen(Number(port), host);
process.stdin.on("end", () => process.exit(0)).resume(); // of who started it
