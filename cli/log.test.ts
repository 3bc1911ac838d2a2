import { expect, test } from 'vitest';
import { createLog } from './log.ts';

test('what a query failed with is logged, its parameters are not', () => {
  let written = '';
  const log = createLog(
    { isTTY: false, columns: 80, write: (text: string) => void (written += text) } as never,
    'info',
  );
  const cause = new Error('connection refused');
  const error = new Error('Failed query: insert into objects\nparams: a,{"token":"s3cret"},\nand more', { cause });
  log.warn({ err: error }, 'reconcile failed');
  expect(written).toContain('Failed query: insert into objects');
  expect(written).toContain('connection refused');
  expect(written).toContain('log.test.ts');
  expect(written).not.toMatch(/s3cret|and more/);
});
