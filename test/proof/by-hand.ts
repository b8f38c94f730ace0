/** What `npm run proof:install -- --by-hand` says once its nodes are up: the commands of docs/install.md, with what they need to be right there. */
import { enterCommand } from "../cluster/namespace.ts";
import type { ProofGround } from "./ground.ts";
import { settingsFor } from "./helm.ts";
import { IMAGE, RELEASE } from "./names.ts";

type Ground = Pick<ProofGround, "kubeconfig" | "version" | "key" | "cloud" | "range">;

/** Of docs/install.md, so that what it says can be copied from there as it is. */
const NAMESPACE = "clb-direct";

/**
 * Lines to copy into another terminal; `helm` is a file, e.g. "/usr/bin/helm", and `pid` a process within the nodes' network. Single quotes
 * keep a shell from taking braces apart.
 */
export function byHandText(ground: Ground, helm: string, pid: number): string {
  const { kubeconfig, version, key, cloud } = ground;
  const settings = settingsFor(ground).map((argument) => (/[{}]/.test(argument) ? `'${argument}'` : argument));
  const chart = `${RELEASE} deploy/chart --namespace ${NAMESPACE} --wait`;
  return [
    `Kubernetes ${version}, two real nodes and an emulated cloud are up until Ctrl-C; nothing of clb-direct is installed. The nodes have the images`,
    `${IMAGE}:1, another build of it with tag 2, and those of the example. From another terminal, in this folder (needs kubectl):`,
    "",
    `  ${enterCommand(pid)} env KUBECONFIG=${kubeconfig} bash      # all that follows is for this shell`,
    `  alias helm=${helm}`,
    `  kubectl create namespace ${NAMESPACE}`,
    `  kubectl -n ${NAMESPACE} create secret generic clb-direct-cloud --from-literal=secretId=${key.secretId} --from-literal=secretKey=${key.secretKey}`,
    `  helm install ${chart} ${settings.join(" ")} --set-string image.tag=1`,
    `  helm test ${RELEASE} --namespace ${NAMESPACE}`,
    "",
    'Go on with "The first Service" of docs/install.md, as it stands there: deploy/examples/web.yaml needs no other image here. Its address answers in',
    "this shell (curl), what the cloud holds is at",
    `  curl ${cloud.adminUrl}/state`,
    "An upgrade to the other build:",
    `  helm upgrade ${chart} --reset-then-reuse-values --set-string image.tag=2`,
  ].join("\n");
}
