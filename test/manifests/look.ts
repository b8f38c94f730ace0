/** What has come of a case: the cloud in its own words, objects, Events, gates. */
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { differences, type Expected } from "./case.ts";
import type { ManifestWorld } from "./world.ts";

type Raw = Readonly<Record<string, unknown>>;
const listIn = (value: unknown, name: string): readonly Raw[] => {
  const list: unknown = Object(value)[name];
  return Array.isArray(list) ? list : [];
};

/** Every difference from what should be; `some`: more Events than those that are expected may have been told. */
export async function faultsOf(world: ManifestWorld, expected: Expected, some = false): Promise<string[]> {
  const { store } = world;
  const stored = (plural: string, name: string): unknown => store.get(plural, "demo", name);
  const gates = Object.entries(expected.gates).flatMap(([pod, value]) => {
    const gate = listIn(Object(Object(stored("pods", pod))["status"]), "conditions").find(({ type }) => type === DEFAULT_GATE_TYPE);
    return differences(value, gate?.["status"] ?? "absent", `gate of ${pod}`);
  });
  const objects = (plural: string, wanted: Readonly<Record<string, unknown>>): string[] =>
    Object.entries(wanted).flatMap(([name, object]) => differences(object, stored(plural, name), `${plural}/${name}`));
  return [
    ...(expected.loadBalancers === undefined ? [] : differences(expected.loadBalancers, await cloudOf(world), "loadBalancers")),
    ...objects("services", expected.services),
    ...objects("tkeserviceconfigs", expected.configs),
    ...objects("ingresses", expected.ingresses),
    ...gates,
    ...eventFaults(expected.events, eventsOf(world), some),
  ];
}

/** "Service/web Warning NotSupported the message", oldest first. */
const eventsOf = ({ store }: ManifestWorld): string[] =>
  store.list("events").map((event) => {
    const { involvedObject, type, reason, message } = event as unknown as Raw;
    const { kind, name } = Object(involvedObject) as { readonly kind: string; readonly name: string };
    return `${kind}/${name} ${String(type)} ${String(reason)} ${String(message)}`;
  });

/** An expected Event is "Service/web Warning NotSupported", with "/words/" of its message after it where they matter. */
function eventFaults(expected: readonly string[], told: readonly string[], some: boolean): string[] {
  const left = new Set(told);
  const missing = expected.filter((wanted) => {
    const [, head = wanted, words] = /^(.*?)(?: \/(.*)\/)?$/.exec(wanted) ?? [];
    const found = [...left].find((event) => event.startsWith(`${head} `) && (words === undefined || new RegExp(words).test(event)));
    if (found !== undefined) left.delete(found);
    return found === undefined;
  });
  return [
    ...missing.map((wanted) => `Event is missing: ${wanted}; told are ${JSON.stringify(told)}`),
    ...(some ? [] : [...left].map((event) => `Event too much: ${event}`)),
  ];
}

/** "301 HTTPS:443 shop.example.com/" where a rule redirects to another one. */
function redirectOf({ RewriteTarget: to }: Raw, listeners: readonly Raw[]): string | null {
  const { TargetListenerId, TargetLocationId, RewriteCode } = Object(to);
  const listener = listeners.find(({ ListenerId }) => ListenerId === TargetListenerId);
  const rule = listIn(listener, "Rules").find(({ LocationId }) => LocationId === TargetLocationId);
  if (listener === undefined || rule === undefined) return null;
  return `${String(RewriteCode)} ${String(listener["Protocol"])}:${String(listener["Port"])} ${String(rule["Domain"])}${String(rule["Url"])}`;
}

/** Every load balancer as DescribeLoadBalancers shows it, with its listeners and rules and their targets and redirects, listeners by port and rules by name. */
async function cloudOf({ cloud, store }: ManifestWorld): Promise<Raw[]> {
  const nameOf = (ip: unknown): string => {
    const pod = store.list("pods").find(({ status }) => listIn(status, "podIPs").some((one) => one["ip"] === ip));
    return pod?.metadata.name ?? String(ip);
  };
  const targetsOf = (place: Raw): string[] =>
    listIn(place, "Targets")
      .map(
        ({ PrivateIpAddresses: ips, Port, Weight }) =>
          `${nameOf(Array.isArray(ips) ? ips[0] : undefined)}:${String(Port)}=${String(Weight)}`,
      )
      .sort();
  const call = async (action: string, request: object): Promise<unknown> => await cloud.call("clb", action, request, { name: "the test" });
  const all = listIn(await call("DescribeLoadBalancers", { Limit: 100 }), "LoadBalancerSet");
  const result: Raw[] = [];
  for (const one of all.toReversed()) {
    const { LoadBalancerId } = one;
    const bound = listIn(await call("DescribeTargets", { LoadBalancerId }), "Listeners");
    const shown = listIn(await call("DescribeListeners", { LoadBalancerId }), "Listeners");
    const listeners = shown.map((listener): Raw => {
      const targets = bound.find(({ ListenerId }) => ListenerId === listener["ListenerId"]) ?? {};
      const rules = listIn(listener, "Rules").map((rule): Raw => {
        const there = listIn(targets, "Rules").find(({ LocationId }) => LocationId === rule["LocationId"]) ?? {};
        return { ...rule, Targets: targetsOf(there), RedirectsTo: redirectOf(rule, shown) };
      });
      const nameOfRule = ({ Domain, Url }: Raw): string => `${String(Domain)} ${String(Url)}`;
      rules.sort((a, b) => (nameOfRule(a) < nameOfRule(b) ? -1 : 1));
      return { ...listener, Targets: targetsOf(targets), Rules: rules };
    });
    const portOf = ({ Port, Protocol }: Raw): string => `${String(Port).padStart(5)} ${String(Protocol)}`;
    result.push({ ...one, Listeners: listeners.sort((a, b) => (portOf(a) < portOf(b) ? -1 : 1)) });
  }
  return result;
}
