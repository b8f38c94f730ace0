/** `npm run explain -- <namespace>/<pod>` or `-- lb-…`: asks the coordinator's ops port and prints its answer. */
import { parseArgs } from "node:util";
import { OPS_PORT } from "../../common/names.ts";

const DEFAULT_URL = `http://127.0.0.1:${OPS_PORT}`;
const USAGE = `usage: npm run explain -- [--url ${DEFAULT_URL}] <namespace>/<pod> | <load balancer id> | <namespace>
  --url  the ops port of the coordinator that leads, or set EXPLAIN_URL
Exit code 0: it answered, also that it knows no Pods in that namespace; 1: no answer, or the Pod or load balancer is not known; 2: a mistake in the arguments.`;
const OPTIONS = { url: { type: "string" }, help: { type: "boolean", default: false } } as const;

type Question = { readonly subject: string; readonly base: string };

/** Undefined: help was asked for. Throws with the mistake. */
function readQuestion(args: string[], given: string | undefined): Question | undefined {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: OPTIONS });
  if (values.help) return undefined;
  const [subject, ...others] = positionals;
  if (subject === undefined || others.length > 0) throw new TypeError("name one Pod, load balancer or namespace");
  const base = values.url ?? given ?? DEFAULT_URL;
  if (!URL.canParse(base)) throw new TypeError(`--url is "${base}": use a URL, e.g. ${DEFAULT_URL}`);
  return { subject, base };
}

async function ask({ subject, base }: Question): Promise<number> {
  const url = new URL("/explain", base);
  url.searchParams.set(subject.includes("/") ? "pod" : subject.startsWith("lb-") ? "loadBalancer" : "namespace", subject);
  url.searchParams.set("format", "text");
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    const text = (await response.text()) || `${url.origin} answered ${response.status} without a word: is it the coordinator's ops port?\n`;
    (response.ok ? process.stdout : process.stderr).write(text);
    return response.ok ? 0 : 1;
  } catch (err) {
    const cause = err instanceof Error ? (err.cause ?? err) : err;
    const fix = "Is the coordinator's ops port reachable, e.g. by kubectl port-forward? Name it with --url.";
    console.error(`no answer from ${url.origin}: ${String(cause)}\n${fix}`);
    return 1;
  }
}

async function main(): Promise<number> {
  try {
    // oxlint-disable-next-line node/no-process-env -- a command line tool of one variable
    const question = readQuestion(process.argv.slice(2), process.env["EXPLAIN_URL"]);
    if (question !== undefined) return await ask(question);
    console.log(USAGE);
    return 0;
  } catch (err) {
    console.error(`${err instanceof Error ? err.message : String(err)}\n\n${USAGE}`);
    return 2;
  }
}

process.exitCode = await main();
