import { apiVersionOf, RESOURCES, type Resource } from "./resources.ts";

const VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"];
const REVIEWS = { group: "authentication.k8s.io", version: "v1" };
const SUBRESOURCES: Record<string, object> = {
  status: { verbs: ["get", "patch", "update"] },
  scale: { group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get", "patch", "update"] },
  eviction: { group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] },
  binding: { kind: "Binding", verbs: ["create"] },
  token: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", verbs: ["create"] },
};

function entries({ plural, kind, namespaced, shortName, subresources }: Resource): object[] {
  const names = { name: plural, singularName: kind.toLowerCase(), ...(shortName && { shortNames: [shortName] }) };
  const parts = subresources.map((name) => ({ name: `${plural}/${name}`, singularName: "", namespaced, kind, ...SUBRESOURCES[name] }));
  return [{ ...names, namespaced, kind, verbs: VERBS }, ...parts];
}

const groups = (): { group: string; version: string }[] => {
  const seen = new Map([...RESOURCES, REVIEWS].map(({ group, version }) => [group, { group, version }]));
  seen.delete("");
  return [...seen.values()];
};

function groupObject({ group, version }: { group: string; version: string }): object {
  const preferredVersion = { groupVersion: `${group}/${version}`, version };
  return { name: group, versions: [preferredVersion], preferredVersion };
}

/** The discovery document at a path, e.g. "/apis/apps/v1"; undefined where there is none. */
export function discovery(path: string): object | undefined {
  if (path === "/version") return { major: "1", minor: "36", gitVersion: "v1.36.3+embedded", platform: "linux/amd64" };
  if (path === "/api") return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
  if (path === "/apis") return { kind: "APIGroupList", apiVersion: "v1", groups: groups().map(groupObject) };
  const [, root, group = "", version, ...rest] = path.split("/");
  if (root === "api" ? group !== "v1" || version !== undefined : root !== "apis" || rest.length > 0) return undefined;
  const wanted =
    root === "api" ? { group: "", version: "v1" } : groups().find((one) => one.group === group && (version ?? one.version) === one.version);
  if (wanted === undefined) return undefined;
  if (root === "apis" && version === undefined) return { kind: "APIGroup", apiVersion: "v1", ...groupObject(wanted) };
  const reviews = [{ name: "tokenreviews", singularName: "tokenreview", namespaced: false, kind: "TokenReview", verbs: ["create"] }];
  const resources = wanted.group === REVIEWS.group ? reviews : RESOURCES.filter((one) => one.group === wanted.group).flatMap(entries);
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: apiVersionOf(wanted), resources };
}
