/** What the Jobs of the chart run: `installation.mjs before-uninstall|after-uninstall|test NAMESPACE`. */
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { isWorking, mayUninstall, removeOwnObjects, type Verdict } from "./jobs.ts";

const clock = makeClock();
const JOBS: Readonly<Record<string, (client: KubeClient, namespace: string) => Promise<Verdict>>> = {
  "before-uninstall": mayUninstall,
  "after-uninstall": (client, namespace) => removeOwnObjects(client, namespace, clock),
  test: (client, namespace) => isWorking(client, namespace, clock.now()),
};

/** Exit code 0: it is so; 1: it is not, or could not be asked; 2: no such Job. */
async function run([wanted, namespace]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const job = wanted === undefined || !Object.hasOwn(JOBS, wanted) ? undefined : JOBS[wanted];
  if (job === undefined || namespace === undefined) {
    console.error(`name one of ${Object.keys(JOBS).join(", ")}, and the Namespace`);
    return 2;
  }
  const client = await makeKubeClient({ clock, env, userAgent: "clb-direct-installation" });
  try {
    const { ok, text } = await job(client, namespace);
    (ok ? console.log : console.error)(text);
    return ok ? 0 : 1;
  } finally {
    await client.close();
  }
}

try {
  // oxlint-disable-next-line node/no-process-env -- for the search of the cluster
  process.exitCode = await run(process.argv.slice(2), process.env);
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
