/** The smallest cluster DNS that does: IPv4 addresses of Services, out of the API at each question. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { KubeClient } from "../../common/kubernetes/requests.ts";

type Service = { readonly spec: { readonly clusterIP?: string } };
type Slice = { readonly endpoints?: readonly { readonly addresses: readonly string[] }[] };

const ADDRESS = 1;
const SECONDS = 2;
/** Answer, authoritative; with the client's wish for recursion. */
const FLAGS = 0x8580;
const NO_SUCH_NAME = 3;
const NO_ANSWER = 2;

/** Answers on UDP port 53 of `host`; resolves with its end. */
export async function startDns(client: KubeClient, host: string): Promise<() => Promise<void>> {
  const socket = createSocket("udp4");
  let isOpen = true;
  socket.on("message", (query, from) => {
    const send = (answer: Buffer): void => {
      if (isOpen) socket.send(answer, from.port, from.address);
    };
    void answerTo(client, query).then(send, () => send(reply(query, [], NO_ANSWER)));
  });
  socket.bind(53, host);
  await once(socket, "listening");
  return async () => {
    isOpen = false; // a question of those who end meanwhile may still be with the API server
    socket.close();
    await once(socket, "close");
  };
}

async function answerTo(client: KubeClient, query: Buffer): Promise<Buffer> {
  const { name, type } = questionOf(query);
  const [, service, namespace] = /^([^.]+)\.([^.]+)\.svc(?:\.cluster\.local)?$/.exec(name) ?? [];
  if (service === undefined || namespace === undefined) return reply(query, [], NO_SUCH_NAME);
  const addresses = await addressesOf(client, namespace, service);
  return reply(query, type === ADDRESS ? addresses : [], addresses.length === 0 ? NO_SUCH_NAME : 0);
}

async function addressesOf(client: KubeClient, namespace: string, name: string): Promise<readonly string[]> {
  const at = `/api/v1/namespaces/${namespace}/services/${name}`;
  const service = await client.get<Service>(at).catch(() => undefined);
  if (service === undefined) return [];
  if (service.spec.clusterIP !== "None") return [service.spec.clusterIP ?? ""];
  const slices = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  const { items } = await client.list<Slice>(slices, { labelSelector: `kubernetes.io/service-name=${name}` });
  return items.flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses));
}

function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function reply(query: Buffer, addresses: readonly string[], code: number): Buffer {
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(FLAGS | code, 2);
  for (const [offset, count] of [
    [4, 1],
    [6, addresses.length],
    [8, 0],
    [10, 0],
  ] as const)
    header.writeUInt16BE(count, offset);
  const records = addresses.map((address) => {
    const record = Buffer.alloc(16);
    record.writeUInt16BE(0xc00c, 0); // the name of the question
    record.writeUInt16BE(ADDRESS, 2);
    record.writeUInt16BE(1, 4); // Internet
    record.writeUInt32BE(SECONDS, 6);
    record.writeUInt16BE(4, 10);
    record.set(address.split(".").map(Number), 12);
    return record;
  });
  return Buffer.concat([header, query.subarray(12, questionOf(query).end), ...records]);
}
