import {
  type Account,
  isLayer7,
  type ListenerRecord,
  type LoadBalancerRecord,
  requireListener,
  requireLoadBalancer,
} from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import { type CertificateWish, type ChosenCertificate, chooseCertificate } from "./certificates.ts";

/** The listener of a request about rules. Throws LBIdNotFound, ListenerIdNotFound, ProtocolCheckFailed. */
export function requireRuleListener(
  account: Account,
  request: { readonly LoadBalancerId: string; readonly ListenerId: string },
): { readonly loadBalancer: LoadBalancerRecord; readonly listener: ListenerRecord } {
  const loadBalancer = requireLoadBalancer(account, request.LoadBalancerId);
  const listener = requireListener(loadBalancer, request.ListenerId);
  if (!isLayer7(listener.protocol))
    throw new CloudError(
      "InvalidParameter.ProtocolCheckFailed",
      `listener ${listener.listenerId} is ${listener.protocol} and has no rules`,
    );
  return { loadBalancer, listener };
}

/** HTTP/2 and QUIC. Throws InvalidParameterValue. */
export function requireHttps(
  { protocol, listenerId }: ListenerRecord,
  asked: { readonly Http2?: boolean | undefined; readonly Quic?: boolean | undefined },
): void {
  for (const [name, wanted] of Object.entries(asked))
    if (wanted === true && protocol !== "HTTPS")
      throw new CloudError("InvalidParameterValue", `\`${name}\` is for domains of HTTPS listeners only; ${listenerId} is ${protocol}`);
}

/** Throws if a domain is given a certificate where the listener has the one for all. */
export function chooseForDomain(
  wish: CertificateWish,
  listener: ListenerRecord,
  from: Parameters<typeof chooseCertificate>[1],
): ChosenCertificate | undefined {
  const chosen = chooseCertificate(wish, from);
  if (chosen !== undefined && !listener.sni)
    throw new CloudError("InvalidParameter", `listener ${listener.listenerId} has no SNI: its certificate is set by ModifyListener`);
  return chosen;
}

export const noSuchDomain = ({ listenerId }: ListenerRecord, named: string): CloudError =>
  new CloudError("InvalidParameter.LocationNotFound", `listener ${listenerId} has no rule for ${named}`);
