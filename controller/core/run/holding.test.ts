import { describe, expect, test } from 'vitest';
import { after, begun, exit1, good, live, lost, never, phases, yielding } from '../../../test/fixtures/lives.ts';
import { createdAt, planOf, queuedRun } from '../../../test/fixtures/plans.ts';
import { decideRun } from './decide.ts';
import { hydrate } from './hydrate.ts';
import { runWorld, type World } from '../../../test/fixtures/world.ts';

const said = (world: World, type: string) => world.actions.filter(({ action }) => action.type === type);

describe('the queue', () => {
  const group = {
    concurrency: { group: 'g-${{ inputs.region }}', policy: 'Reject' as const },
    locks: [{ name: 'db' }],
  };
  const run = (lockFate: NonNullable<Parameters<typeof runWorld>[2]>['lockFate'], more: object = {}, spec = {}) => {
    const plan = planOf({ ...group, ...more, steps: [{ name: 'a' }], finally: [{ name: 'z' }] });
    return runWorld(plan, queuedRun(plan, { inputs: { region: 'eu' }, priority: 7 }), {
      ...(lockFate ? { lockFate } : {}),
      ...spec,
    });
  };

  test('a run with a group or locks begins when it has all of them, and lets go at its end', () => {
    const world = run(() => ({ afterMs: 5000 }));
    expect(said(world, 'Acquire')[0]?.action).toMatchObject({
      holder: { step: null },
      priority: 7,
      since: createdAt,
      request: { locks: [{ name: 'db', limit: 1 }], group: { name: 'g-eu', policy: 'Reject' }, slot: false },
    });
    expect(world.run).toMatchObject({ phase: 'Succeeded', startedAt: after(5000) });
    expect(said(world, 'Release')).toMatchObject([{ at: after(7000), action: { holder: { step: null } } }]);
  });

  test.each([
    ['refused', () => ({ afterMs: 0, refused: true }), {}, {}, 'Failed', 'lock'],
    ['too long there', () => ({ afterMs: 90_000 }), { queueTimeout: '30s' }, {}, 'TimedOut', 'timeout'],
    [
      'cancelled there',
      () => ({ afterMs: 90_000 }),
      {},
      { spec: [{ at: after(1), desired: 'Cancelled' as const }] },
      'Cancelled',
      'cancelled',
    ],
    ['whose group cannot be named', undefined, { concurrency: { group: '${{ 1 / 0 }}' } }, {}, 'Failed', 'expression'],
  ])('a run that is %s ends without a step', (_, lockFate, more, spec, phase, type) => {
    const world = run(lockFate, more, spec);
    expect(world.run).toMatchObject({ phase, startedAt: null, error: { type } });
    expect(world.steps.size).toBe(0);
    expect(said(world, 'Release')).toHaveLength(1);
  });

  test('one that is too long there says what it waited for', () => {
    const world = run(() => ({ afterMs: 90_000 }), { queueTimeout: '30s' });
    expect(world.run.error?.message).toBe(
      'the run did not leave the queue within 30s: it waited for the concurrency group "g-eu" and the lock "db"',
    );
  });

  test('one that its group turns away is cancelled: nothing has failed', () => {
    const plan = planOf({ ...group, steps: [{ name: 'a' }] });
    const state = hydrate(plan, { run: queuedRun(plan), steps: [], attempts: [] });
    const error = { type: 'groupTaken', message: 'the group is taken by run b', retryable: false };
    const refused = { type: 'LocksRefused' as const, holder: { step: null }, since: createdAt, error };
    const { transition } = decideRun(plan, state, [refused], createdAt);
    expect(transition?.run).toMatchObject({ phase: 'Cancelled', outcome: 'Cancelled', error });
    expect(transition?.events.map(({ message }) => message)).toEqual([
      'run test-1 was cancelled: the group is taken by run b',
    ]);
  });

  test('the limit of the run counts from its beginning', () => {
    const world = run(() => ({ afterMs: 60_000 }), { timeout: '30s' });
    expect(world.run.phase).toBe('Succeeded');
  });
});

describe('locks of a step', () => {
  test('are held over its retries and fallbacks; another waits for its end', () => {
    const retry = { limit: 1, backoff: { initial: '1s', jitter: 0 } };
    const locks = [{ name: 'db' }];
    const world = live(
      [
        { name: 'a', locks, retry, fallback: [{ run: 'x' }] },
        { name: 'b', locks },
      ],
      { a: [exit1] },
    );
    expect(begun(world)).toEqual(['a main 0', 'a main 2000', 'a fallback[0] 3000', 'b main 4000']);
    expect(world.steps.get('b')?.startedAt).toBe(createdAt);
  });

  test('the deadline counts while it waits for them', () => {
    const world = live(
      [{ name: 'a', locks: [{ name: 'db' }], deadline: '2s' }],
      {},
      { lockFate: () => ({ afterMs: 9000 }) },
    );
    expect(world.steps.get('a')).toMatchObject({ phase: 'TimedOut', attempts: 0, finishedAt: after(2000) });
  });

  test('one that could never be granted fails the step, with no fallback', () => {
    const steps = [{ name: 'a', locks: [{ name: 'db' }], fallback: [{ run: 'x' }] }];
    const world = live(steps, {}, { lockFate: () => ({ afterMs: 0, refused: true }) });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 0, error: { type: 'lock' } });
  });

  test('are named by item, and asked for in one order', () => {
    const locks = [{ name: 'z-${{ item }}', limit: 3 }, { name: 'b' }, { name: 'b', limit: 2 }];
    const world = live([{ name: 'a', forEach: { items: ['x'] }, locks }]);
    expect(said(world, 'Acquire')[0]?.action).toMatchObject({
      holder: { step: 'a', item: 0 },
      request: {
        locks: [
          { name: 'b', limit: 1 },
          { name: 'z-x', limit: 3 },
        ],
        group: null,
        slot: false,
      },
    });
  });

  test('where running steps are limited, each that makes attempts asks for one', () => {
    const steps = [{ name: 'a' }, { name: 'w', wait: { for: '1s' } }, { name: 'c', workflow: { name: 'child' } }];
    const world = live(steps, {}, { limitedSlots: true });
    expect(said(world, 'Acquire')).toMatchObject([
      { action: { holder: { step: 'a' }, request: { locks: [], slot: true } } },
    ]);
    expect(said(world, 'Release')).toHaveLength(1);
  });

  test('granted to a paused run, they are kept and the step begins when it goes on', () => {
    const spec = [
      { at: after(1000), desired: 'Paused' as const },
      { at: after(60_000), desired: 'Running' as const },
    ];
    const world = live([{ name: 'a', locks: [{ name: 'db' }] }], {}, { spec, lockFate: () => ({ afterMs: 5000 }) });
    expect(begun(world)).toEqual(['a main 60000']);
  });
});

describe('the cache', () => {
  const step = {
    name: 'a',
    forEach: { items: ['x', 'x', 'y'] },
    env: { I: '${{ item }}' },
    outputs: { n: { type: 'integer' } },
    cache: {},
  };

  test('one fills a key, the others wait and take its outputs', () => {
    const world = live([step, { name: 'b', needs: ['a'] }], { a: [yielding({ text: 'n=7' })] });
    expect(phases(world)).toMatchObject({ 'a[0]': 'Succeeded', 'a[1]': 'Cached', 'a[2]': 'Succeeded', b: 'Succeeded' });
    expect(world.steps.get('a[1]')).toMatchObject({ outputs: { n: 7 }, attempts: 0, finishedAt: after(1000) });
    expect(world.steps.get('a[0]')?.cache?.parts).toMatchObject({ 'env I': 'x', step: 'a' });
  });

  test('what fails fills nothing: the next one runs', () => {
    const world = live([{ ...step, forEach: { items: ['x', 'x'], failFast: false } }], {
      'a[0]': [exit1],
      a: [yielding({ text: 'n=7' })],
    });
    expect(phases(world)).toMatchObject({ 'a[0]': 'Failed', 'a[1]': 'Succeeded' });
  });

  test('a fallback fills nothing', () => {
    const world = live([{ ...step, forEach: { items: ['x'] }, fallback: [{ run: 'x' }] }], { a: [exit1] });
    expect(world.run.phase).toBe('Degraded');
    expect(world.cache.entries().size).toBe(0);
  });

  test('is asked before the locks, and what it gives is not undone', () => {
    const one = { name: 'a', run: 'true', cache: {}, locks: [{ name: 'db' }], compensate: { run: 'undo' } };
    const world = live(
      [
        { ...one, forEach: { items: [1, 2], parallelism: 1 } },
        { name: 'c', needs: ['a'] },
      ],
      { c: [exit1] },
    );
    expect(phases(world)).toMatchObject({ 'a[0]': 'Compensated', 'a[1]': 'Cached' });
    // For the step, and for undoing it.
    expect(said(world, 'Acquire')).toHaveLength(2);
  });
});

describe('circuits', () => {
  const http = { name: 'a', http: { url: 'http://one/x' }, retry: { limit: 0 } };
  const ok = { a: [yielding({ values: {} })] };

  test('a request to an open host waits, and uses up no attempt', () => {
    const circuits = [{ at: createdAt, open: [{ host: 'one', until: after(30_000) }] }];
    const steps = [
      { name: 'w', wait: { for: '1s' } },
      { ...http, needs: ['w'] },
      { name: 'b', needs: ['w'], http: { url: 'http://two/' } },
    ];
    const world = live(steps, { ...ok, b: ok.a }, { circuits });
    expect(begun(world)).toEqual(['b main 1000', 'a main 30000']);
    expect(world.steps.get('a')).toMatchObject({ attempts: 1, startedAt: after(1000) });
  });

  test('it goes on as soon as the circuit closes, and waits again when it is still open', () => {
    const circuits = [
      { at: createdAt, open: [{ host: 'one', until: after(30_000) }] },
      { at: after(20_000), open: [{ host: 'one', until: after(90_000) }] },
      { at: after(50_000), open: [] },
    ];
    const world = live(
      [
        { name: 'w', wait: { for: '1s' } },
        { ...http, needs: ['w'] },
      ],
      ok,
      { circuits },
    );
    expect(begun(world)).toEqual(['a main 50000']);
  });
});

describe('child runs', () => {
  test('are attempts that say whose they are; their outputs are the step’s', () => {
    const plan = planOf({
      steps: [{ name: 'a', workflow: { name: 'child', inputs: { shop: '${{ 1 + 1 }}' } } }],
      outputs: { url: '${{ steps.a.outputs.url }}' },
    });
    const run = queuedRun(plan, { priority: 3, root: 'root', rootName: 'top', depth: 2 });
    const world = runWorld(plan, run, { fate: () => ({ afterMs: 1, result: yielding({ values: { url: 'u' } }) }) });
    expect(world.begun[0]?.action).toMatchObject({
      owner: { uid: 'root', name: 'top' },
      body: { kind: 'workflow', name: 'child', inputs: { shop: 2 }, priority: 3, root: 'root', depth: 3 },
    });
    expect(world.run.outputs).toEqual({ url: 'u' });
  });

  test('are nested 10 deep at most', () => {
    const plan = planOf({ steps: [{ name: 'a', workflow: { name: 'child' } }] });
    const world = runWorld(plan, queuedRun(plan, { depth: 10 }));
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 0, error: { type: 'child' } });
  });
});

describe('artifacts', () => {
  const kept = { a: { digest: 'sha256:aa', bytes: 1, folder: false } };
  const steps = [
    { name: 'a', artifacts: { out: { a: 'a.txt' } } },
    { name: 'b', needs: ['a'], if: 'always()', artifacts: { in: { 'in/a.txt': 'a.a' } } },
  ];

  test('are handed from step to step', () => {
    const world = live(steps, { a: [{ outcome: 'Succeeded', outputs: { text: '' }, artifacts: kept }] });
    expect(world.begun.map(({ action }) => action.artifacts)).toEqual([
      { out: { a: 'a.txt' }, in: {} },
      { out: {}, in: { 'in/a.txt': kept.a } },
    ]);
    expect(world.steps.get('a')?.artifacts).toEqual(kept);
  });

  test('a step that needs one which is not there fails', () => {
    const world = live(steps, { a: [exit1] });
    expect(world.steps.get('b')).toMatchObject({ phase: 'Failed', attempts: 0, error: { type: 'artifact' } });
  });
});

test('what is said twice is one effect for attempts that do the same, and another for what does not', () => {
  const retry = { limit: 1, backoff: { initial: '1s', jitter: 0 } };
  const world = live([{ name: 'a', retry, fallback: [{ run: 'x' }] }], { a: [lost, exit1, exit1], b: [good, never] });
  expect(world.begun.map(({ action }) => action.effect)).toEqual([
    'main/0/1',
    'main/0/1',
    'main/0/1',
    'fallback[0]/0/1',
  ]);
});
