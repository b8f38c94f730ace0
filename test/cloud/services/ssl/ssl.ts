import { X509Certificate } from "node:crypto";
import type * as ssl from "tencentcloud-sdk-nodejs/tencentcloud/services/ssl/v20191205/ssl_models.js";
import { type Account, type CertificateRecord, OWNER_UIN } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import type { Random } from "../../runtime/random.ts";
import { certificateRecord } from "../clb/certificates.ts";
import { usersOf } from "../clb/replace-certificates.ts";
import { type ActionTable, cloudTime, flag, integer, read, requiredText, text, texts, unused, write } from "../table/action.ts";
import { pageOf } from "../table/paging.ts";

export type SslPorts = { readonly random: Random };

const tags = {
  type: "array",
  of: { type: "object", fields: { TagKey: requiredText, TagValue: { type: "string", required: true } } },
} as const;

/** Certificates of the account, as far as listeners need them: no orders, no reviews, no hosting. Shapes: published-shapes.json. */
export const sslActions = (): ActionTable<SslPorts> => ({
  UploadCertificate: write<ssl.UploadCertificateRequest, ssl.UploadCertificateResponse, SslPorts>({
    fields: {
      CertificatePublicKey: requiredText,
      CertificatePrivateKey: text,
      CertificateType: { type: "string", oneOf: ["SVR", "CA"] },
      Alias: text,
      ProjectId: integer,
      CertificateUse: text,
      Tags: tags,
      Repeatable: flag,
      KeyPassword: unused,
    },
    run: upload,
  }),

  DescribeCertificates: read<ssl.DescribeCertificatesRequest, ssl.DescribeCertificatesResponse>({
    fields: {
      Offset: { type: "integer", min: 0 },
      Limit: { type: "integer", min: 1, max: 1000 },
      SearchKey: text,
      CertificateType: { type: "string", oneOf: ["SVR", "CA"] },
      CertIds: texts(),
      ProjectId: integer,
      ExpirationSort: unused,
      CertificateStatus: { type: "array", of: integer },
      Deployable: integer,
      Upload: integer,
      Renew: integer,
      FilterSource: text,
      IsSM: integer,
      FilterExpiring: integer,
      Hostable: integer,
      Tags: tags,
      IsPendingIssue: integer,
      ServiceId: text,
    },
    run: (request, { account }) => {
      const { SearchKey: key = "", CertIds: ids = [], CertificateType: type } = request;
      const found = [...account.certificates.values()].filter(
        (one) =>
          (ids.length === 0 || ids.includes(one.id)) &&
          (type === undefined || typeOf(one) === type) &&
          [one.id, one.name, ...namesOf(one)].some((said) => said.includes(key)),
      );
      return { TotalCount: found.length, Certificates: pageOf(found, request).map(show) };
    },
  }),

  DescribeCertificateDetail: read<ssl.DescribeCertificateDetailRequest, ssl.DescribeCertificateDetailResponse>({
    fields: { CertificateId: requiredText },
    run: ({ CertificateId: id }, { account }) => detail(requireCertificate(account, id)),
  }),

  DeleteCertificate: write<ssl.DeleteCertificateRequest, ssl.DeleteCertificateResponse>({
    fields: { CertificateId: requiredText, IsCheckResource: flag },
    run: ({ CertificateId: id }, { account }) => {
      requireCertificate(account, id);
      const user = userOf(account, id);
      if (user !== undefined) throw new CloudError("FailedOperation.DeleteResourceFailed", `certificate ${id} is used by listener ${user}`);
      account.certificates.delete(id);
      return { DeleteResult: true, TaskId: null };
    },
  }),
});

/** The same certificate again is answered with the id that it has, unless `Repeatable` (the default) asks for another one. */
function upload(request: ssl.UploadCertificateRequest, { account }: { readonly account: Account }, { random }: SslPorts) {
  const { CertificatePublicKey: certPem, CertificatePrivateKey: keyPem = "", Alias: name = "", CertificateType: type = "SVR" } = request;
  if (type === "SVR" && keyPem === "")
    throw new CloudError("FailedOperation.CertificateInvalid", "a server certificate needs its `CertificatePrivateKey`");
  const made = recordOf(random, name, certPem, type === "CA" ? "" : keyPem);
  const same = [...account.certificates.values()].find((one) => one.certPem.trim() === certPem.trim());
  if (same !== undefined && request.Repeatable === false) return { CertificateId: same.id, RepeatCertId: same.id };
  account.certificates.set(made.id, made);
  return { CertificateId: made.id, RepeatCertId: "" };
}

/** Throws CertificateInvalid if it is no PEM, or the key is not its own. */
function recordOf(random: Random, name: string, certPem: string, keyPem: string): CertificateRecord {
  try {
    return certificateRecord(random, name, certPem, keyPem);
  } catch (error) {
    throw new CloudError("FailedOperation.CertificateInvalid", error instanceof Error ? error.message : String(error));
  }
}

/** Throws CertificateNotFound. */
function requireCertificate(account: Account, id: string): CertificateRecord {
  const found = account.certificates.get(id);
  if (found === undefined) throw new CloudError("FailedOperation.CertificateNotFound", `certificate ${id} does not exist in this account`);
  return found;
}

/** Id of a listener that is served with the certificate, or has a domain that is. */
const userOf = ({ loadBalancers }: Account, id: string): string | undefined =>
  [...loadBalancers.values()].flatMap((one) => usersOf(one, id))[0]?.listener.listenerId;

const typeOf = ({ keyPem }: CertificateRecord): "SVR" | "CA" => (keyPem === "" ? "CA" : "SVR");

/** Its domains, the common name first. */
function namesOf({ certPem }: CertificateRecord): string[] {
  const { subject, subjectAltName }: { readonly subject: string; readonly subjectAltName: string | undefined } = new X509Certificate(
    certPem,
  );
  const common = /(?:^|\n)CN=(.+)/.exec(subject)?.[1];
  const others = [...(subjectAltName ?? "").matchAll(/DNS:([^,\s]+)/g)].flatMap(([, name]) => name ?? []);
  return [...new Set([...(common === undefined ? [] : [common]), ...others])];
}

/** What both reads tell. */
function facts(one: CertificateRecord) {
  const x509 = new X509Certificate(one.certPem);
  const [domain = "", ...others] = namesOf(one);
  const [from, to] = [Date.parse(x509.validFrom), Date.parse(x509.validTo)];
  const months = Math.max(1, Math.round((to - from) / (30 * 86_400_000)));
  return {
    OwnerUin: OWNER_UIN,
    ProjectId: "0",
    From: "upload",
    CertificateType: typeOf(one),
    PackageType: "",
    ProductZhName: "",
    Domain: domain,
    Alias: one.name,
    Status: 1,
    VulnerabilityStatus: "INACTIVE",
    VerifyType: "",
    CertBeginTime: cloudTime(from),
    CertEndTime: cloudTime(to),
    ValidityPeriod: String(months),
    InsertTime: cloudTime(from),
    CertificateId: one.id,
    SubjectAltName: others,
    StatusName: "issued",
    IsVip: false,
    IsDv: false,
    IsWildcard: domain.startsWith("*."),
    IsVulnerability: false,
    RenewAble: false,
    Deployable: true,
    Tags: [],
    EncryptAlgorithm: x509.publicKey.asymmetricKeyType === "rsa" ? "RSA 2048" : "ECC 256",
  };
}

const EXTRA = {
  DomainNumber: "1",
  OriginCertificateId: null,
  ReplacedBy: null,
  ReplacedFor: null,
  RenewOrder: null,
  SMCert: 0,
  CompanyType: 0,
};

function show(one: CertificateRecord) {
  return {
    ...facts(one),
    CertificateExtra: EXTRA,
    StatusMsg: "",
    PackageTypeName: "",
    ProjectInfo: {
      ProjectName: "default",
      ProjectCreatorUin: 0,
      ProjectCreateTime: "0000-00-00 00:00:00",
      ProjectResume: "",
      OwnerUin: 0,
      ProjectId: "0",
    },
    BoundResource: [],
    IsIgnore: false,
    IsSM: false,
    CAEncryptAlgorithms: [],
    CAEndTimes: [],
    CACommonNames: [],
    PreAuditInfo: { TotalPeriod: 0, NowPeriod: 0, ManagerId: "" },
    AutoRenewFlag: 0,
    HostingStatus: -1,
    HostingCompleteTime: "",
    HostingRenewCertId: "",
    HasRenewOrder: "",
    ReplaceOriCertIsDelete: false,
    IsExpiring: false,
    DVAuthDeadline: "",
    ValidationPassedTime: "",
    CertSANs: namesOf(one),
    AwaitingValidationMsg: "",
    AllowDownload: true,
    IsDNSPODResolve: false,
    IsPackage: false,
    KeyPasswordCustomFlag: false,
    SupportDownloadType: { NGINX: true, APACHE: true, TOMCAT: true, IIS: true, JKS: true, OTHER: true, ROOT: true },
    IsHostingUploadRenewCert: false,
  };
}

function detail(one: CertificateRecord) {
  const x509 = new X509Certificate(one.certPem);
  const told = facts(one);
  return {
    ...told,
    OrderId: "",
    StatusMsg: null,
    RootCert: { Sign: null, Encrypt: null, Standard: "" },
    EncryptCert: null,
    EncryptPrivateKey: null,
    CertificatePrivateKey: one.keyPem,
    CertificatePublicKey: one.certPem,
    VulnerabilityReport: null,
    TypeName: "",
    CertificateExtra: EXTRA,
    DvAuthDetail: { DvAuths: null, DvAuthKey: null, DvAuthValue: null, DvAuthDomain: null, DvAuthPath: null, DvAuthKeySubDomain: "" },
    DvRevokeAuthDetail: [],
    SubmittedData: null,
    CertFingerprint: x509.fingerprint.replaceAll(":", ""),
    EncryptCertFingerprint: null,
    CertChainInfo: [
      {
        Issuer: x509.issuer,
        Subject: x509.subject,
        Fingerprint: x509.fingerprint.replaceAll(":", "").toLowerCase(),
        ValidFrom: told.CertBeginTime,
        ValidTo: told.CertEndTime,
      },
    ],
    UseCrossSignRoot: false,
    DomainType: 1,
    CertType: "",
    HostingStatus: -1,
  };
}
