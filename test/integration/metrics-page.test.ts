import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

test('docs/metrics.md has every metric and no other', async () => {
  const sources = await Promise.all(['controller/reconcilers/metrics.ts', 'api/metrics.ts'].map(read));
  const metrics = sources.flatMap((text) => [...text.matchAll(/name: '(windlass_\w+)'/g)].map(([, name]) => name));
  const rows = (await read('docs/metrics.md')).split('\n').filter((line) => line.startsWith('| `'));
  const documented = rows.flatMap((row) => [...row.matchAll(/`(windlass_\w+)`/g)].map(([, name]) => name));
  expect(metrics.length).toBeGreaterThan(10);
  expect(new Set(documented)).toEqual(new Set(metrics));
});
