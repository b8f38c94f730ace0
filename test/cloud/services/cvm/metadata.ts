import { createServer, type Server } from "node:http";
import { OWNER_UIN } from "../../model/account.ts";
import { addressesOf, type EniRecord, enisOf, type InstanceRecord, type Network } from "../../model/network.ts";
import { toAddress, toNumber } from "../../model/ranges.ts";
import type { Keyring } from "../sts/keyring.ts";

/** How long keys of an instance's role live. Not documented; clients renew by `ExpiredTime`. */
const ROLE_KEYS_S = 7200;

const ROOT = "/latest/meta-data/";

type Deps = { readonly network: Network; readonly keyring: Keyring; readonly region: string };

/** A text, or what is below. */
type Page = string | { readonly [name: string]: Page };

/** What `http://metadata.tencentyun.com` answers to one instance. Not listening yet. Source: tke-contract.md §9. */
export function makeMetadataServer(deps: Deps, instanceId: string): Server {
  return createServer((request, response) => {
    const instance = deps.network.instances.get(instanceId);
    const { pathname } = new URL(request.url ?? "/", "http://metadata");
    const page =
      instance === undefined || request.method !== "GET" || !`${pathname}/`.startsWith(ROOT)
        ? undefined
        : find(pagesOf(instance, deps), pathname.slice(ROOT.length));
    const body = page === undefined ? "not found" : typeof page === "string" ? page : listing(page);
    response
      .writeHead(page === undefined ? 404 : 200, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) })
      .end(body);
  });
}

function find(page: Page, path: string): Page | undefined {
  let found: Page | undefined = page;
  for (const name of path.split("/").filter((part) => part !== ""))
    found = typeof found === "object" && Object.hasOwn(found, name) ? found[name] : undefined;
  return found;
}

/** One name a line; those that have something below end in "/", but for the role, which clients take as it is. */
const listing = (pages: { readonly [name: string]: Page }): string =>
  Object.entries(pages)
    .map(([name, page]) => (typeof page === "string" ? name : `${name}/`))
    .join("\n");

function pagesOf(instance: InstanceRecord, { network, keyring, region }: Deps): Page {
  const enis = enisOf(network, instance.id);
  const [primary] = enis;
  const { role } = instance;
  return {
    "app-id": "1250000000",
    "instance-id": instance.id,
    "instance-name": instance.name,
    uuid: instance.uuid,
    mac: macOf(primary),
    "local-ipv4": primary?.primaryIp ?? "",
    placement: { region, zone: instance.zone },
    network: { interfaces: { macs: Object.fromEntries(enis.map((eni) => [macOf(eni), interfacePages(eni, network)])) } },
    ...(role !== undefined && { cam: { "security-credentials": { [role]: roleKeys(keyring, role) } } }),
  };
}

const macOf = (eni: EniRecord | undefined): string => eni?.mac.toUpperCase() ?? "";

/** No id of the ENI: the service does not tell it. */
function interfacePages(eni: EniRecord, network: Network): Page {
  const { gateway, mask } = routeOf(network.subnets.get(eni.subnetId)?.cidr ?? "0.0.0.0/0");
  return {
    mac: macOf(eni),
    "primary-local-ipv4": eni.primaryIp,
    "vpc-id": eni.vpcId,
    "subnet-id": eni.subnetId,
    "owner-id": OWNER_UIN,
    "public-ipv4s": "",
    "local-ipv4s": Object.fromEntries(addressesOf(eni).map((ip) => [ip, { gateway, "local-ipv4": ip, "subnet-mask": mask }])),
  };
}

/** "10.0.1.0/24" -> { gateway: "10.0.1.1", mask: "255.255.255.0" }. */
function routeOf(cidr: string): { readonly gateway: string; readonly mask: string } {
  const [network = "", prefix = "0"] = cidr.split("/");
  const mask = toAddress(2 ** 32 - 2 ** (32 - Number(prefix)));
  return { gateway: toAddress(toNumber(network) + 1), mask };
}

function roleKeys(keyring: Keyring, role: string): string {
  const { secretId, secretKey, token, expiresMs } = keyring.ofRole(role, ROLE_KEYS_S);
  return JSON.stringify({
    TmpSecretId: secretId,
    TmpSecretKey: secretKey,
    ExpiredTime: Math.floor(expiresMs / 1000),
    Expiration: new Date(expiresMs).toISOString(),
    Token: token,
    Code: "Success",
  });
}
