import { Agent, request } from "undici";

/** PEM: the authority of the server, and who asks. */
export type ProbeTls = { readonly ca: string; readonly cert: string; readonly key: string };

/** A health request that takes longer is as good as failed. */
const TIMEOUT_MS = 2_000;

/** True if GET answers 200 within 2 s; each request has its own connection, so that nothing is kept open. */
export async function isHealthy(url: string, tls: ProbeTls): Promise<boolean> {
  const dispatcher = new Agent({ connect: tls });
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false; // not listening yet, or frozen
  } finally {
    await dispatcher.destroy();
  }
}
