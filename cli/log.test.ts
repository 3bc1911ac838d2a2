import { expect, test } from 'vitest';
import { createLog } from './log.ts';

function logged(isTTY: boolean): string {
  let text = '';
  const log = createLog({ write: (more) => (text += more), isTTY, columns: 80, rows: 24 }, 'info');
  log.debug('not shown');
  log.warn({ err: new Error('no route'), key: 'default/repo', failures: 2 }, 'reconcile failed');
  return text;
}

test('a person on a terminal gets one line', () => {
  expect(logged(true)).toMatch(/^\d\d:\d\d:\d\d warn {2}reconcile failed key=default\/repo failures=2: no route\n$/);
});

test('a program gets JSON', () => {
  expect(JSON.parse(logged(false))).toMatchObject({ level: 40, msg: 'reconcile failed', err: { message: 'no route' } });
});
