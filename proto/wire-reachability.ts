/** Generated messages <-> the types of common/reachability.ts. Numbers of enums that this version does not know stop here. */
import {
  type GroupVerdict,
  type NodeFacts,
  type PodTask,
  type PodVerdict,
  type PortTask,
  type PortVerdict,
  type ProbeResult,
  type SecurityGroup,
  type SourceKind,
} from "../common/reachability.ts";
import { cutText } from "./cut-text.ts";
import * as wire from "./gen/clb/direct/v1/node_stream.ts";

/** Texts from the other end are for a person; what is longer is cut. Own choice. */
const LONGEST_TEXT = 1_000;
/** Sets of senders of a port: there is one of each kind. */
const MOST_SETS = 8;
/** More ENIs than a machine takes (some 20), and more characters than an id, a zone or a MAC has. Own choice. */
const FACTS = { macs: 64, characters: 128 };

const SOURCE_NUMBERS: Readonly<Record<SourceKind, wire.SourceKind>> = {
  "health-check": wire.SourceKind.SOURCE_KIND_HEALTH_CHECK,
  clients: wire.SourceKind.SOURCE_KIND_CLIENTS,
};
const PROBE_NUMBERS: Readonly<Record<ProbeResult, wire.ProbeResult>> = {
  pending: wire.ProbeResult.PROBE_RESULT_UNSPECIFIED,
  open: wire.ProbeResult.PROBE_RESULT_OPEN,
  refused: wire.ProbeResult.PROBE_RESULT_REFUSED,
  "timed-out": wire.ProbeResult.PROBE_RESULT_TIMED_OUT,
  unreachable: wire.ProbeResult.PROBE_RESULT_UNREACHABLE,
  "not-checked": wire.ProbeResult.PROBE_RESULT_NOT_CHECKED,
};
const VERDICT_NUMBERS: Readonly<Record<GroupVerdict, wire.GroupVerdict>> = {
  unknown: wire.GroupVerdict.GROUP_VERDICT_UNSPECIFIED,
  allowed: wire.GroupVerdict.GROUP_VERDICT_ALLOWED,
  denied: wire.GroupVerdict.GROUP_VERDICT_DENIED,
  partly: wire.GroupVerdict.GROUP_VERDICT_PARTLY,
};

export const toPodTask = ({ uid, ip, ports }: PodTask): wire.PodTask => ({ uid, ip, ports: ports.map(toPortTask) });

const toPortTask = ({ groups, sources, ...same }: PortTask): wire.PortTask => ({
  ...same,
  groups: [...groups],
  sources: sources.map(({ kind, addresses, admittedBy, ...rest }) => {
    return { ...rest, kind: SOURCE_NUMBERS[kind], addresses: [...addresses], admittedBy: [...admittedBy] };
  }),
});

/** A kind of senders that this version does not know is left out: nothing is said of it. */
export const fromPodTask = ({ uid, ip, ports }: wire.PodTask): PodTask => ({
  uid,
  ip,
  ports: ports.map(({ sources, ...same }) => ({
    ...same,
    sources: sources.flatMap(({ kind: number, ...rest }) => {
      const kind = nameOf(SOURCE_NUMBERS, number);
      return kind === undefined ? [] : [{ ...rest, kind }];
    }),
  })),
});

export const toSecurityGroup = ({ id, version, rules }: SecurityGroup): wire.SecurityGroup => ({
  id,
  version,
  rules: rules.map(({ services, sources, ...same }) => ({ ...same, services: [...services], sources: [...sources] })),
});

export const toPodVerdict = ({ uid, ports }: PodVerdict): wire.PodVerdict => ({ uid, ports: ports.map(toPortVerdict) });

const toPortVerdict = ({ probe, sources, ...same }: PortVerdict): wire.PortVerdict => ({
  ...same,
  probe: PROBE_NUMBERS[probe],
  sources: sources.map(({ kind, verdict, because }) => ({ kind: SOURCE_NUMBERS[kind], verdict: VERDICT_NUMBERS[verdict], because })),
});

/** An answer that this version does not know counts as none. */
export const fromPodVerdict = ({ uid, ports }: wire.PodVerdict): PodVerdict => ({
  uid,
  ports: ports.map(({ probe, probeText, sources, ...same }) => ({
    ...same,
    probe: nameOf(PROBE_NUMBERS, probe) ?? "pending",
    probeText: cutText(probeText, LONGEST_TEXT),
    sources: sources.slice(0, MOST_SETS).flatMap(({ kind: number, verdict, because }) => {
      const kind = nameOf(SOURCE_NUMBERS, number);
      const said = { verdict: nameOf(VERDICT_NUMBERS, verdict) ?? ("unknown" as const), because: cutText(because, LONGEST_TEXT) };
      return kind === undefined ? [] : [{ kind, ...said }];
    }),
  })),
});

/** What cannot be of a machine is left out. */
export const fromNodeFacts = ({ instanceId, region, zone, macs }: wire.NodeFacts): NodeFacts => {
  const said = (text: string): string => cutText(text, FACTS.characters);
  return { instanceId: said(instanceId), region: said(region), zone: said(zone), macs: macs.slice(0, FACTS.macs).map(said) };
};

function nameOf<K extends string>(numbers: Readonly<Record<K, number>>, wanted: number): K | undefined {
  for (const name in numbers) if (numbers[name] === wanted) return name;
  return undefined;
}
