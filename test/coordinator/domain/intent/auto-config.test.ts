import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { planAutoConfig } from "../../../../coordinator/domain/intent/auto-config.ts";
import type { Standing } from "../../../../coordinator/domain/intent/auto-config-sections.ts";
import type { IntentPort } from "../../../../coordinator/domain/intent/intent-port.ts";
import type { UnservedPort } from "../../../../coordinator/domain/intent/service.ts";
import { readServiceConfig } from "../../../../coordinator/domain/intent/service-config.ts";
import { DEFAULT_HEALTH_CHECK } from "../../../../coordinator/domain/load-balancer.ts";

const tcp = (port: number): IntentPort => ({ protocol: "TCP", port, targetPort: 8080 });
const http = (...rules: readonly (readonly [domain: string, url: string])[]): IntentPort => ({
  protocol: "HTTP",
  port: 80,
  targetPort: 0,
  rules: rules.map(([domain, url]) => ({ domain, url })),
});
const CHECK = { enable: true, intervalTime: 5, timeout: 2, healthNum: 3, unHealthNum: 3 };
const SECTION = { protocol: "TCP", port: 80, scheduler: "WRR", session: { enable: false }, healthCheck: CHECK };
const RULE = {
  forwardType: "HTTP",
  scheduler: "WRR",
  session: { enable: false },
  healthCheck: { ...CHECK, httpCheckPath: "/", httpCheckMethod: "HEAD", httpCode: 31 },
};
const MINE = { protocol: "TCP", port: 80, scheduler: "LEAST_CONN" };

type Present = { readonly spec: unknown; readonly inStep: readonly string[] };
const layer4 = (inStep: readonly string[], ...l4Listeners: readonly unknown[]): Present => ({
  spec: { loadBalancer: { l4Listeners } },
  inStep,
});
const layer7 = (inStep: readonly string[], domains: unknown): Present => ({
  spec: { loadBalancer: { l7Listeners: [{ protocol: "HTTP", port: 80, keepaliveEnable: 1, domains }] } },
  inStep,
});
const plan = (ports: readonly IntentPort[], present?: Present, unserved: readonly UnservedPort[] = [], standing?: Standing) =>
  planAutoConfig({ ports, unserved, present, standingOf: () => standing });

suite("a TkeServiceConfig that is made for its owner", () => {
  const cases: readonly (readonly [name: string, plan: ReturnType<typeof plan>, expected: ReturnType<typeof plan>])[] = [
    ["is made with a section for each port", plan([tcp(80)]), { loadBalancer: { l4Listeners: [SECTION] }, inStep: ["TCP/80"] }],
    [
      "has no session where there is none",
      plan([{ protocol: "QUIC", port: 443, targetPort: 1 }]),
      { loadBalancer: { l4Listeners: [{ protocol: "QUIC", port: 443, scheduler: "WRR", healthCheck: CHECK }] }, inStep: ["QUIC/443"] },
    ],
    ["stays where all is in step", plan([tcp(80)], layer4(["TCP/80"], MINE)), undefined],
    ["stays where a person has sections of other ports", plan([tcp(80)], layer4(["TCP/80"], MINE, { ...MINE, port: 90 })), undefined],
    [
      "gets the section of a new port, and what a person wrote stays as it is",
      plan([tcp(80), tcp(81)], layer4(["TCP/80"], MINE)),
      { loadBalancer: { l4Listeners: [MINE, { ...SECTION, port: 81 }] }, inStep: ["TCP/80", "TCP/81"] },
    ],
    ["takes a person's section of a new port as the one", plan([tcp(80)], layer4([], MINE)), { loadBalancer: {}, inStep: ["TCP/80"] }],
    [
      "loses the section of a former port, and none that never was one",
      plan([tcp(80)], layer4(["TCP/80", "TCP/81"], MINE, { ...MINE, port: 81 }, { ...MINE, port: 82 })),
      { loadBalancer: { l4Listeners: [MINE, { ...MINE, port: 82 }] }, inStep: ["TCP/80"] },
    ],
    [
      "keeps that of a port in whose place nothing can be served yet",
      plan([tcp(80)], layer4(["TCP/80", "TCP/81"], MINE, { ...MINE, port: 81 }), [{ protocol: "SCTP", port: 81, targetPort: 1 }]),
      undefined,
    ],
    [
      "gets back a section that somebody took out",
      plan([tcp(80)], layer4(["TCP/80"])),
      { loadBalancer: { l4Listeners: [SECTION] }, inStep: ["TCP/80"] },
    ],
    ["leaves a list that is none", plan([tcp(80)], { spec: { loadBalancer: { l4Listeners: "all" } }, inStep: ["TCP/80"] }), undefined],
    ["leaves what is no object", plan([tcp(80)], { spec: { loadBalancer: [] }, inStep: ["TCP/80"] }), undefined],
    [
      "is filled where it is empty",
      plan([tcp(80)], { spec: undefined, inStep: [] }),
      { loadBalancer: { l4Listeners: [SECTION] }, inStep: ["TCP/80"] },
    ],
    [
      "has a rule for each of the listener's, by domain",
      plan([http(["a.example.com", "/"], ["a.example.com", "/x"], ["", "/"])]),
      {
        loadBalancer: {
          l7Listeners: [
            {
              protocol: "HTTP",
              port: 80,
              domains: [
                {
                  domain: "a.example.com",
                  rules: [
                    { url: "/", ...RULE },
                    { url: "/x", ...RULE },
                  ],
                },
                { domain: "", rules: [{ url: "/", ...RULE }] },
              ],
            },
          ],
        },
        inStep: ["HTTP/80", "HTTP/80  /", "HTTP/80 a.example.com /", "HTTP/80 a.example.com /x"],
      },
    ],
    [
      "gets a rule at a domain that is there in another spelling",
      plan(
        [http(["a.example.com", "/"], ["a.example.com", "/x"])],
        layer7(["HTTP/80", "HTTP/80 a.example.com /"], [{ domain: "A.example.com", http2: true, rules: [{ url: "/" }] }]),
      ),
      {
        loadBalancer: {
          l7Listeners: [
            {
              protocol: "HTTP",
              port: 80,
              keepaliveEnable: 1,
              domains: [{ domain: "A.example.com", http2: true, rules: [{ url: "/" }, { url: "/x", ...RULE }] }],
            },
          ],
        },
        inStep: ["HTTP/80", "HTTP/80 a.example.com /", "HTTP/80 a.example.com /x"],
      },
    ],
    [
      "loses a former rule, and its domain when it was the last one",
      plan(
        [http(["a.example.com", "/"])],
        layer7(
          ["HTTP/80", "HTTP/80 a.example.com /", "HTTP/80 a.example.com /x", "HTTP/80 b.example.com /"],
          [
            { domain: "a.example.com", rules: [{ url: "/" }, { url: "/x" }, { url: "/mine" }] },
            { domain: "b.example.com", rules: [{ url: "/" }] },
            { domain: "mine.example.com" },
          ],
        ),
      ),
      {
        loadBalancer: {
          l7Listeners: [
            {
              protocol: "HTTP",
              port: 80,
              keepaliveEnable: 1,
              domains: [{ domain: "a.example.com", rules: [{ url: "/" }, { url: "/mine" }] }, { domain: "mine.example.com" }],
            },
          ],
        },
        inStep: ["HTTP/80", "HTTP/80 a.example.com /"],
      },
    ],
    [
      "keeps the rules of a listener of which not all can be served yet",
      plan(
        [http(["a.example.com", "/"])],
        layer7(
          ["HTTP/80", "HTTP/80 a.example.com /", "HTTP/80 b.example.com /"],
          [
            { domain: "a.example.com", rules: [{ url: "/" }] },
            { domain: "b.example.com", rules: [{ url: "/" }] },
          ],
        ),
        [{ protocol: "HTTP", port: 80, targetPort: "" }],
      ),
      undefined,
    ],
    [
      "leaves domains that are no list",
      plan([http(["a.example.com", "/"])], layer7(["HTTP/80", "HTTP/80 a.example.com /"], "all")),
      undefined,
    ],
    [
      "has no entry for a rule that only redirects",
      plan([
        {
          ...http(),
          rules: [
            { domain: "a.example.com", url: "/", redirect: { protocol: "HTTPS", port: 443, domain: "a.example.com", url: "/", code: 301 } },
          ],
        },
      ]),
      { loadBalancer: { l7Listeners: [{ protocol: "HTTP", port: 80 }] }, inStep: ["HTTP/80", "HTTP/80 a.example.com /"] },
    ],
    [
      "says what the load balancer has, so that nothing is reset",
      plan([tcp(80)], undefined, [], {
        scheduler: "WRR",
        settings: { sessionSeconds: 90 },
        healthCheck: { ...DEFAULT_HEALTH_CHECK, intervalSeconds: 30, checkType: "TCP" },
        isCheckOff: false,
      }),
      {
        loadBalancer: {
          l4Listeners: [{ ...SECTION, session: { enable: true, sessionExpireTime: 90 }, healthCheck: { ...CHECK, intervalTime: 30 } }],
        },
        inStep: ["TCP/80"],
      },
    ],
    [
      "says that checks are off where somebody decided that",
      plan([tcp(80)], undefined, [], { scheduler: "WRR", healthCheck: { ...DEFAULT_HEALTH_CHECK, enabled: false }, isCheckOff: true }),
      { loadBalancer: { l4Listeners: [{ ...SECTION, healthCheck: { enable: false } }] }, inStep: ["TCP/80"] },
    ],
    [
      "says nothing of what it could not say",
      plan([tcp(80)], undefined, [], { scheduler: "IP_HASH", healthCheck: DEFAULT_HEALTH_CHECK, isCheckOff: false }),
      { loadBalancer: { l4Listeners: [{ protocol: "TCP", port: 80 }] }, inStep: ["TCP/80"] },
    ],
  ];
  for (const [name, actual, expected] of cases) test(name, () => assert.deepEqual(actual, expected));

  test("is read without a fault, and is in step once it is written", () => {
    const ports = [tcp(80), { ...tcp(53), protocol: "UDP" as const }, http(["a.example.com", "/"], ["*.example.com", "/x"], ["", "/"])];
    const made = plan(ports);
    assert.ok(made !== undefined);
    const spec = { loadBalancer: made.loadBalancer };
    assert.deepEqual(readServiceConfig("demo/web", spec).faults, []);
    assert.equal(plan(ports, { spec, inStep: made.inStep }), undefined);
    const fewer = plan([tcp(80)], { spec, inStep: made.inStep });
    assert.ok(fewer !== undefined);
    const left = { loadBalancer: { ...made.loadBalancer, ...fewer.loadBalancer } };
    assert.deepEqual(left, { loadBalancer: { l4Listeners: [SECTION], l7Listeners: [] } });
    assert.equal(plan([tcp(80)], { spec: left, inStep: fewer.inStep }), undefined);
  });
});
