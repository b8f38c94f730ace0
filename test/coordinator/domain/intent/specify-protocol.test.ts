import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { specifiedInVain, specifiedListeners, specifyFault } from "../../../../coordinator/domain/intent/specify-protocol.ts";

const port80 = (wish: unknown): string => JSON.stringify({ 80: wish });

test("listeners of a port, with their certificates and rules", () => {
  const wish = { protocol: ["HTTPS", "QUIC"], tls: "all", hosts: { "a.example.com": {}, "*.b.example.com": { tls: "b" } } };
  assert.equal(specifyFault(port80(wish)), undefined);
  assert.deepEqual(specifiedListeners(port80(wish)).get(80), [
    {
      protocol: "HTTPS",
      certificate: { secret: "all" },
      rules: [
        { domain: "a.example.com", url: "/" },
        { domain: "*.b.example.com", url: "/", certificate: { secret: "b" } },
      ],
    },
    { protocol: "QUIC", certificate: { secret: "all" } },
  ]);
  const plain = { protocol: ["HTTP"], hosts: { "": { tls: "x" } }, tls: "y" };
  assert.deepEqual(specifiedListeners(port80(plain)).get(80), [{ protocol: "HTTP", rules: [{ domain: "", url: "/" }] }]);
  assert.deepEqual(specifiedInVain(port80(plain)), ["tls of port 80", "tls of hosts of port 80"]);
});

suite("is refused:", () => {
  const cases: readonly (readonly [wish: unknown, fault: RegExp])[] = [
    [null, /is no object/],
    [[], /names no protocol/],
    [{}, /names no protocol/],
    [{ protocol: "TCP" }, /names no protocol/],
    [{ protocol: ["SCTP"] }, /"SCTP" of port 80: use TCP/],
    [{ protocol: ["tcp"] }, /"tcp"/],
    [{ protocol: ["HTTP", "HTTPS"], hosts: { a: {} } }, /HTTP and HTTPS of port 80 cannot share/],
    [{ protocol: ["UDP", "QUIC"], tls: "a" }, /UDP and QUIC of port 80 cannot share/],
    [{ protocol: ["QUIC"] }, /QUIC of port 80 has no certificate/],
    [{ protocol: ["TCP_SSL"], tls: "" }, /tls of port 80 is "": use the name/],
    [{ protocol: ["HTTPS"], tls: "a" }, /names no hosts/],
    [{ protocol: ["HTTP"], hosts: [] }, /hosts of port 80 is no object/],
    [{ protocol: ["HTTP"], hosts: { "a.*.com": {} } }, /is no domain/],
    [{ protocol: ["HTTP"], hosts: { "*.a.*": {} } }, /is no domain/],
    [{ protocol: ["HTTP"], hosts: { a: "tls" } }, /host "a" of port 80 is "tls": use \{\}/],
    [{ protocol: ["HTTPS"], hosts: { a: { tls: 1 } } }, /host "a" of port 80/],
    [{ protocol: ["HTTPS"], hosts: { a: { tls: "x" }, b: {} } }, /host "b" of port 80 has no certificate/],
    [{ protocol: ["TCP"], port: 81 }, /has "port", which is not known/],
  ];
  for (const [wish, fault] of cases) test(JSON.stringify(wish), () => assert.match(specifyFault(port80(wish)) ?? "nothing", fault));
});
