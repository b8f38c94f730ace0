/** Whether Pods of the example will ever serve, asked where the demo knows neither their nodes nor the network to them. */
import { connect } from "node:net";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { isTrue, type Pod } from "../cluster/simulated/objects.ts";
import { Refusal } from "./parts.ts";

const PORT = 8080; // of the example's container
const CONNECT_MS = 3_000;
/** Kubernetes' words for an image that is not there. */
const NO_IMAGE: ReadonlySet<string> = new Set(["ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"]);

type ListedPod = Pod & {
  readonly status?: {
    readonly hostIP?: string;
    readonly containerStatuses?: readonly {
      readonly image: string;
      readonly state?: { readonly waiting?: { readonly reason?: string } };
    }[];
  };
};

/** Rejects with what must be mended: an image that the nodes do not have, or Pods that cannot be reached from here. Reachable once is enough. */
export function makePodCheck(client: KubeClient, namespace: string): () => Promise<void> {
  let reached = false;
  return async () => {
    if (reached) return;
    const { items } = await client.list<ListedPod>(`/api/v1/namespaces/${namespace}/pods`);
    for (const { metadata, spec, status } of items) {
      const reason = status?.containerStatuses
        ?.map(({ state }) => state?.waiting?.reason)
        .find((one) => one !== undefined && NO_IMAGE.has(one));
      if (reason !== undefined)
        throw new Refusal(
          `Pod ${namespace}/${metadata.name} on ${spec.nodeName}: ${reason}. Write the images with "node test/cluster/real/nodes/write-images.ts FILE" and load them into every node's runtime, e.g. "kind load image-archive FILE" or "ctr -n k8s.io images import FILE"`,
        );
    }
    const pod = items.find(({ status }) => isTrue(status?.conditions, "ContainersReady"));
    if (pod?.status?.podIP === undefined) return;
    const { podIP, hostIP } = pod.status;
    reached = await canConnect(podIP);
    if (!reached)
      throw new Refusal(
        `Pod ${namespace}/${pod.metadata.name} at ${podIP}:${PORT} cannot be reached from here, but the emulated load balancer sends straight to Pods: run the demo where that address is routed (on a node, in its network namespace), or add a route, e.g. ip route add ${podIP} via ${hostIP ?? "<the node's address>"}`,
      );
  };
}

function canConnect(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: PORT, timeout: CONNECT_MS });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket
      .once("connect", () => end(true))
      .once("timeout", () => end(false))
      .once("error", () => end(false));
  });
}
