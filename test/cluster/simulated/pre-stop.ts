/** preStop hooks as a kubelet runs them (tke-contract.md §10). */
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container, Hook } from "./objects.ts";

/**
 * Settles when the hook is over, or `signal` aborts at the end of the grace period. An httpGet has no timeout of its own, its status is
 * ignored, and a connection that fails ends the hook at once; the result then says why.
 */
export async function runPreStop(container: Container, podIp: string, signal: AbortSignal): Promise<string | undefined> {
  const hook = container.lifecycle?.preStop;
  try {
    if (hook?.sleep !== undefined) await sleep(hook.sleep.seconds * 1000, undefined, { signal });
    if (hook?.httpGet !== undefined) await get(container, hook.httpGet, podIp, signal);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function get(container: Container, hook: NonNullable<Hook["httpGet"]>, podIp: string, signal: AbortSignal): Promise<void> {
  const { port: wanted, path = "/", host = podIp } = hook;
  const named = container.ports?.find(({ name }) => name === wanted)?.containerPort;
  const port = named ?? Number(wanted);
  if (!Number.isInteger(port)) throw new Error(`container ${container.name} has no port named "${wanted}"`);
  return new Promise((resolve, reject) => {
    const call = request({ host, port, path, signal, agent: false }, (response) => {
      response.once("error", reject).once("end", resolve).resume();
    });
    call.once("error", reject).end();
  });
}
