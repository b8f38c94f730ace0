import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";
import { startCloud } from "../../cloud/cli/start.ts";
import { TEST_KEY } from "../../cloud/runtime/options.ts";
import { QUICK, type Settled, settled, VIPS } from "./fixture.ts";

/**
 * Which cloud the contract is held against: the emulated one, or the real one. To run it there:
 * ```
 * CLOUD_ENDPOINT=clb.tencentcloudapi.com CLOUD_REGION=ap-guangzhou TENCENTCLOUD_SECRET_ID=… TENCENTCLOUD_SECRET_KEY=… \
 *   npx node --test 'test/contract/cloud/actions-*.test.ts' 'test/contract/cloud/limits*.test.ts' test/contract/cloud/rules.test.ts
 * ```
 * That changes nothing there. `CLOUD_CHANGES=1` also runs the tests that create, change and delete load balancers (they cost money); they
 * bind `CLOUD_BACKENDS`, at least three IPs of ENIs of one VPC (`CLOUD_VPC_ID`), separated by commas, and never a load balancer of yours.
 */
const env = process.env;
/** E.g. "clb.tencentcloudapi.com", or "http://127.0.0.1:8080" for an emulated cloud that runs by itself. */
const ENDPOINT = env["CLOUD_ENDPOINT"];

/** For tests that need switches which only the emulated cloud has. */
export const EMULATED_ONLY = { skip: ENDPOINT !== undefined && "needs a switch of the emulated cloud" };

/** What a test of the contract works with; nothing here but the SDK tells it which cloud it is. */
export type World = Settled & {
  /** Waits and repeats where the service says that it is too busy. */
  readonly sdk: Client;
  /** A load balancer of its own, which goes with the test. */
  readonly loadBalancer: () => Promise<string>;
  /** At least three addresses that may be bound. */
  readonly backends: readonly [string, string, string, ...string[]];
};

/** A test that changes nothing. It may send requests that are refused. */
export const contract = (sentence: string, body: (world: World, t: TestContext) => Promise<void>): void => add(sentence, false, body);

/** A test that creates what it needs and deletes it. */
export const changing = (sentence: string, body: (world: World, t: TestContext) => Promise<void>): void => add(sentence, true, body);

function add(sentence: string, changes: boolean, body: (world: World, t: TestContext) => Promise<void>): void {
  const skip = ENDPOINT !== undefined && changes && env["CLOUD_CHANGES"] !== "1" && "changes things: set CLOUD_CHANGES=1";
  void test(sentence, { skip }, async (t) => body(await makeWorld(t), t));
}

async function makeWorld(t: TestContext): Promise<World> {
  const sdk = ENDPOINT === undefined ? await emulated(t) : patientClient(ENDPOINT, required);
  const { task, done } = settled(sdk, ENDPOINT === undefined ? 5 : 500);
  const backends = (env["CLOUD_BACKENDS"] ?? "10.244.0.1,10.244.0.2,10.244.0.3").split(",");
  const [first, second, third, ...others] = backends;
  if (first === undefined || second === undefined || third === undefined)
    throw new Error(`CLOUD_BACKENDS must name at least three IPs of ENIs, separated by commas; it is "${backends.join(",")}"`);
  const loadBalancer = async (): Promise<string> => {
    const VpcId = env["CLOUD_VPC_ID"];
    const accepted = await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", ...(VpcId !== undefined && { VpcId }) });
    const { LoadBalancerIds } = await sdk.DescribeTaskStatus({ TaskId: (await done(accepted)).RequestId ?? "" });
    const id = LoadBalancerIds?.[0] ?? accepted.LoadBalancerIds?.[0] ?? "";
    if (ENDPOINT !== undefined)
      // the emulated cloud goes as a whole
      t.after(async () => {
        const left = await sdk.DescribeLoadBalancers({ LoadBalancerIds: [id] });
        if (left.TotalCount !== 0) await done(await sdk.DeleteLoadBalancer({ LoadBalancerIds: [id], ForceDelete: true }));
      });
    return id;
  };
  return { sdk, task, done, loadBalancer, backends: [first, second, third, ...others] };
}

async function emulated(t: TestContext): Promise<Client> {
  const limits = { clbPerSecond: 100_000 };
  const started = await startCloud({ vipCidr: VIPS, profile: QUICK, limits, dataPlane: false, health: "scripted" });
  t.after(() => started.stop());
  return patientClient(`http://${started.endpoint}`, (name) =>
    name === "TENCENTCLOUD_SECRET_ID" ? TEST_KEY.secretId : TEST_KEY.secretKey,
  );
}

function required(name: string): string {
  const value = env[name];
  if (value === undefined || value === "") throw new Error(`${name} must be set where CLOUD_ENDPOINT is`);
  return value;
}

/** A real load balancer is busy for seconds after a write; many deletions are refused for five minutes. */
const BUSY = /^(?:RequestLimitExceeded|FailedOperation\.(?:ResourceInOperating|FrequencyCheckRisk))/;
const TRIES = 330;

/** `secretOf` gives TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY. */
function patientClient(address: string, secretOf: (name: string) => string): Client {
  const [protocol, endpoint = address] = address.startsWith("http://") ? ["http://", address.slice("http://".length)] : ["https://"];
  class PatientClient extends Client {
    override async request(...call: Parameters<Client["request"]>): Promise<unknown> {
      for (let tried = 1; ; tried++) {
        try {
          return await super.request(...call);
        } catch (error) {
          const code = error instanceof Error && "code" in error ? String(error.code) : "";
          if (tried === TRIES || !BUSY.test(code)) throw error;
          await delay(address === ENDPOINT ? 1000 : 10);
        }
      }
    }
  }
  const credential = { secretId: secretOf("TENCENTCLOUD_SECRET_ID"), secretKey: secretOf("TENCENTCLOUD_SECRET_KEY") };
  const region = env["CLOUD_REGION"] ?? "ap-guangzhou";
  return new PatientClient({ credential, region, profile: { httpProfile: { protocol, endpoint, reqTimeout: 60 } } });
}
