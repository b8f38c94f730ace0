/** Faults that hold Pods back and that a person must mend: told by an Event, and by the condition of the Pods that wait for it. */
const FAULT_REASONS = [
  "AddressFamilyUnsupported",
  "AddressNotOnEni",
  "ApiAccessDenied",
  "BindRefused",
  "CloudAccessDenied",
  "CloudCallFailed",
  "ForeignController",
  "InvalidAnnotation",
  "InvalidDirectAccess",
  "InvalidLoadBalancerId",
  "ListenerPortTaken",
  "LoadBalancerNotCreated",
  "LoadBalancerNotFound",
  "NetworkModeUnsupported",
  "NoSelector",
  "NotServed",
  "NotSupported",
  "PodHostNetwork",
  "PortNotDeclared",
  "PortNotListening",
  "SecurityGroupDenies",
  "VpcUnknown",
  "WriteRefused",
] as const;
export type FaultReason = (typeof FAULT_REASONS)[number];

/** Every reason of an Event; docs/errors.md gives cause and fix of each. */
export const EVENT_REASONS = [
  ...FAULT_REASONS,
  "BackendSecurityGroupBypassed",
  "DirectAccessRemoved",
  "EnsureServiceSuccess",
  "ForeignBackend",
  "ForeignGate",
  "InvalidServiceConfig",
  "KeptByPolicy",
  "ListenerConflict",
  "ListenerDrift",
  "ListenerInterrupted",
  "NetworkModesMixed",
  "NoBackends",
  "NoEffect",
  "NotHonoured",
  "LoadBalancerChangeRefused",
  "LoadBalancerKept",
  "OrphanedListener",
  "QuotaExceeded",
  "RemovalParked",
  "ServiceConfigMissing",
  "SettingConflict",
  "SettingLeftOut",
  "StatusContested",
  "StoodDown",
  "UnknownAnnotation",
  "UnsupportedProtocol",
] as const;
export type EventReason = (typeof EVENT_REASONS)[number];

/** Every reason of the gate's condition; docs/conditions.md says what each waits for. */
export const GATE_REASONS = [
  ...FAULT_REASONS,
  "Binding",
  "ContainersNotReady",
  "HealthCheckFailing",
  "HealthChecking",
  "LoadBalancerNetworkGroupReady",
  "NoAddress",
  "NoDirectAccess",
  "Retired",
  "WaitingForBind",
] as const;
export type GateReason = (typeof GATE_REASONS)[number];
