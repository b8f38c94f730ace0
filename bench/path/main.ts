/**
 * `npm run bench:path`, as root: the same requests straight to Pods, through a NodePort, and through one with `externalTrafficPolicy: Local`, on two
 * real nodes with a real kube-proxy. What a load balancer's packets meet behind it; the load balancer itself has no part in this.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { argumentsOrExit, checkJsonFile, positive } from "../../deploy/tools/arguments.ts";
import { launch } from "../../test/cluster/namespace.ts";
import { PROXY_MODES, type ProxyMode, proxiedClusterFault } from "../../test/cluster/real/nodes/kube-proxy.ts";

/** Two nodes have addresses for 60 Pods each (addresses.ts). */
const MOST_PODS = 100;

const USAGE = `usage: npm run bench:path -- [options]
  --modes nftables,iptables   of kube-proxy
  --pods 2,10,40              behind the Service, half of them on each node
  --requests 2000             of each measurement
  --rounds 3                  the paths in turns; the middle of each figure counts
  --json FILE                 writes the rows as JSON too
Exit code 1 if a request fails, or a Pod that is asked directly sees another address than the client's; 2 for a mistake in the options.`;

const asked = argumentsOrExit(USAGE, (args) => {
  const { values } = parseArgs({
    args,
    options: {
      modes: { type: "string", default: PROXY_MODES.join(",") },
      pods: { type: "string", default: "2,10,40" },
      requests: { type: "string", default: "2000" },
      rounds: { type: "string", default: "3" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  checkJsonFile(values.json);
  const modes = values.modes.split(",").map((name): ProxyMode => {
    const mode = PROXY_MODES.find((known) => known === name);
    if (mode === undefined) throw new RangeError(`--modes must be of ${PROXY_MODES.join(", ")}, got "${name}"`);
    return mode;
  });
  const pods = values.pods.split(",").map((text) => whole("pods", text));
  if (pods.some((count) => count % 2 === 1 || count > MOST_PODS))
    throw new RangeError(`--pods must be even numbers up to ${MOST_PODS}, got "${values.pods}"`);
  const [requests, rounds] = [whole("requests", values.requests), whole("rounds", values.rounds)];
  return { modes, pods, requests, rounds, json: values.json, help: values.help };
});

function whole(flag: string, text: string): number {
  const value = positive(flag, text);
  if (!Number.isInteger(value)) throw new RangeError(`--${flag} must be whole numbers, got "${text}"`);
  return value;
}

/** What is downloaded or built for it is there before it enters a network of its own. */
const fault = await proxiedClusterFault(asked.modes, (line) => void process.stderr.write(`${line}\n`));
if (fault === undefined) {
  const { json, modes, pods, requests, rounds } = asked;
  const order = JSON.stringify({ modes, pods, requests, rounds, json: json === undefined ? undefined : resolve(json) });
  process.exitCode = await launch(["node", "bench/path/measure.ts", order]);
} else {
  console.error(
    `the paths cannot be measured here: ${fault}${fault.includes("iptables") ? "; or leave that mode out: --modes nftables" : ""}`,
  );
  process.exitCode = 1;
}
