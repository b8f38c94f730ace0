/** Where the scheduler may put a Pod, as far as name, selector, required affinity and taints decide; all else only takes more nodes away. */

type Taint = { readonly key: string; readonly value: string; readonly effect: string };

/** What of a Node decides whether a Pod may land there. */
export type PlacedNode = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
};

/** `key`: the same for Pods that may land on the same nodes; `mayLand` answers for one node. */
export type Placement = { readonly key: string; readonly mayLand: (node: PlacedNode) => boolean };

type Json = Readonly<Record<string, unknown>>;
type Test = (node: PlacedNode) => boolean;

/**
 * Conditions that are asked of each node, and characters that they may have together. Whoever may create a Pod decides how many it has, and
 * 10 000 of them times 5 000 nodes kept a coordinator from its Lease for 16 s. Own choice: people write a handful, tools a few dozen.
 */
const MOST_CONDITIONS = 100;
const MOST_CHARACTERS = 64 * 1024;

/** Too much to evaluate: no node is left out, which is what is known. */
const ANYWHERE: Placement = { key: "anywhere", mayLand: () => true };

/** Pure: the placement of a Pod as it is in a review. Nodes it may not land on for another reason than these are taken for such as it may. */
export function placementOf(pod: unknown): Placement {
  const spec = objectOf(objectOf(pod)["spec"]);
  const { nodeName } = spec;
  if (typeof nodeName === "string" && nodeName !== "") return { key: `node ${nodeName}`, mayLand: ({ name }) => name === nodeName };
  const selector = Object.entries(objectOf(spec["nodeSelector"]));
  const affinity = objectOf(objectOf(spec["affinity"])["nodeAffinity"]);
  const terms = listOf(objectOf(affinity["requiredDuringSchedulingIgnoredDuringExecution"])["nodeSelectorTerms"]).map(
    (term) => [listOf(term["matchExpressions"]), listOf(term["matchFields"])] as const,
  );
  const tolerations = listOf(spec["tolerations"]);
  const conditions = terms.reduce((sum, [expressions, fields]) => sum + 1 + expressions.length + fields.length, 0);
  if (selector.length + conditions + tolerations.length > MOST_CONDITIONS) return ANYWHERE;
  const key = JSON.stringify([selector, terms, tolerations]);
  if (key.length > MOST_CHARACTERS) return ANYWHERE;
  const fits = terms.map(termOf);
  return {
    key,
    mayLand: (node) =>
      selector.every(([label, value]) => node.labels[label] === value) &&
      (fits.length === 0 || fits.some((fit) => fit(node))) &&
      node.taints.every((taint) => taint.effect === "PreferNoSchedule" || tolerations.some((one) => tolerates(one, taint))),
  };
}

/** Source: "Assigning Pods to Nodes": all expressions of a term count, and an empty term fits nothing. */
function termOf([expressions, fields]: readonly [readonly Json[], readonly Json[]]): Test {
  const tests = [
    ...expressions.map((one): Test => {
      const matches = operatorOf(one);
      const label = String(one["key"]);
      return ({ labels }) => matches(labels[label]);
    }),
    ...fields.map((one): Test => {
      const matches = operatorOf(one);
      return ({ name }) => one["key"] === "metadata.name" && matches(name);
    }),
  ];
  return tests.length === 0 ? () => false : (node) => tests.every((one) => one(node));
}

function operatorOf({ operator, values: given }: Json): (value: string | undefined) => boolean {
  const values = Array.isArray(given) ? given.filter((one) => typeof one === "string") : [];
  const among = new Set(values);
  const [first] = values;
  switch (operator) {
    case "In":
      return (value) => value !== undefined && among.has(value);
    case "NotIn":
      return (value) => value === undefined || !among.has(value);
    case "Exists":
      return (value) => value !== undefined;
    case "DoesNotExist":
      return (value) => value === undefined;
    case "Gt":
      return (value) => Number(value) > Number(first);
    case "Lt":
      return (value) => Number(value) < Number(first);
    default:
      return () => false;
  }
}

/** Source: "Taints and Tolerations": no key with Exists tolerates all, no effect all effects. */
function tolerates({ key, operator = "Equal", value = "", effect }: Json, taint: Taint): boolean {
  if (effect !== undefined && effect !== "" && effect !== taint.effect) return false;
  if (operator === "Exists") return key === undefined || key === "" || key === taint.key;
  return key === taint.key && value === taint.value;
}

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const objectOf = (value: unknown): Json => (isRecord(value) ? value : {});
const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(objectOf) : []);
