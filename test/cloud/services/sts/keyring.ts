import { randomBytes } from "node:crypto";
import type { ApiKey } from "../../runtime/options.ts";

/** Keys that end by themselves. `expiresMs` is wall time: signatures stay in real time also where the cloud's clock is scaled. */
export type TemporaryKey = ApiKey & { readonly token: string; readonly expiresMs: number };

/** The keys that the cloud accepts. */
export interface Keyring {
  find(secretId: string): ApiKey | undefined;
  /** New temporary keys for a role, e.g. `issue("TKE_QCSRole", 7200)`; the role is the account in rate limit and journal. */
  issue(role: string, lifeSeconds: number): TemporaryKey;
  /** The keys of a role as the metadata service hands them out: the same ones until half of their life is over. */
  ofRole(role: string, lifeSeconds: number): TemporaryKey;
  /** Ends all temporary keys of now, as a revoked role does: their next use answers AuthFailure.TokenFailure. */
  expireAll(): void;
}

/** Expired keys are forgotten after an hour: until then they answer that their token is over, later that they are not known. */
const REMEMBERED_MS = 3_600_000;

export function makeKeyring(keys: readonly ApiKey[], wallMs: () => number): Keyring {
  const permanent = new Map(keys.map((key) => [key.secretId, key]));
  const temporary = new Map<string, TemporaryKey>();
  const byRole = new Map<string, { readonly key: TemporaryKey; readonly renewMs: number }>();

  const issue = (role: string, lifeSeconds: number): TemporaryKey => {
    const nowMs = wallMs();
    for (const old of temporary.values()) if (old.expiresMs + REMEMBERED_MS < nowMs) temporary.delete(old.secretId);
    const key: TemporaryKey = {
      secretId: `AKID${randomBytes(32).toString("base64url")}`,
      secretKey: randomBytes(24).toString("base64url"),
      token: randomBytes(96).toString("base64url"),
      account: `role/${role}`,
      expiresMs: nowMs + lifeSeconds * 1000,
    };
    temporary.set(key.secretId, key);
    return key;
  };

  return {
    find: (secretId) => permanent.get(secretId) ?? temporary.get(secretId),
    issue,
    ofRole: (role, lifeSeconds) => {
      const nowMs = wallMs();
      const kept = byRole.get(role);
      if (kept !== undefined && kept.renewMs > nowMs) return kept.key;
      const key = issue(role, lifeSeconds);
      byRole.set(role, { key, renewMs: nowMs + lifeSeconds * 500 });
      return key;
    },
    expireAll: () => {
      byRole.clear();
      for (const [secretId, key] of temporary) temporary.set(secretId, { ...key, expiresMs: Math.min(key.expiresMs, wallMs()) });
    },
  };
}
