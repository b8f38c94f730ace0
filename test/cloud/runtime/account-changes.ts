import type { DataPlane } from "../data-plane/data-plane.ts";
import type { Journal } from "../journal/journal.ts";
import {
  type Account,
  type CertificateRecord,
  type ListenerRecord,
  type LoadBalancerRecord,
  type Place,
  placesOf,
  type RuleRecord,
} from "../model/account.ts";
import type { Vips } from "../model/vips.ts";
import type { TargetChanges } from "./target-changes.ts";

/**
 * How load balancers, listeners, rules and certificates come and go. Takes effect at once: tasks call this when they are over. Whoever
 * changes a record in place says so by `note…`, for the journal.
 */
export interface AccountChanges {
  addLoadBalancer(loadBalancer: LoadBalancerRecord): void;
  /** With its listeners and its address. */
  removeLoadBalancer(loadBalancer: LoadBalancerRecord): Promise<void>;
  noteLoadBalancer(loadBalancer: LoadBalancerRecord): void;
  /** Listeners appear and their ports open, all or none. Rejects if a port cannot be listened on: the task fails and says why. */
  addListeners(loadBalancer: LoadBalancerRecord, listeners: readonly ListenerRecord[]): Promise<void>;
  removeListener(loadBalancer: LoadBalancerRecord, listener: ListenerRecord): Promise<void>;
  noteListener(listener: ListenerRecord): void;
  /** The first domain of a listener becomes its default. */
  addRules(listener: ListenerRecord, rules: readonly RuleRecord[]): void;
  /** A rule goes, with its targets. Who is the default domain after it is for the caller to say. */
  removeRule(listener: ListenerRecord, rule: RuleRecord): void;
  noteRule(rule: RuleRecord): void;
  addCertificates(records: readonly CertificateRecord[]): void;
}

type Ports = {
  readonly account: Pick<Account, "loadBalancers" | "certificates">;
  readonly journal: Pick<Journal, "add">;
  readonly vips: Pick<Vips, "release">;
  readonly targets: Pick<TargetChanges, "unbind">;
  readonly dataPlane: Pick<DataPlane, "open" | "close">;
  /** Whether listeners have ports. */
  readonly opensPorts: boolean;
};

export function makeAccountChanges({ account, journal, vips, targets, dataPlane, opensPorts }: Ports): AccountChanges {
  const unbindAll = (place: Place): void => {
    for (const target of place.targets.values()) targets.unbind(place, target);
  };

  const removeListener: AccountChanges["removeListener"] = async (loadBalancer, listener) => {
    placesOf(listener).forEach(unbindAll);
    loadBalancer.listeners.delete(listener.listenerId);
    await dataPlane.close(listener);
    noteListener(journal, listener, "deleted");
  };

  return {
    addLoadBalancer: (loadBalancer) => {
      account.loadBalancers.set(loadBalancer.id, loadBalancer);
      noteLoadBalancer(journal, loadBalancer, "created");
    },
    removeLoadBalancer: async (loadBalancer) => {
      await Promise.all([...loadBalancer.listeners.values()].map((listener) => removeListener(loadBalancer, listener)));
      account.loadBalancers.delete(loadBalancer.id);
      vips.release(loadBalancer.vip);
      noteLoadBalancer(journal, loadBalancer, "deleted");
    },
    noteLoadBalancer: (loadBalancer) => noteLoadBalancer(journal, loadBalancer, "modified"),
    addListeners: async (loadBalancer, listeners) => {
      if (opensPorts) await openAll(dataPlane, listeners, loadBalancer.vip);
      for (const listener of listeners) {
        loadBalancer.listeners.set(listener.listenerId, listener);
        noteListener(journal, listener, "created");
      }
    },
    removeListener,
    noteListener: (listener) => noteListener(journal, listener, "modified"),
    addRules: (listener, rules) => {
      for (const rule of rules) {
        listener.rules.set(rule.locationId, rule);
        listener.defaultDomain ??= rule.domains[0];
        noteRule(journal, rule, "created");
      }
    },
    removeRule: (listener, rule) => {
      unbindAll(rule);
      listener.rules.delete(rule.locationId);
      noteRule(journal, rule, "deleted");
    },
    noteRule: (rule) => noteRule(journal, rule, "modified"),
    addCertificates: (records) => {
      for (const record of records) account.certificates.set(record.id, record);
    },
  };
}

/** All or none. Rejects with what is wrong with the first port that cannot be listened on. */
async function openAll(dataPlane: Ports["dataPlane"], listeners: readonly ListenerRecord[], vip: string): Promise<void> {
  try {
    for (const listener of listeners) await dataPlane.open(listener, vip);
  } catch (error) {
    await Promise.all(listeners.map((listener) => dataPlane.close(listener)));
    throw error;
  }
}

type Change = "created" | "modified" | "deleted";

const noteLoadBalancer = (journal: Ports["journal"], { id, vip }: LoadBalancerRecord, change: Change): void =>
  journal.add({ kind: "load-balancer", change, loadBalancerId: id, vip });

function noteListener(journal: Ports["journal"], listener: ListenerRecord, change: Change): void {
  const { loadBalancerId, listenerId, name, protocol, port } = listener;
  journal.add({ kind: "listener", change, loadBalancerId, listenerId, name, protocol, port });
}

function noteRule(journal: Ports["journal"], rule: RuleRecord, change: Change): void {
  const { loadBalancerId, listenerId, locationId, domains, url } = rule;
  journal.add({ kind: "rule", change, loadBalancerId, listenerId, locationId, domains, url });
}
