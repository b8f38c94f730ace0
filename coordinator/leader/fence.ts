import type { Remedy } from "../../common/errors.ts";
import { readsOf } from "../../common/kubernetes/reads-of.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { isRead } from "../cloud/clb-error.ts";
import type { CloudTransport } from "../cloud/transport.ts";

/** A write that was not begun, because another replica may lead already. Nothing has happened. */
class NotLeaderError extends Error {
  override readonly name = "NotLeaderError";
  readonly remedy: Remedy = { kind: "retryAfter", delayMs: 1_000 };
}

type MayWrite = () => boolean;

function check(mayWrite: MayWrite, what: string): void {
  if (!mayWrite()) throw new NotLeaderError(`${what} not begun: this replica does not hold the Lease for sure`);
}

/** Reads pass; everything else is checked at the very moment it is sent. */
export const fencedTransport =
  (transport: CloudTransport, mayWrite: MayWrite): CloudTransport =>
  async (service, action, request, signal) => {
    if (!isRead(action)) check(mayWrite, action);
    return await transport(service, action, request, signal);
  };

/** The same for writes to the API server. */
export function fencedClient(client: KubeClient, mayWrite: MayWrite): KubeClient {
  return {
    ...readsOf(client),
    create: async (path, body, options) => {
      check(mayWrite, `POST ${path}`);
      return await client.create(path, body, options);
    },
    replace: async (path, body, options) => {
      check(mayWrite, `PUT ${path}`);
      return await client.replace(path, body, options);
    },
    patch: async (path, body, type, options) => {
      check(mayWrite, `PATCH ${path}`);
      return await client.patch(path, body, type, options);
    },
    delete: async (path, body, options) => {
      check(mayWrite, `DELETE ${path}`);
      await client.delete(path, body, options);
    },
  };
}
