import assert from "node:assert/strict";
import { test } from "node:test";
import { inRanges, openConnections } from "../../../agent/domain/conntrack.ts";

const LISTING = `tcp      6 431999 ESTABLISHED src=198.18.0.9 dst=10.244.0.3 sport=40000 dport=8080 src=10.244.0.3 dst=198.18.0.9 sport=8080 dport=40000 [ASSURED] mark=0 use=1
tcp      6 431999 ESTABLISHED src=198.18.0.9 dst=10.99.0.2 sport=40001 dport=30080 src=10.244.0.3 dst=10.99.0.2 sport=8080 dport=40001 [ASSURED] mark=0 use=1
tcp      6 59 CLOSE_WAIT src=198.18.0.9 dst=10.244.0.3 sport=40002 dport=8080 src=10.244.0.3 dst=198.18.0.9 sport=8080 dport=40002 [ASSURED] mark=0 use=1
tcp      6 119 TIME_WAIT src=198.18.0.9 dst=10.244.0.3 sport=40003 dport=8080 src=10.244.0.3 dst=198.18.0.9 sport=8080 dport=40003 [ASSURED] mark=0 use=1
tcp      6 431999 ESTABLISHED src=100.64.0.7 dst=10.244.0.3 sport=40004 dport=8080 src=10.244.0.3 dst=100.64.0.7 sport=8080 dport=40004 [ASSURED] mark=0 use=1
tcp      6 59 CLOSE_WAIT src=100.64.0.8 dst=10.244.0.3 sport=40008 dport=8080 src=10.244.0.3 dst=100.64.0.8 sport=8080 dport=40008 [ASSURED] mark=0 use=1
tcp      6 431999 ESTABLISHED src=10.244.0.3 dst=10.99.0.8 sport=40005 dport=5432 src=10.99.0.8 dst=10.244.0.3 sport=5432 dport=40005 [ASSURED] mark=0 use=1
tcp      6 300 ESTABLISHED src=fd00::9 dst=fd00::3 sport=40006 dport=8080 src=fd00::3 dst=fd00::9 sport=8080 dport=40006 [ASSURED] mark=0 use=1
udp      17 29 src=198.18.0.9 dst=10.244.0.3 sport=40007 dport=53 [UNREPLIED] src=10.244.0.3 dst=198.18.0.9 sport=53 dport=40007 mark=0 use=1
`;

test("counts who is connected to a Pod, behind a translation as well; neither what it opened itself nor checks that are over nor what is closed", () => {
  const isIgnored = inRanges(["100.64.0.0/10"]);
  const of = new Set(["10.244.0.3", "10.244.0.4", "fd00::3"]);
  assert.deepEqual(
    openConnections(LISTING, of, isIgnored),
    new Map([
      ["10.244.0.3", 4], // layer 7 sends requests from where the health checks come from
      ["fd00::3", 1],
    ]),
  );
});

test("a range has the addresses of its family", () => {
  const isIn = inRanges(["100.64.0.0/10", "fd00::/64"]);
  assert.deepEqual(["100.64.0.1", "100.128.0.1", "fd00::1", "fd01::1", "nothing"].map(isIn), [true, false, true, false, false]);
});
