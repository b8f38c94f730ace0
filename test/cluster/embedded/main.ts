import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { startApiServer } from "./server.ts";

const { values } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    "http-port": { type: "string", default: "0" },
    kubeconfig: { type: "string" },
    json: { type: "boolean", default: false },
    "exit-with-parent": { type: "boolean", default: false },
  },
});

const cluster = await startApiServer({ host: values.host, port: Number(values.port), httpPort: Number(values["http-port"]) });
if (values.kubeconfig !== undefined) await writeFile(values.kubeconfig, cluster.kubeconfig(), { mode: 0o600 });
const { url, httpUrl, caPem, adminToken } = cluster;
process.stdout.write(values.json ? `${JSON.stringify({ url, httpUrl, caPem, adminToken })}\n` : `API server at ${url}; Ctrl-C ends it\n`);

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  process.stdin.destroy();
  void cluster.stop();
};
process.once("SIGTERM", stop).once("SIGINT", stop);
if (values["exit-with-parent"]) process.stdin.resume().once("end", stop).once("close", stop);
