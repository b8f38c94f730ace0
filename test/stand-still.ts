/** Keeps the event loop of this process from turning for so long. */
export function standStill(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}
