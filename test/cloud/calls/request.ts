/** Pure: the load balancers that a request names, one or many. */
export function loadBalancerIdsOf(request: unknown): string[] {
  if (typeof request !== "object" || request === null) return [];
  const one = "LoadBalancerId" in request ? [request.LoadBalancerId] : [];
  const many = "LoadBalancerIds" in request && Array.isArray(request.LoadBalancerIds) ? request.LoadBalancerIds : [];
  return [...one, ...many].filter((id) => typeof id === "string");
}

/** Pure: how many targets a request names. */
export function targetsIn(request: unknown): number {
  if (typeof request !== "object" || request === null) return 0;
  if ("Targets" in request && Array.isArray(request.Targets)) return request.Targets.length;
  if ("ModifyList" in request && Array.isArray(request.ModifyList))
    return request.ModifyList.reduce((sum: number, item) => sum + targetsIn(item), 0);
  return 0;
}

/** Pure: the service takes `null` for "not given". Most requests have none and are taken as they are. */
export function withoutNulls(value: unknown): unknown {
  if (!hasNulls(value) || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutNulls);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null && item !== undefined)
      .map(([name, item]) => [name, withoutNulls(item)]),
  );
}

function hasNulls(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === null || value === undefined;
  for (const item of Object.values(value)) if (hasNulls(item)) return true;
  return false;
}
