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
  customWeight: `${TKE}custom-weight`,
  securityGroups: `${TKE}security-groups`,
  passToTarget: `${TKE}pass-to-target`,
  preventLoopback: `${TKE}prevent-loopback`,
  mode: `${TKE}mode`,
  modificationProtection: `${TKE}modification-protection`,
  deletionProtection: `${TKE}deletion-protection`,
  retain: `${TKE}loadbalance-retain`,
  mixTargetPrefer: `${TKE}mix-target-prefer`,
} as const;
