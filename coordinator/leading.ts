import type { Change } from "../common/kubernetes/list-watch.ts";
import { eitherSignal } from "../common/signals.ts";
import type { Admission, AdmissionReign } from "./admission/controller.ts";
import { type Controllers, type ControllersDeps, makeControllers } from "./controllers.ts";
import type { IngressRecord } from "./domain/intent/ingress-record.ts";
import type { ServiceRecord } from "./domain/intent/service.ts";
import type { ObjectRef } from "./domain/problem.ts";
import { dryClient, dryTransport } from "./dry-run/dry-clients.ts";
import { ApiDenials } from "./events/api-denials.ts";
import { EventRecorder } from "./events/event-recorder.ts";
import { refusedReport } from "./events/refused-reports.ts";
import type { Reign } from "./leader/elector.ts";
import { fencedClient, fencedTransport } from "./leader/fence.ts";
import type { ServedSelectors } from "./nodes/asked-pods.ts";
import { type NodeRegistry, nodeChanged, type RefusalSource } from "./nodes/node-registry.ts";
import type { SecretName } from "./state/certificate-secrets.ts";
import type { ConfigRecord } from "./state/config-objects.ts";
import type { WatchedObjects, WatchedObjectsDeps } from "./state/watched-objects.ts";
import type { ServingKeeper } from "./tls/serving.ts";

export type LeadingDeps = Omit<ControllersDeps, "tell"> & {
  /** Undefined: nothing is injected by us. */
  readonly admission: Admission | undefined;
  /** Secrets and the CA bundle, which the leader alone writes. */
  readonly serving: Pick<ServingKeeper, "lead">;
  /** Default: no agent speaks to this process. */
  readonly refusals?: RefusalSource;
  /** False: this process may not write any more, whoever it thinks it is. */
  readonly mayWrite: () => boolean;
};

/** What one reign of a leader starts: clients that refuse to write without the Lease, the recorder of Events, the controllers. */
export class Leading {
  readonly #deps: LeadingDeps;
  readonly #denials: ApiDenials;
  #controllers: Controllers | undefined;
  #admission: AdmissionReign | undefined;

  constructor(deps: LeadingDeps) {
    this.#deps = deps;
    this.#denials = new ApiDenials({ ...deps, onDenied: deps.metrics.onDenied });
  }

  /** Undefined while this replica does not lead. */
  get controllers(): Controllers | undefined {
    return this.#controllers;
  }

  /** What the leader's check of the webhook found last; undefined: nothing yet, or this replica does not lead. */
  get admission(): AdmissionReign["last"] {
    return this.#admission?.last;
  }

  /** Rights that this replica has been found to lack, for its readiness; undefined: none. */
  get missingRights(): string | undefined {
    return this.#denials.missing;
  }

  serviceChanged(change: Change<ServiceRecord>): void {
    this.#deps.admission?.serviceChanged(change);
    this.#controllers?.serviceChanged(change);
  }

  servicesListed(): void {
    this.#deps.admission?.servicesListed();
  }

  accessRulesChanged(): void {
    this.#controllers?.accessRulesChanged();
  }

  secretChanged(secret: SecretName): void {
    this.#controllers?.secretChanged(secret);
  }

  configChanged(change: Change<ConfigRecord>): void {
    this.#controllers?.configChanged(change);
  }

  ingressChanged(change: Change<IngressRecord>): void {
    this.#deps.admission?.ingressChanged(change);
    this.#controllers?.ingressChanged(change);
  }

  ingressClassChanged(): void {
    this.#deps.admission?.ingressClassChanged();
    this.#controllers?.ingressClassChanged();
  }

  /** Resolves when the reign is over and everything that ran has ended. */
  async run({ retire, lost }: Reign): Promise<void> {
    const { client, transport, facts, findings, holds, drainTimes, objects, metrics, clock, log, settings, serving, mayWrite } = this.#deps;
    const isDry = settings.policy === "observe";
    const writing = {
      client: isDry ? dryClient(client) : fencedClient(client, mayWrite),
      transport: isDry ? dryTransport(transport) : fencedTransport(transport, mayWrite),
    };
    const stopped = eitherSignal(retire, lost);
    serving.lead(fencedClient(client, mayWrite), stopped); // also of an observer: without a certificate it could not be watched at work
    const events = new EventRecorder({ client: this.#denials.heard(writing.client), clock, log, component: "clb-direct" });
    const tell = events.tell.bind(events);
    const ownersOf = (id: string): readonly ObjectRef[] => this.#controllers?.ownersOf(id) ?? [];
    const heard = this.#denials.heard(writing.client, { tell, ownersOf });
    const controllers = makeControllers({
      ...writing,
      client: heard,
      facts,
      ...(findings && { findings }),
      ...(holds && { holds }),
      ...(drainTimes && { drainTimes }),
      objects,
      tell,
      metrics,
      clock,
      log,
      settings,
    });
    this.#controllers = controllers;
    this.#admission = isDry ? undefined : this.#deps.admission?.reign({ client: heard, tell });
    const unfollow = this.#deps.refusals?.followRefusals((node, why) => tell(refusedReport(node, why)));
    try {
      await Promise.all([controllers.run(stopped, lost), events.run(stopped), this.#admission?.run(stopped)]);
    } finally {
      unfollow?.();
      this.#controllers = undefined;
      this.#admission = undefined;
    }
  }
}

/** What watched objects are told to; made after them, so `parts` is asked at each change. */
export const followersOf = (
  parts: () => {
    readonly leading: Leading;
    readonly registry: NodeRegistry;
    readonly objects: WatchedObjects;
    readonly asked: ServedSelectors;
    readonly listed: () => void;
  },
): Pick<
  WatchedObjectsDeps,
  "onService" | "onConfig" | "onSecret" | "onAccess" | "onIngress" | "onIngressClass" | "onNode" | "onNodesListed" | "onServicesListed"
> => ({
  onService: (change) => {
    parts().asked.serviceChanged(change);
    parts().leading.serviceChanged(change);
  },
  onServicesListed: () => {
    parts().asked.listed();
    parts().leading.servicesListed();
    parts().listed();
  },
  onConfig: (change) => parts().leading.configChanged(change),
  onSecret: (secret) => parts().leading.secretChanged(secret),
  onAccess: () => parts().leading.accessRulesChanged(),
  onIngress: (change) => {
    parts().asked.ingressChanged(change);
    parts().leading.ingressChanged(change);
  },
  onIngressClass: () => parts().leading.ingressClassChanged(),
  onNode: (change) => nodeChanged(parts().registry, change),
  onNodesListed: () => parts().registry.setNodes([...parts().objects.nodes.records.values()]),
});
