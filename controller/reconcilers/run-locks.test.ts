import pino from 'pino';
import { expect, test } from 'vitest';
import type { LockAnswer, LockTable } from '../store/types.ts';
import { createRunLocks } from './run-locks.ts';

/** A lock table of which another replica decides. */
function decidedElsewhere() {
  const decided: LockAnswer[] = [];
  let tell = () => {};
  const locks: LockTable = {
    ask: async () => {},
    letGo: async () => {},
    answers: async (ids) => decided.filter(({ runId }) => ids.includes(runId)),
    onAnswers: () => () => {},
    onElsewhere(fn) {
      tell = fn;
      return () => {};
    },
    counts: async () => [],
  };
  return { locks, decided, tell: () => tell() };
}

test('what another replica grants is heard, also when there was nothing to hear before', async () => {
  const elsewhere = decidedElsewhere();
  const heard = Promise.withResolvers<string>();
  const locks = createRunLocks({
    store: { locks: elsewhere.locks },
    slots: null,
    post: (_, { type }) => heard.resolve(type),
    supersede: () => {},
    log: pino({ level: 'silent' }),
  });
  locks.start();
  elsewhere.tell();
  const holder = { step: null };
  const old = { type: 'lock', message: 'taken', retryable: false };
  await locks.acquire({
    type: 'Acquire',
    runId: 'r',
    namespace: 'n',
    holder,
    request: { group: null, locks: [{ name: 'a', limit: 1 }], slot: false },
    priority: 0,
    since: 0,
    compensates: false,
  });
  // What it asked for long ago, it was told then.
  elsewhere.decided.push({ type: 'Refused', runId: 'r', holder, since: -1, error: old });
  elsewhere.decided.push({ type: 'Granted', runId: 'r', holder, since: 0 });
  elsewhere.tell();
  expect(await heard.promise).toBe('LocksGranted');
  await locks.stop();
}, 2000);
