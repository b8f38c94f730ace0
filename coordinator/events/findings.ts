import type { Logger } from "../../common/log.ts";
import type { Call } from "../domain/call.ts";
import { type PodStanding, standingProblems } from "../domain/intent/backends.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { kindOfObject } from "../domain/intent/owner-object.ts";
import { ruleConflictMessage } from "../domain/intent/shared-rules.ts";
import type { LoadBalancerOrder } from "../domain/load-balancer.ts";
import type { Finding, Plan } from "../domain/plan/plan-load-balancer.ts";
import { type ObjectRef, type Problem, tkeCode } from "../domain/problem.ts";
import type { EventReason } from "../domain/reasons.ts";
import type { Parked } from "../domain/safety/brake.ts";
import type { Drift } from "../domain/safety/drift.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import { byWishes } from "./by-pods.ts";
import { type ConfigProblemsDeps, configProblems } from "./config-problems.ts";
import { type LastingDeps, makeLastingTeller } from "./lasting.ts";
import { type TellRefusedDeps, tellRefused } from "./refused-writes.ts";
import { describeFinding, isGroup, nameOf, ownerOfPlace, releaseText } from "./wording.ts";

export type FindingsDeps = LastingDeps &
  ConfigProblemsDeps &
  TellRefusedDeps & {
    readonly intents: Pick<Intents, "get">;
    /** Another value when any TkeServiceConfig has changed, or what is asked for through one; default: they are looked at each time. */
    readonly configsVersion?: () => string;
    readonly mirror: Pick<Mirror, "read">;
    readonly log: Logger;
  };

/** Removals that the brake holds, as somebody who tells of them must know them. */
type Held = {
  readonly parked: (loadBalancerId: string) => readonly Parked[];
  /** Ids that a person released and no removal has. */
  readonly strayReleases: (loadBalancerId: string) => readonly string[];
  readonly isHealthRead: (loadBalancerId: string) => boolean;
};

/** Who tells what passes found; `held`: the removals that wait. */
export function makeFindings(deps: FindingsDeps, held: Held) {
  /** Names of listeners that go without a setting, by load balancer: that it is refused again, when it is tried later, is no news. */
  const without = new Map<string, Set<string>>();
  const logged: Logged = new Map();
  const listenerNameOf = (id: string, listenerId: string): string | undefined =>
    deps.mirror.read(id)?.listeners.find((one) => one.listenerId === listenerId)?.name;
  return {
    report: makeReport(deps, held, logged),
    /** The load balancer is nobody's any more. */
    onForgotten: (loadBalancerId: string): void => {
      without.delete(loadBalancerId);
      logged.delete(loadBalancerId);
    },
    onDrift: (loadBalancerId: string, drifts: readonly Drift[]): void => tellDrift(deps, loadBalancerId, drifts),
    onRenamed: (loadBalancerId: string, owner: ObjectRef, listener: RenamedListener): void =>
      tellRenamed(deps, loadBalancerId, owner, listener),
    onLeftOut: (loadBalancerId: string, listenerName: string, settings: readonly string[], refusal: Refusal): void => {
      without.set(loadBalancerId, (without.get(loadBalancerId) ?? new Set()).add(listenerName));
      tellLeftOut(deps, loadBalancerId, listenerName, settings, refusal);
    },
    onRefused: (loadBalancerId: string, call: Call, refusal: string): void => {
      const isSetting = call.lane === "tune" && "healthCheck" in call;
      if (isSetting && without.get(loadBalancerId)?.has(listenerNameOf(loadBalancerId, call.listenerId) ?? "")) return;
      tellRefused(deps, loadBalancerId, call, refusal);
    },
  };
}

/** What the last pass over each load balancer has found: no news in the next one. */
type Logged = Map<string, ReadonlySet<string>>;

/** TKE's codes for an existing load balancer that another Ingress uses, or a group, or that has listeners: here only where a port is in the way. */
const SHARED = { owner: "E4020", group: "E4406", listener: "E4021" } as const;

/** Turns what a pass found but does not touch into Events; the recorder tells each once. */
export function makeReport(
  deps: FindingsDeps,
  held?: Held,
  logged: Logged = new Map(),
): (desired: DesiredLoadBalancer, plan: Plan) => void {
  const tellLasting = makeLastingTeller(deps);
  const problemsAt = problemsByPods();
  const configProblemsOf = configProblemsOnce(deps);
  const podProblems = byWishes((desired) =>
    desired.listeners.flatMap(({ owner, rules, standings }) =>
      (rules ?? [{ standings }]).flatMap((place) => problemsAt(owner, place.standings)),
    ),
  );
  return (desired, plan) => {
    const { loadBalancerId } = desired;
    tellLasting(desired);
    for (const problem of podProblems(desired)) deps.tell(problem);
    for (const problem of configProblemsOf(desired)) deps.tell(problem);
    for (const own of Map.groupBy(desired.ruleConflicts ?? [], ({ owner }) => owner.uid).values()) {
      const message = ruleConflictMessage(loadBalancerId, own);
      if (message !== undefined && own[0] !== undefined)
        deps.tell({ object: own[0].owner, type: "Warning", reason: "RuleConflict", message });
    }
    for (const { owner, holder, protocol, port, group } of desired.conflicts) {
      const message = `${nameOf(owner)}: listener ${protocol}:${port} of ${loadBalancerId} belongs to ${group === "holder" ? "the group of " : ""}${nameOf(holder)}: use another port or another load balancer. What it had instead stays and serves until the port is free`;
      const told = owner.kind === "Ingress" ? tkeCode(group === undefined ? SHARED.owner : SHARED.group, message, owner.kind) : message;
      deps.tell({ object: owner, type: "Warning", reason: "ListenerConflict", message: told });
    }
    for (const { owner, holder, setting } of desired.settingConflicts ?? []) {
      const message = `${nameOf(owner)}: ${setting} of ${loadBalancerId} is what ${nameOf(holder)} wishes, which is older: let both say the same`;
      deps.tell({ object: owner, type: "Warning", reason: "SettingConflict", message });
    }
    for (const finding of plan.findings) {
      const told = findingProblem(deps, desired, finding);
      if (told !== undefined) deps.tell(told);
    }
    logNews(deps.log, loadBalancerId, plan.findings, logged);
    // The annotation was changed after the Event: it says what is wrong with it. The recorder tells the same message once.
    const strays = held?.strayReleases(loadBalancerId) ?? [];
    if (strays.length === 0 || held?.isHealthRead(loadBalancerId) !== true) return;
    for (const parked of held.parked(loadBalancerId)) tellParked(deps, loadBalancerId, parked, strays);
  };
}

/** Of all owners of a load balancer, once for the same owners, configs and order: they are other objects when one of them has changed. */
function configProblemsOnce(deps: FindingsDeps): (desired: DesiredLoadBalancer) => readonly Problem[] {
  type Found = {
    readonly version: string | undefined;
    readonly order: LoadBalancerOrder | undefined;
    readonly problems: readonly Problem[];
  };
  const found = new WeakMap<DesiredLoadBalancer["owners"], Found>();
  return ({ loadBalancerId, owners }) => {
    const [version, order] = [deps.configsVersion?.(), deps.mirror.read(loadBalancerId)?.order];
    const known = found.get(owners);
    if (version !== undefined && known?.version === version && known.order === order) return known.problems;
    const refs = owners.map(({ ref }) => ref);
    const problems = configProblems(deps, refs, order);
    found.set(owners, { version, order, problems });
    return problems;
  };
}

/** The problems of the Pods of a place; the same objects as long as owner and Pods are. */
function problemsByPods(): typeof standingProblems {
  const found = new WeakMap<readonly PodStanding[], { readonly owner: ObjectRef; readonly problems: Problem[] }>();
  return (owner, standings) => {
    const known = found.get(standings);
    if (known?.owner === owner) return known.problems;
    const problems = standingProblems(owner, standings);
    found.set(standings, { owner, problems });
    return problems;
  };
}

function logNews(log: Logger, loadBalancerId: string, findings: readonly Finding[], logged: Logged): void {
  const before = logged.get(loadBalancerId);
  const now = new Set<string>();
  for (const finding of findings) {
    if (finding.kind === "waiting" || finding.kind === "leaving" || finding.kind === "unready") continue;
    const text = `${loadBalancerId}: ${describeFinding(finding)}`;
    if (before?.has(text) !== true && !now.has(text)) log.warn({ loadBalancerId, finding: finding.kind }, text);
    now.add(text);
  }
  if (now.size > 0) logged.set(loadBalancerId, now);
  else logged.delete(loadBalancerId);
}

/** An Event and a line in the log for each listener of ours that somebody else changed; the next writes put it back. */
function tellDrift(
  { listenerOwners, tell, log }: Pick<FindingsDeps, "listenerOwners" | "tell" | "log">,
  loadBalancerId: string,
  drifts: readonly Drift[],
): void {
  for (const { listener, what } of drifts) {
    const { listenerId } = listener;
    log.warn({ loadBalancerId, listenerId, what }, "listener changed by somebody else");
    const owner = listenerOwners.of(loadBalancerId, listener.name);
    if (owner === undefined) continue;
    const message = `${nameOf(owner)}, load balancer ${loadBalancerId}: somebody else changed listener ${listenerId}: ${what}. What the ${owner.kind} asks for is put back: change the ${owner.kind}, not the listener.`;
    tell({ object: owner, type: "Warning", reason: "ListenerDrift", message });
  }
}

/** As `RenamedListener` of the listener's recorder. */
type RenamedListener = { readonly listenerId: string; readonly shown: string; readonly because: string | undefined };

function tellRenamed(
  { tell, log }: Pick<FindingsDeps, "tell" | "log">,
  loadBalancerId: string,
  owner: ObjectRef,
  { listenerId, shown, because }: RenamedListener,
): void {
  log.warn({ loadBalancerId, listenerId, shown, because }, "listener renamed by somebody else");
  const at = `${owner.kind} ${owner.namespace}/${owner.name}, load balancer ${loadBalancerId}: somebody renamed listener ${listenerId} to "${shown}"`;
  const what =
    because === undefined
      ? "It is served as before, and gets its name back once: its name says whose it is"
      : `It is given up with its targets as they are, because ${because}. Give it its former name to have it served again, or delete it: then a new one is made`;
  tell({ object: owner, type: "Warning", reason: "ListenerRenamed", message: `${at}. ${what}` });
}

type TellParkedDeps = Pick<FindingsDeps, "listenerOwners" | "tell"> & { readonly mirror: Pick<Mirror, "read"> };

/** An Event for a removal that the brake holds, with what lets it go. `strays`: ids that a person released and no removal has. */
export function tellParked(
  { listenerOwners, tell, mirror }: TellParkedDeps,
  loadBalancerId: string,
  parked: Parked,
  strays: readonly string[],
): void {
  const { id: removal, place, slots, staying, floor } = parked;
  const owner = ownerOfPlace(mirror, listenerOwners, loadBalancerId, place);
  if (owner === undefined) return;
  const name = `${owner.kind} ${owner.namespace}/${owner.name}`;
  const what = `load balancer ${loadBalancerId}, ${place}: removal ${removal} of ${slots.length} backends would leave ${staying}, fewer than ${floor}`;
  const message = `${name}, ${what}, and nobody has seen their Pods end. ${releaseText(parked, `the ${owner.kind}`, strays)}`;
  tell({ object: owner, type: "Warning", reason: "RemovalParked", message });
}

/** What the cloud said to a call, e.g. { call: { code: "FailedOperation" }, words: "Uin does not support it" }. */
type Refusal = { readonly call: { readonly code: string }; readonly words: string };

/** An Event about settings that a listener goes without because the cloud refuses them. */
function tellLeftOut(
  { listenerOwners, tell, log }: Pick<FindingsDeps, "listenerOwners" | "tell" | "log">,
  loadBalancerId: string,
  listenerName: string,
  settings: readonly string[],
  { call: { code }, words }: Refusal,
): void {
  log.warn({ loadBalancerId, listener: listenerName, settings, code }, "listener created without settings that the cloud refuses");
  const owner = listenerOwners.of(loadBalancerId, listenerName);
  if (owner === undefined) return;
  const message = `${owner.kind} ${owner.namespace}/${owner.name}, load balancer ${loadBalancerId}: listener ${listenerName} was created without ${settings.join(", ")}, which the cloud refuses: ${code}: ${words}. It serves; correct or remove the setting in the TkeServiceConfig`;
  tell({ object: owner, type: "Warning", reason: "SettingLeftOut", message });
}

const PORT_TAKEN =
  "Remove that listener or use another port. What the Service had instead stays and serves until the port is free, then it changes over by itself.";

/** TKE's codes; it has none for backends. Source: tke-contract.md §7. */
const QUOTAS = { TOTAL_LISTENER_QUOTA: "E4004", TOTAL_LISTENER_RULE_QUOTA: "E4005", TOTAL_TARGET_BIND_QUOTA: undefined } as const;

function findingProblem(deps: FindingsDeps, desired: DesiredLoadBalancer, finding: Finding): Problem | undefined {
  const ownerOf = (name: string): ObjectRef | undefined => deps.listenerOwners.of(desired.loadBalancerId, name);
  const warn = (object: ObjectRef, reason: EventReason, fix: string, code?: string): Problem => {
    const holder = finding.kind === "port-taken" ? ownerOf(finding.by.name) : undefined;
    const message = `${nameOf(object)}, load balancer ${desired.loadBalancerId}: ${describeFinding(finding, holder)}. ${fix}`;
    return { object, type: "Warning", reason, message: code === undefined ? message : tkeCode(code, message, kindOfObject(object)) };
  };
  switch (finding.kind) {
    case "port-taken": {
      const told = warn(finding.wanted.owner, "ListenerPortTaken", PORT_TAKEN);
      const isOthers = told.object.kind === "Ingress" && ownerOf(finding.by.name) === undefined;
      return isOthers ? { ...told, message: tkeCode(SHARED.listener, told.message, "Ingress") } : told;
    }
    case "leaving": {
      const owner = finding.makesWay ? ownerOf(finding.listener.name) : undefined;
      return owner && warn(owner, "ListenerInterrupted", "Go by way of a free port if no request may fail.");
    }
    case "orphaned": {
      const owner = ownerOf(finding.listener.name);
      return (
        owner &&
        warn(
          owner,
          "OrphanedListener",
          isGroup(finding.listener)
            ? "No Ingress of the group that is known asks for them: delete them by hand if nobody needs them."
            : `The ${owner.kind} vanished without a deletion: create it again, or delete the listener by hand.`,
          "W1000",
        )
      );
    }
    case "foreign-target": {
      const owner = ownerOf(finding.listener.name);
      return owner && warn(owner, "ForeignBackend", "Remove it by hand if nobody needs it.");
    }
    case "quota":
      return warn(finding.owner, "QuotaExceeded", "Ask for a higher quota, or spread over more load balancers.", QUOTAS[finding.quota]);
    case "unready":
    case "waiting":
      return undefined;
    default:
      return finding satisfies never;
  }
}
