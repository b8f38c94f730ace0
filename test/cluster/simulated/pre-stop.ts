/** preStop hooks as a kubelet runs them (tke-contract.md §10). */
import { request } from "node:http";
import type { Clock } from "../../../common/clock.ts";
import { HOLD_PORT } from "../../../common/names.ts";
import type { Container, Hook } from "./objects.ts";

export type Caller = {
  readonly podIp: string;
  /** Where calls to the hold port go, for want of a rule that leads them there; undefined: to the Pod, as all others. */
  readonly holdAddress: string | undefined;
  readonly clock: Pick<Clock, "sleep">;
};

/**
 * Settles when the hook is over, or `signal` aborts at the end of the grace period. An httpGet has no timeout of its own, its status is
 * ignored, and a connection that fails ends the hook at once; the result then says why.
 */
export async function runPreStop(container: Container, caller: Caller, signal: AbortSignal): Promise<string | undefined> {
  const hook = container.lifecycle?.preStop;
  try {
    if (hook?.sleep !== undefined) await caller.clock.sleep(hook.sleep.seconds * 1000, signal);
    if (hook?.httpGet !== undefined) await get(container, hook.httpGet, caller, signal);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function get(container: Container, hook: NonNullable<Hook["httpGet"]>, { podIp, holdAddress }: Caller, signal: AbortSignal): Promise<void> {
  const { port: wanted, path = "/", host: asked } = hook;
  const named = container.ports?.find(({ name }) => name === wanted)?.containerPort;
  const port = named ?? Number(wanted);
  if (!Number.isInteger(port)) throw new Error(`container ${container.name} has no port named "${wanted}"`);
  const isHold = asked === undefined && port === HOLD_PORT;
  const host = (isHold ? holdAddress : undefined) ?? asked ?? podIp;
  const headers = { host: `${asked ?? podIp}:${port}`, "user-agent": "kube-lifecycle/1.36" };
  return new Promise((resolve, reject) => {
    const call = request({ host, port, path, headers, signal, agent: false }, (response) => {
      response.once("error", reject).once("end", resolve).resume();
    });
    call.once("error", reject).end();
  });
}
