/** What goes wrong in a group of Ingresses, and what its members do at the same moment: nobody else's rule suffers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aCertificate } from "../certificates.ts";
import { memberIngress, memberPod as pod, memberService as service } from "./group.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

/** Its host is "NAME.example.com"; `isTls`: with the Secret of its name. */
const ingress = (name: string, paths: readonly string[], { isTls = false, host = `${name}.example.com` } = {}) =>
  memberIngress(name, paths, { host, isTls });

const secret = (name: string, { certPem, keyPem }: { readonly certPem: string; readonly keyPem: string }) => ({
  kind: "Secret",
  type: "kubernetes.io/tls",
  metadata: { name },
  stringData: { "tls.crt": certPem, "tls.key": keyPem },
});

/** By host and path what serves there, e.g. { "shop.example.com/": ["10.244.1.1"] }. */
const serving = ({ cloud }: ManifestWorld): Record<string, readonly string[]> =>
  Object.fromEntries(
    (cloud.state().loadBalancers[0]?.listeners ?? [])
      .flatMap(({ rules }) => rules)
      .map(({ domains, url, targets }) => [
        `${domains.join()}${url}`,
        [...targets.values()].flatMap(({ ip, weight }) => (weight > 0 ? ip : [])).sort(),
      ]),
  );
const told = ({ store }: ManifestWorld): string =>
  store
    .list("events")
    .map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`)
    .join("\n");
const SHOP = ["10.244.1.1"];
const BLOG = ["10.244.1.2"];

async function inGroup(work: (world: ManifestWorld, watch: (...places: string[]) => () => Promise<string[]>) => Promise<void>) {
  const world = await manifestWorld({ given: [{ id: "lb-user", vip: "198.18.0.50" }], settings: {}, certificates: [] });
  /** Places that serve and must never be empty. */
  const watch = (...places: string[]) => {
    const empty = new Set<string>();
    const over = new AbortController();
    const look = async (): Promise<void> => {
      for (; !over.signal.aborted; await world.clock.sleep(50))
        for (const place of places) if ((serving(world)[place] ?? []).length === 0) empty.add(place);
    };
    const looking = look();
    return async () => {
      over.abort();
      await looking;
      return [...empty];
    };
  };
  await world.run(
    (async () => {
      world.start();
      for (const name of ["shop", "blog"]) await world.apply(service(name));
      for (const [at, name] of ["shop", "blog"].entries()) await world.applyPod(pod(`${name}-1`, name), at);
      await work(world, watch);
      await world.kill();
    })(),
  );
  await world.end();
}

test("the listener is deleted by hand: it is made once for all of them, with the rules of each", async () => {
  await inGroup(async (world) => {
    await world.apply(ingress("shop", ["/"]));
    await world.apply(ingress("blog", ["/"]));
    await world.settle();
    const listener = world.cloud.state().loadBalancers[0]?.listeners[0];
    await world.cloud.call("clb", "DeleteListener", { LoadBalancerId: "lb-user", ListenerId: listener?.id }, { name: "the user" });
    await world.clock.sleep(150_000); // a re-read
    await world.settle();
    assert.deepEqual(serving(world), { "shop.example.com/": SHOP, "blog.example.com/": BLOG });
    assert.equal(world.cloud.state().loadBalancers[0]?.listeners.length, 1);
  });
});

test("one whose Secret is missing lacks its host only; a certificate that is changed is changed for its host only", async () => {
  const [shop, blog, later] = await Promise.all([
    aCertificate("shop", "shop.example.com"),
    aCertificate("blog", "blog.example.com"),
    aCertificate("later", "shop.example.com"),
  ]);
  await inGroup(async (world, watch) => {
    await world.apply(secret("shop", shop));
    await world.apply(ingress("blog", ["/"], { isTls: true }));
    await world.clock.sleep(1_100);
    await world.apply(ingress("shop", ["/"], { isTls: true }));
    await world.settle();
    assert.deepEqual(serving(world), { "shop.example.com/": SHOP });
    assert.match(told(world), /Ingress demo\/blog/);
    await world.apply(secret("blog", blog));
    const empty = watch("shop.example.com/");
    await world.settle();
    assert.deepEqual(serving(world), { "shop.example.com/": SHOP, "blog.example.com/": BLOG });
    const before = world.cloud.journal.of("call").length;
    await world.apply(secret("shop", later));
    await world.settle();
    const changes = world.cloud.journal
      .of("call")
      .slice(before)
      .flatMap(({ action }) => (action.startsWith("Describe") ? [] : action));
    assert.deepEqual(changes, ["UploadCertificate", "ModifyDomainAttributes"]);
    await world.remove("Secret/blog");
    await world.clock.sleep(90_000);
    assert.deepEqual(serving(world), { "shop.example.com/": SHOP, "blog.example.com/": BLOG }, "what serves stays");
    assert.deepEqual(await empty(), []);
  });
});

test("two are edited at the same moment and swap their paths: each path serves all the time", async () => {
  const host = "www.example.com";
  await inGroup(async (world, watch) => {
    await world.apply(ingress("shop", ["/a"], { host }));
    await world.clock.sleep(1_100);
    await world.apply(ingress("blog", ["/b"], { host }));
    await world.settle();
    const empty = watch(`${host}/a`, `${host}/b`);
    await Promise.all([world.apply(ingress("shop", ["/b"], { host })), world.apply(ingress("blog", ["/a"], { host }))]);
    await world.settle();
    assert.deepEqual(serving(world), { [`${host}/a`]: BLOG, [`${host}/b`]: SHOP });
    assert.deepEqual(await empty(), []);
    const deleted = world.cloud.journal.of("call").filter(({ action }) => action === "DeleteRule");
    assert.deepEqual(deleted, []);
  });
});

test("a leader falls right after each call while two come, and the next one goes on without taking anything away", async () => {
  for (const afterCalls of [1, 2, 3, 4])
    await inGroup(async (world) => {
      await world.apply(ingress("shop", ["/", "/x"]));
      await world.apply(ingress("blog", ["/", "/y"]));
      const writes = () => world.cloud.journal.of("call").filter(({ action }) => !action.startsWith("Describe")).length;
      for (let waited = 0; writes() < afterCalls && waited < 10_000; waited += 5) await world.clock.sleep(5);
      await world.kill();
      await world.apply(ingress("shop", ["/"])); // edited while nobody leads
      world.start();
      await world.settle();
      assert.deepEqual(
        serving(world),
        { "shop.example.com/": SHOP, "blog.example.com/": BLOG, "blog.example.com/y": BLOG },
        `${afterCalls}`,
      );
    });
});

test("an Ingress that is forced away while it is being deleted leaves its rule, and its Pods leave without a word of a person", async () => {
  const host = "www.example.com";
  await inGroup(async (world, watch) => {
    for (let at = 2; at < 9; at++) await world.applyPod(pod(`shop-${at}`, "shop"), at);
    await world.apply(ingress("shop", ["/"], { host }));
    await world.clock.sleep(1_100);
    await world.apply(ingress("blog", ["/"], { host }));
    await world.settle();
    const empty = watch(`${host}/`);
    await world.remove("Ingress/shop");
    await world.apply({ kind: "Ingress", metadata: { name: "shop", finalizers: [] } });
    await world.settle();
    assert.deepEqual(serving(world), { [`${host}/`]: BLOG });
    assert.deepEqual(await empty(), []);
    assert.doesNotMatch(told(world), /RemovalParked/);
  });
});

test("a refused call is told to the member whose rule or listener it is about, not to the oldest of the group", async () => {
  const refusals = ({ store }: ManifestWorld): string[] =>
    store.list("events").flatMap((event) => {
      const { name } = Object(Reflect.get(event, "involvedObject"));
      return Reflect.get(event, "reason") === "WriteRefused" ? [`${name}: ${String(Reflect.get(event, "message"))}`] : [];
    });
  const first = async (work: (world: ManifestWorld) => Promise<void>, action: string): Promise<string> => {
    let found: string[] = [];
    await inGroup(async (world) => {
      await world.apply(ingress("shop", ["/"]));
      await world.clock.sleep(1_100);
      await world.apply(ingress("blog", ["/"]));
      await world.settle();
      world.cloud.faults.add({ kind: "error", action, code: "FailedOperation", message: "not today" });
      await work(world);
      await world.clock.sleep(20_000);
      found = refusals(world);
    });
    assert.equal(found.length, 1, found.join("\n"));
    return found[0] ?? "";
  };
  const added = await first((world) => world.apply(ingress("blog", ["/", "/new"])), "CreateRule");
  assert.match(added, /^blog: .*refused 1 rule: blog\.example\.com\/new/);
  const taken = await first((world) => world.apply(ingress("blog", ["/new"])), "DeleteRule");
  assert.match(taken, /^blog: .*refused 1 rule: loc-/);
  const blog = await aCertificate("blog", "blog.example.com");
  const made = await first(async (world) => {
    await world.apply(secret("blog", blog));
    await world.apply(ingress("blog", ["/"], { isTls: true }));
  }, "CreateListener");
  assert.match(made, /^blog: .*refused 1 listener: HTTPS:443/);
});
