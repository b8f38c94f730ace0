/** What members of a group of Ingresses at lb-user consist of, as a case would write it. */

/** Makes an Ingress a member of the group. */
export const MEMBER = {
  "ingress.cloud.tencent.com/direct-access": "true",
  "ingress.cloud.tencent.com/enable-group": "true",
  "kubernetes.io/ingress.existLbId": "lb-user",
} as const;

/** Selects the Pods with the label app of its name. */
export const memberService = (name: string) => ({
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
});

/** These paths of one host lead to the Service of its name; `isTls`: with the Secret of its name. */
export const memberIngress = (
  name: string,
  paths: readonly string[],
  { host, isTls = false }: { readonly host: string; readonly isTls?: boolean },
) => ({
  kind: "Ingress",
  metadata: {
    name,
    annotations: MEMBER,
  },
  spec: {
    ingressClassName: "qcloud",
    ...(isTls && { tls: [{ secretName: name, hosts: [host] }] }),
    rules: [
      {
        host,
        http: { paths: paths.map((path) => ({ path, pathType: "Prefix", backend: { service: { name, port: { number: 80 } } } })) },
      },
    ],
  },
});

export const memberPod = (name: string, app: string, ready = true) => ({
  name,
  labels: { app },
  annotations: {},
  ready,
  hostNetwork: false,
  ports: [{ name: "http", containerPort: 8080 }],
});
