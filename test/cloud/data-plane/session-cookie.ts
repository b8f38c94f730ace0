import { createHash } from "node:crypto";
import type { TargetRecord } from "../model/account.ts";

/** Name of the cookie where the rule gives none. Assumed: the service's own name is not published. */
export const DEFAULT_COOKIE = "clb_session";

type Address = Pick<TargetRecord, "ip" | "port">;

/** What stands for a target in a cookie: says nothing about its address, and stays the same when it is bound again. */
export const cookieValue = ({ ip, port }: Address): string => createHash("sha256").update(`${ip}:${port}`).digest("hex").slice(0, 32);

/** Pure: the target that the client's Cookie header names, e.g. "theme=dark; clb_session=9f…". */
export function targetOfCookie<Target extends Address>(
  targets: readonly Target[],
  header: string | undefined,
  name: string,
): Target | undefined {
  const value = header
    ?.split(";")
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(`${name}=`))
    ?.slice(name.length + 1);
  return value === undefined ? undefined : targets.find((target) => cookieValue(target) === value);
}

/** The Set-Cookie of every answer, so that the session lasts from the last request on. */
export const setCookie = (name: string, target: Address, seconds: number): string =>
  `${name}=${cookieValue(target)}; Path=/; Max-Age=${seconds}; HttpOnly`;
