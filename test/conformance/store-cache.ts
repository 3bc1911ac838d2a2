import { describe, expect, test, vi } from 'vitest';
import type { RunRow } from '../../controller/core/run/types.ts';
import type { CacheFill, LookUp } from '../../controller/store/cache-types.ts';
import type { Store } from '../../controller/store/types.ts';
import { runRow, stepRow, transition } from '../fixtures/history.ts';

let names = 0;

function fresh(prefix: string): string {
  return `${prefix}-cache-${++names}`;
}

/** What the step cache promises, on either driver. */
export function describeStepCache(driver: string, opened: () => Store): void {
  /** Those who ask at once may claim each other's runs. */
  const fences = new Map<string, number>();

  /** A run whose step waits for the cache, as it is recorded before anybody asks. */
  async function asking(more: Partial<LookUp> = {}): Promise<LookUp & { run: RunRow; fence: number }> {
    const run = runRow(fresh('run'), { namespace: more.namespace ?? 'dev' });
    await opened().runs.create(run);
    for (const claim of await opened().runs.claim(200)) fences.set(claim.id, claim.fence);
    const fence = await vi.waitUntil(() => fences.get(run.id));
    await opened().runs.commit(
      transition(run, { steps: [stepRow(run.id, 'a', { phase: 'Waiting', reason: 'WaitingForCache' })] }),
      fence,
    );
    const [key, parts] = [fresh('sha256:k'), { step: 'a', body: 'sha256:b' }];
    const unit = { runId: run.id, step: 'a', item: -1, namespace: 'dev', workflow: 'report' };
    return { ...unit, cache: { key, parts }, ttlMs: 60_000, image: null, ...more, run, fence };
  }

  const ask = ({ run: _run, fence: _fence, ...request }: LookUp & { run: RunRow; fence: number }) =>
    opened().cache.lookUp(request);

  function entry(
    { runId, step, item, namespace, workflow, cache, ttlMs, image }: LookUp,
    more: Partial<CacheFill> = {},
  ) {
    const outputs = { rows: 3, text: 'ä"' };
    const artifacts = { orders: { digest: 'sha256:cc', bytes: 12, folder: false } };
    const unit = { runId, step, item, namespace, workflow, key: cache.key, ttlMs };
    return { ...unit, outputs, artifacts, image, imageId: null, ...more };
  }

  describe(`step cache: ${driver}`, () => {
    test('one fills, also when it asks again; the others wait, are told, and find what it made', async () => {
      const one = await asking();
      const two = await asking({ cache: one.cache });
      expect(await ask(one)).toEqual({ type: 'fill' });
      expect(await ask(two)).toEqual({ type: 'wait' });
      expect(await ask(one)).toEqual({ type: 'fill' });
      let told = 0;
      const stop = opened().cache.onFill(() => told++);
      const made = entry(one);
      await opened().cache.fill(made);
      expect(told).toBe(1);
      stop();
      const hit = { type: 'hit', outputs: made.outputs, artifacts: made.artifacts };
      expect(await ask(two)).toEqual(hit);
      expect(await ask(one)).toEqual(hit);
    });

    test('of many that ask at once, one fills', async () => {
      const first = await asking();
      const all = [first, ...(await Promise.all(Array.from({ length: 30 }, () => asking({ cache: first.cache }))))];
      const answers = await Promise.all(all.map(ask));
      expect(answers.filter(({ type }) => type === 'fill')).toHaveLength(1);
      expect(answers.filter(({ type }) => type === 'wait')).toHaveLength(30);
    });

    test('many keys asked and filled at once are all answered', async () => {
      const unit = await asking();
      const keys = Array.from({ length: 500 }, () => fresh('sha256:k'));
      const requests = keys.map((key, item) => ({ ...unit, item, cache: { ...unit.cache, key } }));
      expect(new Set((await Promise.all(requests.map(ask))).map(({ type }) => type))).toEqual(new Set(['fill']));
      await Promise.all(
        requests.map((request) => opened().cache.fill(entry(request, { outputs: { at: request.item } }))),
      );
      const found = await Promise.all(requests.map(ask));
      expect(found.map((answer) => answer.type === 'hit' && answer.outputs)).toEqual(keys.map((_, at) => ({ at })));
    });

    test.each([
      ['failed', { phase: 'Failed' as const, finishedAt: 5 }],
      ['is to begin again', { phase: 'Pending' as const, startedAt: null }],
    ])('a filler that %s is let go of', async (_what, step) => {
      const one = await asking();
      const two = await asking({ cache: one.cache });
      await ask(one);
      await opened().runs.commit(transition(one.run, { steps: [stepRow(one.runId, 'a', step)] }), one.fence);
      expect(await ask(two)).toEqual({ type: 'fill' });
      expect(await ask(one)).toEqual({ type: 'wait' });
    });

    test('a filler whose run has ended, or is gone, is let go of', async () => {
      const one = await asking();
      const two = await asking({ cache: one.cache });
      await ask(one);
      const over = { ...one.run, phase: 'Cancelled' as const, outcome: 'Cancelled' as const, finishedAt: 5 };
      await opened().runs.commit(transition(over), one.fence);
      expect(await ask(two)).toEqual({ type: 'fill' });
      const gone = await asking();
      expect(await ask({ ...gone, runId: 'none' })).toEqual({ type: 'fill' });
      expect(await ask(gone)).toEqual({ type: 'fill' });
    });

    test('an entry is as good as the shorter of its time and the asker’s', async () => {
      const one = await asking();
      await opened().cache.fill(entry(one));
      const two = await asking({ cache: one.cache });
      expect(await ask({ ...two, ttlMs: 0 })).toEqual({ type: 'fill' });
      const three = await asking({ ttlMs: 0 });
      await opened().cache.fill(entry(three));
      expect(await ask({ ...three, ttlMs: 60_000 })).toEqual({ type: 'fill' });
      await opened().cache.fill(entry(three, { ttlMs: 60_000 }));
      expect(await ask(three)).toEqual({ type: 'fill' });
      expect(await ask({ ...three, ttlMs: 60_000 })).toMatchObject({ type: 'hit' });
    });

    test('an entry made by another image of that name is none, as soon as the newer one was seen there', async () => {
      const namespace = fresh('ns');
      const image = 'busybox:1';
      const one = await asking({ namespace, image });
      const elsewhere = await asking({ namespace: fresh('ns'), image, cache: one.cache });
      await opened().cache.fill(entry(one, { imageId: 'sha256:old' }));
      await opened().cache.fill(entry(elsewhere, { imageId: 'sha256:old' }));
      expect(await ask(one)).toMatchObject({ type: 'hit' });
      const newer = await asking({ namespace, image });
      await opened().cache.fill(entry(newer, { imageId: 'sha256:new' }));
      expect(await ask(newer)).toMatchObject({ type: 'hit' });
      expect(await ask(one)).toEqual({ type: 'fill' });
      expect(await ask(elsewhere)).toMatchObject({ type: 'hit' });
      const process = await asking({ namespace, image });
      await opened().cache.fill(entry(process));
      expect(await ask(process)).toMatchObject({ type: 'hit' });
    });

    test('entries of a step are shown newest first, with what they were made of', async () => {
      const workflow = fresh('w');
      const one = await asking({ workflow, cache: { key: fresh('sha256:k'), parts: { body: 'x\0' } } });
      const open = await asking({ workflow });
      await ask(one);
      await ask(open);
      await opened().cache.fill(entry(one, { imageId: 'sha256:i' }));
      const [shown, ...others] = await opened().cache.entries('dev', workflow, 'a', 10);
      expect(others).toEqual([]);
      expect(shown).toMatchObject({ key: one.cache.key, parts: { body: 'x\ufffd' }, imageId: 'sha256:i' });
      expect((shown?.expiresAt ?? 0) - (shown?.filledAt ?? 0)).toBe(60_000);
      expect(shown?.bytes).toBeGreaterThan(12);
      expect(await opened().cache.entries('dev', workflow, 'b', 10)).toEqual([]);
    });

    test('what is over goes, then what was used longest ago; what is being filled stays', async () => {
      await opened().cache.evict({ maxBytes: 0, maxAgeMs: 0 });
      const filling = await asking();
      const abandoned = await asking();
      await ask(filling);
      await ask({ ...abandoned, runId: 'none' });
      const artifacts = { a: { digest: 'sha256:cc', bytes: 1_000_000, folder: false } };
      // Those of one instant go by their keys, so that the order holds however fast this is.
      const kept = await Promise.all(
        ['c', 'b', 'a'].map((k) => asking({ cache: { key: fresh(`${k}-k`), parts: {} } })),
      );
      for (const request of kept) await opened().cache.fill(entry(request, { artifacts }));
      const expired = await asking({ ttlMs: 0 });
      await opened().cache.fill(entry(expired, { artifacts }));
      expect(await opened().cache.evict({ maxBytes: 10_000_000, maxAgeMs: 60_000 })).toBe(1);
      expect(await opened().cache.evict({ maxBytes: 2_500_000, maxAgeMs: 60_000 })).toBe(1);
      const answers = await Promise.all(kept.map(ask));
      expect(answers.map(({ type }) => type)).toEqual(['fill', 'hit', 'hit']);
      const waits = await asking({ cache: filling.cache });
      expect(await ask(waits)).toEqual({ type: 'wait' });
      // The two that are left, and the one that nobody will ever fill.
      expect(await opened().cache.evict({ maxBytes: 10_000_000, maxAgeMs: 0 })).toBe(3);
      expect(await ask(waits)).toEqual({ type: 'wait' });
    });
  });
}
