import { LIMITS, type Limits } from "../runtime/options.ts";
import { clbActions } from "./clb/index.ts";
import type { ClbPorts } from "./clb/ports.ts";
import { type CvmPorts, cvmActions } from "./cvm/cvm.ts";
import { type SslPorts, sslActions } from "./ssl/ssl.ts";
import { type StsPorts, stsActions } from "./sts/sts.ts";
import { type OfferedAction, withPorts } from "./table/action.ts";
import { type TagPorts, tagActions } from "./tags/tags.ts";
import { type VpcPorts, vpcActions } from "./vpc/vpc.ts";

/** One service of the cloud; `perSecond` is the rate limit of each of its actions. */
export type Service = {
  readonly version: string;
  readonly perSecond: number;
  readonly actions: { readonly [action: string]: OfferedAction };
};

/** What each service needs of the cloud; none sees what another one has. */
type ServicePorts = {
  readonly clb: ClbPorts;
  readonly vpc: VpcPorts;
  readonly cvm: CvmPorts;
  readonly tag: TagPorts;
  readonly sts: StsPorts;
  readonly ssl: SslPorts;
};

/** Everything that this cloud can do, by service. */
export function makeServices(limits: Limits, ports: ServicePorts): ReadonlyMap<string, Service> {
  const { clb, vpc, cvm, tag, sts, ssl } = tablesOf(limits);
  return new Map([
    ["clb", { version: "2018-03-17", perSecond: limits.clbPerSecond, actions: withPorts(clb, ports.clb) }],
    ["vpc", { version: "2017-03-12", perSecond: limits.vpcPerSecond, actions: withPorts(vpc, ports.vpc) }],
    ["cvm", { version: "2017-03-12", perSecond: limits.cvmPerSecond, actions: withPorts(cvm, ports.cvm) }],
    ["tag", { version: "2018-08-13", perSecond: limits.tagPerSecond, actions: withPorts(tag, ports.tag) }],
    ["sts", { version: "2018-08-13", perSecond: limits.stsPerSecond, actions: withPorts(sts, ports.sts) }],
    ["ssl", { version: "2019-12-05", perSecond: limits.sslPerSecond, actions: withPorts(ssl, ports.ssl) }],
  ]);
}

/** Of all services, e.g. "RegisterTargets". */
export const actionNames = (): readonly string[] => Object.values(tablesOf(LIMITS)).flatMap(Object.keys);

const tablesOf = (limits: Limits) => ({
  clb: clbActions(limits),
  vpc: vpcActions(),
  cvm: cvmActions(),
  tag: tagActions(),
  sts: stsActions(),
  ssl: sslActions(),
});
