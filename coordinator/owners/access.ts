import { ACCESS_CONFIG_MAP } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { asksLabels, asksTags, refusedSource, rulesFor } from "../domain/intent/access-rules.ts";
import { type Blocker, intentOf } from "../domain/intent/owner-intent.ts";
import { type OwnerObject, objectName } from "../domain/intent/owner-object.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import type { Access } from "../state/access.ts";
import type { Intents } from "../state/intents.ts";

export type AccessDeps = {
  readonly access: Pick<Access, "reading" | "labelsOf">;
  readonly api: Pick<ClbApi, "loadBalancer">;
  readonly intents: Pick<Intents, "all">;
};

/** Why the object may not have the load balancer that it asks for; undefined: it may. Only for one that has none yet. */
export async function refusedAccess(
  { access, api, intents }: AccessDeps,
  object: OwnerObject,
  { source }: ServiceIntent,
  signal: AbortSignal,
): Promise<Blocker | undefined> {
  const { rules, fault } = access.reading;
  if (rules === undefined) return undefined;
  const { namespace, uid } = object;
  const refused = (because: string): Blocker => ({ reason: "LoadBalancerNotAllowed", message: `${objectName(object)}: ${because}` });
  if (fault !== undefined)
    return refused(`ConfigMap ${ACCESS_CONFIG_MAP} cannot be read (${fault}), so no load balancer is given to anybody: correct it`);
  const mine = rulesFor(rules, namespace, asksLabels(rules) ? await access.labelsOf(namespace, signal) : {});
  const isNamed = source.kind === "existing" && asksTags(mine);
  const tags = isNamed ? ((await api.loadBalancer(source.loadBalancerId, signal))?.tags ?? {}) : {};
  const created = [...intents.all].filter(({ ref, ...owner }) => {
    const counts =
      ref.namespace === namespace &&
      ref.uid !== uid &&
      (owner.state === "served" || (owner.state === "waiting" && owner.blocker === undefined));
    return counts && intentOf({ ref, ...owner })?.source.kind === "create";
  }).length;
  const because = refusedSource(mine, source, { tags, created });
  const fix = `ask whoever keeps ConfigMap ${ACCESS_CONFIG_MAP} in the coordinator's Namespace, or use another load balancer`;
  return because === undefined ? undefined : refused(`Namespace ${namespace} ${because}: ${fix}`);
}
