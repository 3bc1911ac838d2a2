import { PerformanceObserver } from 'node:perf_hooks';
const { hydrate } = await import('/work/join/controller/core/run/hydrate.ts');
const { decideRun } = await import('/work/join/controller/core/run/decide.ts');
const { createdAt, planOf, queuedRun } = await import('/work/join/test/fixtures/plans.ts');
const width = Number(process.argv[2]); const rounds = Number(process.argv[3]);
const steps = [
    { name: 'first', template: { text: 'x' } },
    ...Array.from({ length: width - 2 }, (_, i) => ({ name: `s${i}`, needs: ['first'], template: { text: 'x' } })),
    { name: 'last', needs: Array.from({ length: width - 2 }, (_, i) => `s${i}`), template: { text: 'x' } },
];
const plan = planOf({ steps });
let gc = 0, kinds: Record<string, number> = {};
new PerformanceObserver((l) => { for (const e of l.getEntries()) { gc += e.duration; const k = String((e as any).detail.kind); kinds[k] = (kinds[k] ?? 0) + e.duration; } }).observe({ entryTypes: ['gc'] });
function once(ph: number[]) {
  let now = createdAt;
  let d = decideRun(plan, hydrate(plan, { run: queuedRun(plan), steps: [], attempts: [] }), [], now);
  const t0 = process.cpuUsage();
  let big = 0;
  while (d.actions.length > 0) {
    const pending = d.actions.filter((a: any) => a.type === 'Start'); const later: any[] = [];
    let next: any = pending.pop();
    while (next) {
      now++;
      const b = process.cpuUsage();
      d = decideRun(plan, d.state, [{ type: 'AttemptEnded', step: next.key.step, item: next.key.item, attempt: next.key.attempt, at: now, result: { outcome: 'Succeeded', outputs: { values: { text: 'x' } } } }], now);
      if (d.actions.length > 1) { const c = process.cpuUsage(b); big += c.user + c.system; }
      later.push(...d.actions.filter((a: any) => a.type === 'Start'));
      next = pending.pop() ?? later.pop();
    }
  }
  const c = process.cpuUsage(t0);
  ph.push((c.user + c.system) / width, big / width);
}
const out: number[][] = [];
for (let i = 0; i < rounds; i++) { const p: number[] = []; once(p); out.push(p); await new Promise(setImmediate); }
out.sort((a, b) => a[0]! - b[0]!);
console.log(width, 'µs/step median', out[out.length >> 1], 'gc µs/step', (gc * 1000 / rounds / width).toFixed(2), kinds);
