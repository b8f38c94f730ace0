import { createPrivateKey, X509Certificate } from "node:crypto";
import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { Account, CertificateChoice, CertificateRecord } from "../../model/account.ts";
import { badValue, CloudError, missing, unsupported } from "../../model/errors.ts";
import { newId, type Random } from "../../runtime/random.ts";
import { text, type Whole } from "../table/action.ts";

const sslMode = { type: "string", oneOf: ["UNIDIRECTIONAL", "MUTUAL"] } as const;
const verifyClient = { type: "string", oneOf: ["ON", "OPTIONAL"] } as const;

export const certificate = {
  type: "object",
  fields: {
    SSLMode: sslMode,
    SSLVerifyClient: verifyClient,
    CertId: text,
    CertCaId: text,
    CertName: text,
    CertKey: text,
    CertContent: text,
    CertCaName: text,
    CertCaContent: text,
  },
} as const;

export const multiCertInfo = {
  type: "object",
  fields: {
    SSLMode: { ...sslMode, required: true },
    SSLVerifyClient: verifyClient,
    CertList: {
      type: "array",
      required: true,
      min: 1,
      of: { type: "object", fields: { CertId: text, CertName: text, CertContent: text, CertKey: text } },
    },
  },
} as const;

/** Where certificates come from that a request names, and ids for those that come with it. */
type Sources = { readonly account: Pick<Account, "certificates">; readonly random: Random };

export type CertificateWish = { readonly Certificate?: clb.CertificateInput; readonly MultiCertInfo?: clb.MultiCertInfo };

/** A choice, and the certificates that come with the request: the account has them when its task succeeds. */
export type ChosenCertificate = { readonly choice: CertificateChoice; readonly uploads: readonly CertificateRecord[] };

/** Throws InvalidParameter if the request names a certificate in both ways. */
export function requireOneWay({ Certificate, MultiCertInfo }: CertificateWish): void {
  if (Certificate !== undefined && MultiCertInfo !== undefined)
    throw new CloudError("InvalidParameter", "give one of `Certificate` and `MultiCertInfo`, not both");
}

/** Undefined if the request names no certificate. Throws MissingParameter, InvalidParameterValue, UnsupportedOperation. */
export function chooseCertificate(wish: CertificateWish, from: Sources): ChosenCertificate | undefined {
  requireOneWay(wish);
  const asked = wish.Certificate === undefined ? wish.MultiCertInfo : asMulti(wish.Certificate);
  if (asked === undefined) return undefined;
  if (asked.SSLVerifyClient === "OPTIONAL") throw unsupported("`SSLVerifyClient` OPTIONAL is not offered here, only ON");
  const found = asked.CertList.map((one) => find(one, from));
  const servers = found.filter(({ record }) => record.keyPem !== "");
  const [ca] = found.filter(({ record }) => record.keyPem === "");
  if (servers.length === 0) throw missing("a server certificate");
  const kinds = servers.map(({ record }) => new X509Certificate(record.certPem).publicKey.asymmetricKeyType);
  if (new Set(kinds).size < kinds.length) throw badValue(`\`CertList\` has two certificates of the same kind (${kinds.join(", ")})`);
  const mutual = asked.SSLMode === "MUTUAL";
  if (mutual && ca === undefined) throw missing("the CA certificate that `SSLMode` MUTUAL needs");
  return {
    choice: {
      sslMode: mutual ? "MUTUAL" : "UNIDIRECTIONAL",
      certIds: servers.map(({ record }) => record.id),
      caCertId: mutual ? ca?.record.id : undefined,
    },
    uploads: found.filter(({ isNew }) => isNew).map(({ record }) => record),
  };
}

/** The older way as the newer one. */
function asMulti(given: clb.CertificateInput): clb.MultiCertInfo {
  const {
    SSLMode = "UNIDIRECTIONAL",
    SSLVerifyClient,
    CertId,
    CertName,
    CertContent,
    CertKey,
    CertCaId,
    CertCaName,
    CertCaContent,
  } = given;
  if (CertId === undefined && (CertName === undefined || CertContent === undefined || CertKey === undefined))
    throw missing("`Certificate.CertId`, or all of `CertName`, `CertContent` and `CertKey`");
  const server = CertId === undefined ? { ...pick({ CertName, CertContent, CertKey }) } : { CertId };
  if (SSLMode === "MUTUAL" && CertCaId === undefined && (CertCaName === undefined || CertCaContent === undefined))
    throw missing("`Certificate.CertCaId`, or both of `CertCaName` and `CertCaContent`, for `SSLMode` MUTUAL");
  const ca = CertCaId === undefined ? pick({ CertName: CertCaName, CertContent: CertCaContent }) : { CertId: CertCaId };
  return {
    SSLMode,
    CertList: [server, ...(SSLMode === "MUTUAL" ? [ca] : [])],
    ...(SSLVerifyClient !== undefined && { SSLVerifyClient }),
  };
}

/** Without what is undefined. */
const pick = (given: { [K in keyof clb.CertInfo]: string | undefined }): clb.CertInfo =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

function find(one: clb.CertInfo, { account, random }: Sources): { readonly record: CertificateRecord; readonly isNew: boolean } {
  if (one.CertId !== undefined) {
    const known = account.certificates.get(one.CertId);
    if (known === undefined)
      throw badValue(`certificate ${one.CertId} does not exist in this account; upload it in the request, or give it to the cloud first`);
    return { record: known, isNew: false };
  }
  if (one.CertName === undefined || one.CertContent === undefined)
    throw missing("`CertId`, or `CertName` and `CertContent`, of a certificate");
  return { record: certificateRecord(random, one.CertName, one.CertContent, one.CertKey ?? ""), isNew: true };
}

/** A certificate with a new id. Throws InvalidParameterValue if it is no PEM, or the key is not its own. */
export function certificateRecord(random: Random, name: string, certPem: string, keyPem: string): CertificateRecord {
  try {
    const parsed = new X509Certificate(certPem);
    if (keyPem !== "" && !parsed.checkPrivateKey(createPrivateKey(keyPem))) throw new Error("the key belongs to another certificate");
  } catch (error) {
    throw badValue(`certificate ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { id: newId("cert", random), name, certPem, keyPem };
}

export function showCertificate(choice: CertificateChoice | undefined): Whole<clb.CertificateOutput> | null {
  if (choice === undefined) return null;
  const [first = "", ...others] = choice.certIds;
  return {
    SSLMode: choice.sslMode,
    SSLVerifyClient: choice.sslMode === "MUTUAL" ? "ON" : null,
    CertId: first,
    CertCaId: choice.caCertId ?? null,
    ExtCertIds: others,
  };
}
