import type { PlacedNode } from "./placement.ts";

/** How Pods are kept from SIGTERM until no load balancer sends to them: by the hold of their node's agent, by a native sleep, or not at all. */
export const DRAIN_MODES = ["hold", "sleep", "none"] as const;
export type DrainMode = (typeof DRAIN_MODES)[number];
/** What somebody asks for; "auto": the best that agents have proven. */
export const DRAIN_WISHES = ["auto", ...DRAIN_MODES] as const;
export type DrainWish = (typeof DRAIN_WISHES)[number];

/** A Node, as far as it decides whether a Pod may land there, and what it has then. */
export type LandingNode = PlacedNode & {
  /** Can have no agent. */
  readonly virtual: boolean;
  /** Milliseconds since the epoch; undefined: it does not say. */
  readonly createdAtMs: number | undefined;
};

/**
 * `because` for a person, e.g. "the agents of all 12 nodes where it may land have proven their rule"; `isLess`: than a hold on every node, and
 * nobody asked for that.
 */
export type DrainChoice = { readonly mode: DrainMode; readonly because: string; readonly isLess: boolean };

/** A node's agent has had the time to start by then; a younger node without a proof counts for nothing. Milliseconds. */
const NEW_MS = 120_000;
/**
 * So many of the nodes may be unproven all the same: a sleep knows nothing of a slow cloud, so one node that is broken must not take the hold
 * from the Pods of all others. Who lands on it stops as without a hook. Own choice.
 */
const TOLERATED = 0.1;
/** Nodes named in a reason. */
const MAX_NAMED = 3;

/**
 * Pure: the ladder. A hook that no agent answers is refused within milliseconds and the Pod stops as it would without one; so a hold is
 * asked for only where the nodes on which the Pod may land, but for one in ten, have proven that calls get through.
 */
export function chooseDrainMode(from: {
  readonly wish: DrainWish;
  /** Where the Pod may land. */
  readonly nodes: readonly LandingNode[];
  /** What a node's agent has proven; undefined: none has said. */
  readonly proofOf: (node: string) => { readonly proven: boolean; readonly because: string } | undefined;
  /** The API server and its kubelets know the action. */
  readonly hasSleep: boolean;
  readonly nowMs: number;
}): DrainChoice {
  const { wish, proofOf, hasSleep, nowMs } = from;
  if (wish === "sleep" && !hasSleep)
    return { mode: "none", because: "it is asked for sleep, which this API server does not know", isLess: true };
  if (wish !== "auto") return { mode: wish, because: "it is asked for", isLess: false };
  const isProven = ({ name }: LandingNode): boolean => proofOf(name)?.proven === true;
  const isNew = ({ createdAtMs }: LandingNode): boolean => createdAtMs !== undefined && createdAtMs + NEW_MS > nowMs;
  const nodes = from.nodes.filter((node) => !node.virtual && (isProven(node) || !isNew(node)));
  const unproven = nodes.filter((node) => !isProven(node));
  if (nodes.length > 0 && unproven.length === 0)
    return {
      mode: "hold",
      because: `the agents of all ${nodes.length} nodes where it may land have proven that preStop calls reach them`,
      isLess: false,
    };
  const named = unproven.slice(0, MAX_NAMED).map(({ name }) => `${name} (${proofOf(name)?.because ?? "no agent has said anything"})`);
  const more = unproven.length > MAX_NAMED ? ` and ${unproven.length - MAX_NAMED} more` : "";
  const because = nodes.length === 0 ? noneBecause(from.nodes.length) : `not proven on ${named.join(", ")}${more}`;
  if (unproven.length <= nodes.length * TOLERATED && nodes.length > 0) return { mode: "hold", because, isLess: true };
  return hasSleep
    ? { mode: "sleep", because, isLess: true }
    : { mode: "none", because: `${because}; this API server does not know sleep`, isLess: true };
}

const noneBecause = (leftOut: number): string =>
  leftOut === 0
    ? "no node is known where it may land"
    : `none of the ${leftOut} nodes where it may land counts: they are virtual, or younger than ${NEW_MS / 60_000} minutes and not proven`;
