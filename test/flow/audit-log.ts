/** The audit log of a real API server as the requests that flow tests look at. */
import { closeSync, openSync, readSync } from "node:fs";
import { DEFAULT_NAMESPACE } from "../../common/names.ts";
import type { SeenRequest } from "./cluster.ts";

type Audit = {
  readonly stage: string;
  readonly verb: string;
  readonly user: { readonly username?: string };
  readonly impersonatedUser?: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string; readonly namespace?: string; readonly name?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestReceivedTimestamp: string;
};
export type AuditReader = { readonly seen: () => readonly SeenRequest[] };

/** Reads on where it stopped, each time it is asked; the API server writes a line before it answers. */
export function readAudit(file: string): AuditReader {
  const seen: SeenRequest[] = [];
  const chunk = Buffer.alloc(1 << 20);
  let [offset, rest] = [0, Buffer.alloc(0)];
  return {
    seen: () => {
      const descriptor = openSync(file, "r");
      for (let read = 1; read > 0; offset += read) {
        read = readSync(descriptor, chunk, 0, chunk.length, offset);
        const bytes = Buffer.concat([rest, chunk.subarray(0, read)]);
        const end = bytes.lastIndexOf("\n") + 1;
        rest = bytes.subarray(end);
        for (const line of bytes.toString("utf8", 0, end).split("\n")) if (line !== "") seen.push(...seenIn(JSON.parse(line) as Audit));
      }
      closeSync(descriptor);
      return seen;
    },
  };
}

const PRODUCT = `system:serviceaccount:${DEFAULT_NAMESPACE}:`;

/** A watch is told of when it begins and again when it ends. Nobody is named where a server that has just started did not know a token yet. */
function seenIn({ stage, verb, user: { username = "(unknown)" }, ...audit }: Audit): SeenRequest[] {
  const { resource = "(none)", subresource, namespace, name = "" } = audit.objectRef ?? {};
  const code = audit.responseStatus?.code ?? 0;
  if (verb === "watch" ? stage !== "ResponseStarted" && code < 400 : stage !== "ResponseComplete") return [];
  const impersonated = audit.impersonatedUser?.username;
  return [
    {
      username,
      verb,
      resource: subresource === undefined ? resource : `${resource}/${subresource}`,
      namespace,
      name,
      code,
      atMs: Date.parse(audit.requestReceivedTimestamp),
      byProduct: username.startsWith(PRODUCT),
      ...(impersonated !== undefined && { impersonated }),
    },
  ];
}
