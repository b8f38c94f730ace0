import { get } from "node:http";
import { backoffMs } from "../../common/backoff.ts";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { NodeFacts } from "../../common/reachability.ts";

export type MetadataDeps = {
  /** E.g. "http://metadata.tencentyun.com"; "" asks nobody. */
  readonly url: string;
  readonly onFacts: (facts: NodeFacts) => void;
  /** An answer that takes longer has not come, milliseconds; default: far more than it takes. */
  readonly answerMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
};

/** It answers in a millisecond on a node of the cloud; elsewhere the name does not resolve. */
const ANSWER_MS = 2_000;
const MOST_BYTES = 65_536;
/** Off the cloud it never comes; on it, perhaps a moment after the node has. */
const AGAIN = { baseMs: 2_000, maxMs: 300_000 };
/** ENIs come and go. */
const REFRESH_MS = 300_000;

/** Asks the metadata service of the node (tke-contract.md §9) again and again until the signal aborts; nothing waits for it. Never rejects. */
export async function watchMetadata({ url, onFacts, answerMs = ANSWER_MS, clock, log }: MetadataDeps, signal: AbortSignal): Promise<void> {
  if (url === "") return;
  let told = "";
  for (let failures = 0; !signal.aborted; ) {
    try {
      const facts = await readFacts(url, answerMs, signal);
      const text = JSON.stringify(facts);
      if (text !== told) onFacts(facts);
      told = text;
      failures = 0;
    } catch (err) {
      if (signal.aborted) return;
      if (failures === 0)
        log.info({ url, why: err instanceof Error ? err.message : String(err) }, "metadata service does not answer, going on without it");
      failures += 1;
    }
    const waitMs = failures === 0 ? REFRESH_MS : backoffMs(failures, AGAIN, Math.random);
    await clock.sleep(waitMs, signal).catch(() => undefined);
  }
}

async function readFacts(url: string, answerMs: number, signal: AbortSignal): Promise<NodeFacts> {
  const ask = (path: string): Promise<string> => read(new URL(`/latest/meta-data/${path}`, url), answerMs, signal);
  const instanceId = await ask("instance-id");
  if (!/^[a-z]+-[a-z0-9]+$/.test(instanceId)) throw new Error(`instance-id is "${instanceId.slice(0, 40)}", not like ins-1a2b3c4d`);
  const [region, zone, primary, macs] = await Promise.all([
    ask("placement/region"),
    ask("placement/zone"),
    ask("mac"),
    ask("network/interfaces/macs/"),
  ]);
  const all = macs.split("\n").map((line) => line.trim().replace(/\/$/, "").toLowerCase());
  const first = primary.trim().toLowerCase();
  const found = all.filter((mac) => /^[\da-f]{2}(:[\da-f]{2}){5}$/.test(mac));
  return { instanceId, region, zone, macs: found.sort((one, other) => Number(other === first) - Number(one === first)) };
}

function read(url: URL, answerMs: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]) }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
        if (text.length > MOST_BYTES) request.destroy(new Error(`${url.pathname} is longer than ${MOST_BYTES} bytes`));
      });
      response.on("error", reject);
      response.on("end", () =>
        response.statusCode === 200 ? resolve(text.trim()) : reject(new Error(`${url.pathname}: status ${response.statusCode}`)),
      );
    });
    request.on("error", reject);
  });
}
