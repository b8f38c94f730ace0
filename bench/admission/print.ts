/** The tables of `npm run bench:admission`. */
import { addedCpu, bareOf, type Cpu, LIMIT_MS, leastAdded, minus, type Row, type Times } from "./rows.ts";

const BOUND_PARALLEL = 200;

export function print(rows: readonly Row[], { services, cores }: { readonly services: number; readonly cores: number }): void {
  const text = ({ p50, p99 }: Times): string => `${p50} / ${p99}`;
  console.log(`${services} Services; milliseconds, p50 / p99`);
  table(
    [
      "at once",
      "created",
      "API server alone",
      "+ bare TLS webhook",
      "(once more)",
      "+ our webhook",
      `ours adds (goal: p99 ${LIMIT_MS})`,
      "beyond bare TLS",
      "inside ours",
      "inside bare TLS",
      "handshakes, bare",
      "gates, late",
      "late, bare",
    ],
    rows.map(({ parallel, created, times, inside, insideControl, connections, connectionsControl, late }) => [
      String(parallel),
      String(created),
      text(times.alone),
      text(times.control),
      text(times.again),
      text(times.webhook),
      text(minus(times.webhook, times.alone)),
      text(minus(times.webhook, bareOf(times).mean)),
      text(inside),
      text(insideControl),
      `${connections}, ${connectionsControl}`,
      `${created - late.webhook}, ${late.webhook}`,
      String(late.control + late.again),
    ]),
  );
  const spent = ({ api, webhook, creators }: Cpu): string => [api, webhook, creators].map((one) => one.toFixed(2)).join(" + ");
  console.log(
    `CPU of one creation, milliseconds: API server + webhook + who creates. Where N creators always wait and ${cores} cores never do, what it adds makes creations longer by N x CPU / ${cores} on average`,
  );
  table(
    ["at once", "alone", "a bare webhook adds", "so at least", "ours adds", "so at least", "of it in our process"],
    rows.map(({ parallel, cpu }) => {
      const { bare, ours } = addedCpu(cpu);
      return [
        String(parallel),
        spent(cpu.alone),
        `${spent(bare)} = ${bare.all.toFixed(2)}`,
        `${leastAdded(bare.all, parallel, cores)}`,
        `${spent(ours)} = ${ours.all.toFixed(2)}`,
        `${leastAdded(ours.all, parallel, cores)}`,
        `${leastAdded(ours.webhook, parallel, cores)}`,
      ];
    }),
  );
  tellGoal(rows, cores);
}

/** Whether a goal that is missed is missed by us or by the machine. */
function tellGoal(rows: readonly Row[], cores: number): void {
  for (const { parallel, times } of rows) {
    const added = minus(times.webhook, times.alone).p99;
    if (added > LIMIT_MS)
      console.log(
        `${parallel} at once: the goal of ${LIMIT_MS} ms is not met as the user sees it on this machine; any webhook adds ${minus(bareOf(times).mean, times.alone).p99} ms here`,
      );
  }
  const row = rows.find(({ parallel }) => parallel === BOUND_PARALLEL);
  if (row === undefined) return;
  const { bare, ours } = addedCpu(row.cpu);
  console.log(
    `${BOUND_PARALLEL} creators that always wait: ${LIMIT_MS} ms on average allow ${((LIMIT_MS * cores) / BOUND_PARALLEL).toFixed(2)} ms of CPU for a webhook's part in a creation, all processes together, on ${cores} cores; a bare webhook takes ${bare.all.toFixed(2)} (the API server's call of it ${bare.api.toFixed(2)}), ours ${ours.all.toFixed(2)} (our process ${ours.webhook.toFixed(2)})`,
  );
}

function table(heads: readonly string[], lines: readonly (readonly string[])[]): void {
  const widths = heads.map((head, at) => Math.max(head.length, ...lines.map((line) => line[at]?.length ?? 0)));
  for (const line of [heads, ...lines]) console.log(line.map((cell, at) => cell.padStart(widths[at] ?? 0)).join("  "));
}
