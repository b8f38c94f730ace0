import type { Limits } from "../runtime/options.ts";
import { clbActions } from "./clb/index.ts";
import { cvmActions } from "./cvm/cvm.ts";
import { stsActions } from "./sts/sts.ts";
import type { ActionTable } from "./table/action.ts";
import { tagActions } from "./tags/tags.ts";
import { vpcActions } from "./vpc/vpc.ts";

/** One service of the cloud; `perSecond` is the rate limit of each of its actions. */
export type Service = { readonly version: string; readonly perSecond: number; readonly actions: ActionTable };

/** Everything that this cloud can do, by service. */
export const makeServices = (limits: Limits): ReadonlyMap<string, Service> =>
  new Map([
    ["clb", { version: "2018-03-17", perSecond: limits.clbPerSecond, actions: clbActions(limits) }],
    ["vpc", { version: "2017-03-12", perSecond: limits.vpcPerSecond, actions: vpcActions() }],
    ["cvm", { version: "2017-03-12", perSecond: limits.cvmPerSecond, actions: cvmActions() }],
    ["tag", { version: "2018-08-13", perSecond: limits.tagPerSecond, actions: tagActions() }],
    ["sts", { version: "2018-08-13", perSecond: limits.stsPerSecond, actions: stsActions() }],
  ]);
