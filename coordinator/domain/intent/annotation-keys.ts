import {
  DIRECT_ACCESS,
  EXISTING_LOAD_BALANCER,
  INGRESS_CLASS,
  INGRESS_CONDITIONS,
  INGRESS_LOAD_BALANCER_ID,
  INTERNAL_SUBNET,
  LOAD_BALANCER_ID,
  SERVICE_CONFIG,
} from "../../../common/names.ts";

/** Prefixes of TKE's keys on Services. */
export const TKE = "service.cloud.tencent.com/";
export const KUBERNETES = "service.kubernetes.io/";

/** Keys on Services that we read by name, besides those of common/names.ts. */
export const KEYS = {
  chargeType: `${KUBERNETES}qcloud-loadbalancer-internet-charge-type`,
  bandwidth: `${KUBERNETES}qcloud-loadbalancer-internet-max-bandwidth-out`,
  oldChargeType: "kubernetes.io/service.internetChargeType",
  oldBandwidth: "kubernetes.io/service.internetMaxBandwidthOut",
  extensive: `${KUBERNETES}service.extensiveParameters`,
  configAuto: `${TKE}tke-service-config-auto`,
  specifyProtocol: `${TKE}specify-protocol`,
  weights: `${TKE}lb-rs-weight`,
  securityGroups: `${TKE}security-groups`,
  passToTarget: `${TKE}pass-to-target`,
  preventLoopback: `${TKE}prevent-loopback`,
  mode: `${TKE}mode`,
  modificationProtection: `${TKE}modification-protection`,
  deletionProtection: `${TKE}deletion-protection`,
  retain: `${TKE}loadbalance-retain`,
  mixTargetPrefer: `${TKE}mix-target-prefer`,
  natIpv6: `${KUBERNETES}loadbalance-nat-ipv6`,
} as const;

/** Prefixes of TKE's keys on Ingresses. */
export const TKE_INGRESS = "ingress.cloud.tencent.com/";
const OLD_INGRESS = "kubernetes.io/ingress.";

/** Keys on Ingresses that we read by name. */
export const INGRESS_KEYS = {
  class: INGRESS_CLASS,
  conditions: INGRESS_CONDITIONS,
  directAccess: `${TKE_INGRESS}direct-access`,
  existing: `${OLD_INGRESS}existLbId`,
  loadBalancerId: INGRESS_LOAD_BALANCER_ID,
  config: `${TKE_INGRESS}tke-service-config`,
  configAuto: `${TKE_INGRESS}tke-service-config-auto`,
  subnet: `${OLD_INGRESS}subnetId`,
  chargeType: `${OLD_INGRESS}internetChargeType`,
  bandwidth: `${OLD_INGRESS}internetMaxBandwidthOut`,
  extensive: `${OLD_INGRESS}extensiveParameters`,
  ruleMix: `${OLD_INGRESS}rule-mix`,
  ruleMixBoth: `${OLD_INGRESS}rule-mix-both`,
  httpRules: `${OLD_INGRESS}http-rules`,
  httpsRules: `${OLD_INGRESS}https-rules`,
  listenPorts: `${TKE_INGRESS}listen-ports`,
  certificate: `${TKE_INGRESS}certificate`,
  group: `${TKE_INGRESS}enable-group`,
  weights: `${TKE_INGRESS}lb-rs-weight`,
  customWeight: `${TKE_INGRESS}custom-weight`,
  securityGroups: `${TKE_INGRESS}security-groups`,
  passToTarget: `${TKE_INGRESS}pass-to-target`,
  mode: `${TKE_INGRESS}mode`,
  modificationProtection: `${TKE_INGRESS}modification-protection`,
  deletionProtection: `${TKE_INGRESS}deletion-protection`,
  retain: `${TKE_INGRESS}loadbalance-retain`,
  mixTargetPrefer: `${TKE_INGRESS}mix-target-prefer`,
  natIpv6: `${TKE_INGRESS}loadbalance-nat-ipv6`,
  ipv6: `${TKE_INGRESS}loadbalance-ipv6`,
  autoRewrite: `${TKE_INGRESS}auto-rewrite`,
  autoRewriteCode: `${TKE_INGRESS}auto-rewrite-code`,
  rewriteSupport: `${TKE_INGRESS}rewrite-support`,
} as const;

/** The same wish has a key on Services and another one on Ingresses; "": there is none. */
export type OwnerKeys = {
  readonly [K in
    | "directAccess"
    | "existing"
    | "loadBalancerId"
    | "config"
    | "configAuto"
    | "subnet"
    | "chargeType"
    | "bandwidth"
    | "oldChargeType"
    | "oldBandwidth"
    | "extensive"
    | "weights"
    | "securityGroups"
    | "passToTarget"
    | "preventLoopback"
    | "mode"
    | "deletionProtection"
    | "retain"
    | "mixTargetPrefer"
    | "natIpv6"
    | "ipv6"]: string;
};

const OF_KIND: Readonly<Record<"Service" | "Ingress", OwnerKeys>> = {
  Service: {
    ...KEYS,
    directAccess: DIRECT_ACCESS,
    existing: EXISTING_LOAD_BALANCER,
    loadBalancerId: LOAD_BALANCER_ID,
    config: SERVICE_CONFIG,
    subnet: INTERNAL_SUBNET,
    ipv6: "",
  },
  Ingress: { ...INGRESS_KEYS, oldChargeType: "", oldBandwidth: "", preventLoopback: "" },
};
export const keysOf = (kind: "Service" | "Ingress"): OwnerKeys => OF_KIND[kind];
