/** `npm run explain -- <namespace>/<pod>` or `-- lb-…`: asks the coordinator's ops port, EXPLAIN_URL or --url, and prints its answer. */
import { parseArgs } from "node:util";
import { OPS_PORT } from "../common/names.ts";

const DEFAULT_URL = `http://127.0.0.1:${OPS_PORT}`;
const USAGE = `usage: npm run explain -- [--url ${DEFAULT_URL}] <namespace>/<pod> | <load balancer id> | <namespace>`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { url: { type: "string", default: DEFAULT_URL } } });
  const [subject, ...others] = positionals;
  if (subject === undefined || others.length > 0) {
    console.error(USAGE);
    return 2;
  }
  const kind = subject.includes("/") ? "pod" : subject.startsWith("lb-") ? "loadBalancer" : "namespace";
  const url = new URL("/explain", values.url);
  url.searchParams.set(kind, subject);
  url.searchParams.set("format", "text");
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    const text = await response.text();
    (response.ok ? process.stdout : process.stderr).write(text);
    return response.ok ? 0 : 1;
  } catch (err) {
    const cause = err instanceof Error ? (err.cause ?? err) : err;
    console.error(
      `no answer from ${url.origin}: ${String(cause)}\nIs the coordinator's ops port reachable, e.g. by kubectl port-forward? Name it with --url.`,
    );
    return 1;
  }
}

process.exitCode = await main();
