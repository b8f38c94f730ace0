import type * as sts from "tencentcloud-sdk-nodejs/tencentcloud/services/sts/v20180813/sts_models.js";
import { OWNER_UIN } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import { type ActionTable, read, requiredText, unused, write } from "../table/action.ts";
import type { Keyring } from "./keyring.ts";

/** Source: the SDK's model of AssumeRoleWithWebIdentity (2 h unless asked for more, at most 12 h). */
const LIFE_S = { default: 7200, max: 43_200 } as const;

/** The only action that may come with `Authorization: SKIP`. Source: clb-api.md §1.2. */
export const UNSIGNED_ACTION = "AssumeRoleWithWebIdentity";

export type StsPorts = { readonly keyring: Pick<Keyring, "issue">; readonly wallMs: () => number };

/** STS service: a ServiceAccount's token for temporary keys, as TKE's Pod identity does. */
export const stsActions = (): ActionTable<StsPorts> => ({
  [UNSIGNED_ACTION]: write<sts.AssumeRoleWithWebIdentityRequest, sts.AssumeRoleWithWebIdentityResponse, StsPorts>({
    fields: {
      ProviderId: requiredText,
      WebIdentityToken: requiredText,
      RoleArn: requiredText,
      RoleSessionName: requiredText,
      DurationSeconds: { type: "integer", min: 1 },
    },
    run: (request, _call, { keyring, wallMs }) => {
      const { role, seconds } = requireRole(request);
      requireLiving(request.WebIdentityToken, wallMs());
      return keysOf(keyring, role, seconds);
    },
  }),

  AssumeRole: write<sts.AssumeRoleRequest, sts.AssumeRoleResponse, StsPorts>({
    fields: {
      RoleArn: requiredText,
      RoleSessionName: requiredText,
      DurationSeconds: { type: "integer", min: 1 },
      Policy: unused,
      ExternalId: unused,
      Tags: unused,
      SourceIdentity: unused,
      SerialNumber: unused,
      TokenCode: unused,
    },
    run: (request, _call, { keyring }) => {
      const { role, seconds } = requireRole(request);
      return keysOf(keyring, role, seconds);
    },
  }),

  GetCallerIdentity: read<Record<string, never>, sts.GetCallerIdentityResponse>({
    fields: {},
    // Whoever asks: there is one account, and its own user.
    run: () => ({
      Type: "CAMUser",
      AccountId: OWNER_UIN,
      UserId: OWNER_UIN,
      PrincipalId: OWNER_UIN,
      Arn: `qcs::cam:${OWNER_UIN}:uin/${OWNER_UIN}`,
    }),
  }),
});

/** Throws InvalidParameter.OverTimeError, .ParamError. */
function requireRole({
  RoleArn: arn,
  DurationSeconds: seconds = LIFE_S.default,
}: Pick<sts.AssumeRoleRequest, "RoleArn" | "DurationSeconds">) {
  if (seconds > LIFE_S.max)
    throw new CloudError("InvalidParameter.OverTimeError", `\`DurationSeconds\` is ${seconds}, at most ${LIFE_S.max}.`);
  const role = /^qcs::cam::uin\/[^:/]*:roleName\/(.+)$/.exec(arn)?.[1];
  if (role === undefined)
    throw new CloudError("InvalidParameter.ParamError", `\`RoleArn\` must be qcs::cam::uin/<uin>:roleName/<name>, got ${arn}.`);
  return { role, seconds };
}

function keysOf(keyring: StsPorts["keyring"], role: string, seconds: number) {
  const { secretId, secretKey, token, expiresMs } = keyring.issue(role, seconds);
  return {
    ExpiredTime: Math.floor(expiresMs / 1000),
    Expiration: `${new Date(expiresMs).toISOString().slice(0, 19)}Z`,
    Credentials: { Token: token, TmpSecretId: secretId, TmpSecretKey: secretKey },
  };
}

/** The signature of the token is not looked at: any issuer is one of the account's. Throws InvalidParameter.WebIdentityTokenError. */
function requireLiving(token: string, nowMs: number): void {
  const [, payload = "", signature] = token.split(".");
  const claims = signature === undefined ? undefined : claimsOf(payload);
  if (claims === undefined) throw new CloudError("InvalidParameter.WebIdentityTokenError", "`WebIdentityToken` is no JWT.");
  if (typeof claims === "object" && claims !== null && "exp" in claims && Number(claims.exp) * 1000 <= nowMs)
    throw new CloudError("InvalidParameter.WebIdentityTokenError", `\`WebIdentityToken\` has expired: its exp is ${String(claims.exp)}.`);
}

function claimsOf(payload: string): unknown {
  try {
    return JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
