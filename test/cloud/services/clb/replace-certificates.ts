import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { CertificateChoice, ListenerRecord, LoadBalancerRecord, RuleRecord } from "../../model/account.ts";
import { badValue } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import { type ActionTable, type NoReply, requiredText, write } from "../table/action.ts";
import { certificate, chooseCertificate } from "./certificates.ts";
import type { ClbPorts, Writing } from "./ports.ts";

type Ports = Writing<"addCertificates" | "noteListener" | "noteRule"> & Pick<ClbPorts, "random">;

/** One certificate in the place of another one, wherever listeners and domains have it; as server certificate or as that of the clients' authority. */
export const replaceCertificateActions = (): ActionTable<Ports> => ({
  ReplaceCertForLoadBalancers: write<clb.ReplaceCertForLoadBalancersRequest, clb.ReplaceCertForLoadBalancersResponse, Ports>({
    fields: { OldCertificateId: requiredText, Certificate: { ...certificate, required: true } },
    run: replace,
  }),
});

function replace(request: clb.ReplaceCertForLoadBalancersRequest, call: CallContext, { writes, changes, random }: Ports): NoReply {
  const { account } = call;
  const { OldCertificateId: old, Certificate } = request;
  const given = Certificate.CertId ?? Certificate.CertCaId;
  const known = given === undefined ? undefined : account.certificates.get(given);
  if (given !== undefined && known === undefined) throw badValue(`certificate ${given} does not exist in this account`);
  const uploaded = known === undefined ? chooseCertificate({ Certificate }, { account, random }) : undefined;
  const next = known?.id ?? uploaded?.choice.certIds[0] ?? "";
  const places = [...account.loadBalancers.values()].flatMap((loadBalancer) => usersOf(loadBalancer, old));
  if (places.length === 0) throw badValue(`certificate ${old} is used by no load balancer`);
  const loadBalancers = [...new Set(places.map(({ loadBalancer }) => loadBalancer))];
  writes.requireFree(loadBalancers);
  writes.start(call, {
    loadBalancers,
    apply: () => {
      changes.addCertificates(uploaded?.uploads ?? []);
      for (const { listener, rule } of places) {
        const holder = rule ?? listener;
        holder.certificate = exchanged(holder.certificate, old, next);
        if (rule === undefined) changes.noteListener(listener);
        else changes.noteRule(rule);
      }
    },
  });
  return {};
}

type User = { readonly loadBalancer: LoadBalancerRecord; readonly listener: ListenerRecord; readonly rule: RuleRecord | undefined };

/** Where a load balancer has the certificate: listeners, and rules of theirs. */
export const usersOf = (loadBalancer: LoadBalancerRecord, id: string): User[] =>
  [...loadBalancer.listeners.values()].flatMap((listener) => [
    ...(has(listener.certificate, id) ? [{ loadBalancer, listener, rule: undefined }] : []),
    ...[...listener.rules.values()].filter((rule) => has(rule.certificate, id)).map((rule) => ({ loadBalancer, listener, rule })),
  ]);

const has = (choice: CertificateChoice | undefined, id: string): boolean =>
  choice !== undefined && (choice.certIds.includes(id) || choice.caCertId === id);

const exchanged = (choice: CertificateChoice | undefined, old: string, next: string): CertificateChoice | undefined =>
  choice && {
    ...choice,
    certIds: choice.certIds.map((id) => (id === old ? next : id)),
    caCertId: choice.caCertId === old ? next : choice.caCertId,
  };
