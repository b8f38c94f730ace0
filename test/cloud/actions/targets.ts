import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { bind, type CallContext, runBatch, setWeight, startTask, unbind } from "../core.ts";
import { CloudError } from "../errors.ts";
import type { Limits } from "../options.ts";
import { type Place, requireLoadBalancer, requirePlace, targetKey } from "../state.ts";
import { type ActionTable, type Answer, port, requiredText, text, weight, write } from "./action.ts";

const DEFAULT_WEIGHT = 10;

const target = { type: "object", fields: { Port: port, Type: text, InstanceId: text, Weight: weight, EniIp: text, Tag: text } } as const;
const placeFields = { LoadBalancerId: requiredText, ListenerId: requiredText, LocationId: text, Domain: text, Url: text } as const;
const targets = (max: number) => ({ type: "array", required: true, min: 1, max, of: target }) as const;
const batch = (max: number) =>
  ({
    LoadBalancerId: requiredText,
    Targets: {
      type: "array",
      required: true,
      min: 1,
      max,
      of: {
        type: "object",
        fields: { ListenerId: requiredText, Port: port, InstanceId: text, EniIp: text, Weight: weight, LocationId: text, Tag: text },
      },
    },
  }) as const;

/** Limits: clb-api.md §2.3. */
export const targetActions = (limits: Limits): ActionTable => ({
  RegisterTargets: write<clb.RegisterTargetsRequest, clb.RegisterTargetsResponse>({
    fields: { ...placeFields, Targets: targets(limits.registerTargets) },
    run: (request, call) => {
      const wanted = request.Targets.map((one) => ({ ...one, ListenerId: request.ListenerId }));
      const plan = planBind(request.LoadBalancerId, wanted, request, call);
      if (plan.refused.size > 0) throw new CloudError("InvalidParameterValue", plan.message);
      startTask(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
      return {};
    },
  }),

  DeregisterTargets: write<clb.DeregisterTargetsRequest, clb.DeregisterTargetsResponse>({
    fields: { ...placeFields, Targets: targets(limits.deregisterTargets) },
    run: (request, call) => {
      const wanted = request.Targets.map((one) => ({ ...one, ListenerId: request.ListenerId }));
      const plan = planUnbind(request.LoadBalancerId, wanted, request, call);
      if (plan.refused.size > 0) throw new CloudError("InvalidParameterValue", plan.message); // code not known (clb-api.md §9)
      startTask(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
      return {};
    },
  }),

  BatchRegisterTargets: write<clb.BatchRegisterTargetsRequest, clb.BatchRegisterTargetsResponse>({
    fields: batch(limits.batchRegisterTargets),
    run: (request, call) => runPlan(planBind(request.LoadBalancerId, request.Targets, undefined, call), call),
  }),

  BatchDeregisterTargets: write<clb.BatchDeregisterTargetsRequest, clb.BatchDeregisterTargetsResponse>({
    fields: batch(limits.batchDeregisterTargets),
    run: (request, call) => runPlan(planUnbind(request.LoadBalancerId, request.Targets, undefined, call), call),
  }),

  ModifyTargetWeight: write<clb.ModifyTargetWeightRequest, clb.ModifyTargetWeightResponse>({
    fields: { ...placeFields, Targets: targets(limits.modifyTargetWeight), Weight: weight },
    run: (request, call) => {
      modifyWeights(request.LoadBalancerId, [request], call);
      return {};
    },
  }),

  BatchModifyTargetWeight: write<clb.BatchModifyTargetWeightRequest, clb.BatchModifyTargetWeightResponse>({
    fields: {
      LoadBalancerId: requiredText,
      ModifyList: {
        type: "array",
        required: true,
        min: 1,
        max: limits.batchModifyList,
        of: {
          type: "object",
          fields: {
            ListenerId: requiredText,
            Targets: targets(limits.batchModifyPerItem),
            LocationId: text,
            Domain: text,
            Url: text,
            Weight: weight,
          },
        },
      },
    },
    run: (request, call) => {
      const total = request.ModifyList.reduce((sum, { Targets }) => sum + Targets.length, 0);
      if (total > limits.batchModifyTotal)
        throw new CloudError(
          "InvalidParameterValue.Length",
          `\`ModifyList\` names ${total} targets, at most ${limits.batchModifyTotal} are allowed`,
        );
      modifyWeights(request.LoadBalancerId, request.ModifyList, call);
      return {};
    },
  }),
});

/** What a write on targets will do. `refused` are the listeners that it leaves alone or does in part. */
type Plan = {
  readonly loadBalancers: readonly [ReturnType<typeof requireLoadBalancer>];
  readonly targets: number;
  readonly changes: readonly (() => void)[];
  readonly refused: ReadonlySet<string>;
  readonly message: string;
};

type Hint = { readonly LocationId?: string; readonly Domain?: string; readonly Url?: string };

/** In the order of clb-api.md §8.3: ids, lock, quota. Throws *NotFound, Duplicate, ResourceInOperating, LimitExceeded. */
function planBind(loadBalancerId: string, wanted: readonly clb.BatchTarget[], hint: Hint | undefined, call: CallContext): Plan {
  const { core } = call;
  const { loadBalancer, byPlace } = resolve(loadBalancerId, wanted, hint, call);
  const limit = core.settings.limits.targetsPerPlace;
  // Bound ones are counted twice, as the service does (clb-api.md §3.5).
  for (const [place, list] of byPlace)
    if (place.targets.size + list.length > limit)
      throw new CloudError(
        "LimitExceeded",
        `targets of ${nameOf(place)}: ${place.targets.size} are bound, ${list.length} more would exceed the quota of ${limit}`,
      );
  return planEach(loadBalancer, byPlace, call, (place, one) => {
    const { EniIp: ip, Port, Weight = DEFAULT_WEIGHT, Tag } = one;
    if (ip === undefined) return `target of instance ${one.InstanceId}: only EniIp is known here`;
    if (!core.settings.backends.check(ip)) return `EniIp ${ip} is no attached ENI of ${loadBalancer.vpcId}`;
    return () => bind(core, place, { ip, port: Port, weight: Weight, tag: Tag });
  });
}

function planUnbind(loadBalancerId: string, wanted: readonly clb.BatchTarget[], hint: Hint | undefined, call: CallContext): Plan {
  const { loadBalancer, byPlace } = resolve(loadBalancerId, wanted, hint, call);
  return planEach(loadBalancer, byPlace, call, (place, one) => {
    const bound = place.targets.get(targetKey(one.EniIp ?? "", one.Port));
    if (bound === undefined) return `target ${one.EniIp ?? one.InstanceId}:${one.Port} is not bound to ${nameOf(place)}`;
    return () => unbind(call.core, place, bound);
  });
}

type ByPlace = ReadonlyMap<Place, readonly clb.BatchTarget[]>;

/** E.g. "lbl-1" or "lbl-1/loc-2". */
const nameOf = ({ listenerId, locationId }: Place): string => (locationId === undefined ? listenerId : `${listenerId}/${locationId}`);

/** Finds the places, then asks for the lock. */
function resolve(loadBalancerId: string, wanted: readonly clb.BatchTarget[], hint: Hint | undefined, { core }: CallContext) {
  const byPlace = new Map<Place, clb.BatchTarget[]>();
  const seen = new Set<string>();
  for (const one of wanted) {
    requireOneAddress(one);
    const key = `${one.ListenerId} ${one.LocationId ?? ""} ${one.EniIp ?? one.InstanceId}:${one.Port}`;
    if (seen.has(key))
      throw new CloudError("InvalidParameterValue.Duplicate", `target ${one.EniIp ?? one.InstanceId}:${one.Port} is named twice`);
    seen.add(key);
  }
  const loadBalancer = requireLoadBalancer(core.account, loadBalancerId);
  for (const one of wanted) {
    const place = requirePlace(loadBalancer, { ...hint, ...one });
    const list = byPlace.get(place);
    if (list === undefined) byPlace.set(place, [one]);
    else list.push(one);
  }
  core.tasks.requireFree([loadBalancer]);
  return { loadBalancer, byPlace: byPlace as ByPlace };
}

/** `plan` gives the change, or the reason why not; one bad target marks its whole listener, with all its rules (clb-api.md §3.6). */
function planEach(
  loadBalancer: ReturnType<typeof requireLoadBalancer>,
  byPlace: ByPlace,
  call: CallContext,
  plan: (place: Place, one: clb.BatchTarget) => (() => void) | string,
): Plan {
  const outcomes = [...byPlace].flatMap(([place, list]) =>
    list.map((one) => ({ listenerId: place.listenerId, outcome: call.faults.onTarget(one.EniIp ?? "") ?? plan(place, one) })),
  );
  const refused = new Set<string>();
  const reasons: string[] = [];
  for (const { listenerId, outcome } of outcomes) {
    if (typeof outcome !== "string") continue;
    refused.add(listenerId);
    reasons.push(outcome);
  }
  const keepGood = call.core.settings.keepGoodTargetsOfFailedListener;
  const changes = outcomes.flatMap(({ listenerId, outcome }) =>
    typeof outcome === "string" || (refused.has(listenerId) && !keepGood) ? [] : [outcome],
  );
  return { loadBalancers: [loadBalancer], targets: outcomes.length, changes, refused, message: reasons.slice(0, 3).join("; ") };
}

async function runPlan(plan: Plan, call: CallContext): Promise<Answer<clb.BatchRegisterTargetsResponse>> {
  await runBatch(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
  return { FailListenerIdSet: [...plan.refused], Message: plan.message };
}

/** All or none: a target that is not bound refuses the whole call. A target's own weight wins over that of its list. */
function modifyWeights(loadBalancerId: string, list: readonly clb.RsWeightRule[], call: CallContext): void {
  const { core } = call;
  for (const { Targets } of list) Targets.forEach(requireOneAddress);
  const loadBalancer = requireLoadBalancer(core.account, loadBalancerId);
  const changes = list.flatMap((item) => {
    const place = requirePlace(loadBalancer, item);
    return item.Targets.map((one) => {
      const bound = place.targets.get(targetKey(one.EniIp ?? "", one.Port));
      if (bound === undefined)
        throw new CloudError("InvalidParameterValue", `target ${one.EniIp ?? one.InstanceId}:${one.Port} is not bound to ${nameOf(place)}`);
      const wanted = one.Weight ?? item.Weight ?? DEFAULT_WEIGHT;
      // Looked up again when the task is over: it may have been unbound by another way until then.
      return () => void (place.targets.get(targetKey(bound.ip, bound.port)) === bound && setWeight(core, place, bound, wanted));
    });
  });
  core.tasks.requireFree([loadBalancer]);
  startTask(call, { loadBalancers: [loadBalancer], targets: changes.length, apply: () => changes.forEach((change) => change()) });
}

function requireOneAddress(one: { readonly EniIp?: string; readonly InstanceId?: string; readonly Port: number }): void {
  if ((one.EniIp === undefined) === (one.InstanceId === undefined))
    throw new CloudError("InvalidParameterValue", `a target needs exactly one of \`EniIp\` and \`InstanceId\` (port ${one.Port})`);
}
