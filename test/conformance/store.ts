import { describe, expect, test } from 'vitest';
import type { PromotionDecision } from '../../controller/core/promotion/types.ts';
import type { RunRow } from '../../controller/core/run/types.ts';
import { wholeStep } from '../../controller/core/run/types.ts';
import type { Store } from '../../controller/store/types.ts';
import { attemptRow, promotionRow, runRow, stepRow, transition } from '../fixtures/history.ts';

let names = 0;

/** A name no other test uses: a store is shared by the tests of a file, as opening one takes seconds. */
function fresh(prefix: string): string {
  return `${prefix}-${++names}`;
}

/** Creates runs and claims them; whatever else was free is claimed too, which harms no other test. */
async function claimed(store: Store, ...runs: RunRow[]): Promise<Map<string, number>> {
  await Promise.all(runs.map((run) => store.runs.create(run)));
  const fences = new Map<string, number>();
  for (;;) {
    const claims = await store.runs.claim(200);
    for (const { id, fence } of claims) fences.set(id, fence);
    if (claims.length === 0) return fences;
  }
}

async function allPages<T>(read: (after?: string) => Promise<{ items: T[]; next: string | null }>): Promise<T[][]> {
  const pages: T[][] = [];
  for (let after: string | undefined; ; ) {
    const page = await read(after);
    pages.push(page.items);
    if (page.next === null) return pages;
    after = page.next;
  }
}

function decision(more: Partial<PromotionDecision> = {}) {
  return { promotions: [], activate: [], names: [], events: [], ...more };
}

const failure = (type: string) => ({ type, message: 'm', retryable: false });
const logKey = (runId: string) => ({ runId, step: 'a', item: wholeStep, attempt: 1 });
const bytes = (text: string) => new TextEncoder().encode(text);

/** What the history promises, on either driver. */
export function describeHistory(driver: string, opened: () => Store): void {
  const read = async (runId: string, from = 0, limit = 1_000_000) =>
    (await opened().logs.read(logKey(runId), from, limit, null)).map((l) => [l.position, l.text]);

  describe(`runs: ${driver}`, () => {
    test('a run is recorded once and read back exactly', async () => {
      const run = runRow(fresh('run'), {
        namespace: fresh('ns'),
        inputs: { text: 'ä\u2028"\\', n: 0.1, big: 2 ** 53 - 1 },
      });
      expect(await opened().runs.create(run)).toBe(true);
      expect(await opened().runs.create({ ...run, name: 'other' })).toBe(false);
      expect(await opened().runs.get(run.id)).toEqual(run);
      expect(await opened().runs.getByName(run.namespace, run.name)).toEqual(run);
      expect(await opened().runs.get('none')).toBeNull();
      expect(await opened().runs.getByName(run.namespace, 'none')).toBeNull();
    });

    test('what happened as a run was recorded is told with it, and once', async () => {
      const run = runRow(fresh('run'), { phase: 'Failed', outcome: 'Failed', finishedAt: 5 });
      const event = { type: 'Warning' as const, reason: 'RunFailed', message: 'inputs:\0', at: 5 };
      let heard = 0;
      const stop = opened().events.onAppend(() => heard++);
      expect(await opened().runs.create(run, { events: [event] })).toBe(true);
      expect(heard).toBeGreaterThan(0);
      stop();
      expect(await opened().runs.create(run, { events: [event] })).toBe(false);
      expect(await opened().events.list({ namespace: run.namespace, name: run.name }, { limit: 10 })).toEqual([
        expect.objectContaining({ kind: 'WorkflowRun', ...event, message: 'inputs:\ufffd' }),
      ]);
    });

    test('by name, the newest run is found', async () => {
      const namespace = fresh('ns');
      await opened().runs.create(runRow(fresh('run'), { namespace, name: 'a', createdAt: 5 }));
      const newer = runRow(fresh('run'), { namespace, name: 'a', createdAt: 6 });
      await opened().runs.create(newer);
      expect(await opened().runs.getByName(namespace, 'a')).toEqual(newer);
    });

    test('a commit replaces the rows it names, and only what can change in a run', async () => {
      const run = runRow(fresh('run'));
      const fence = (await claimed(opened(), run)).get(run.id) ?? 0;
      const [a, b] = [stepRow(run.id, 'a'), stepRow(run.id, 'b', { phase: 'Waiting', until: 9_000, attempts: 0 })];
      await opened().runs.commit(transition(run, { steps: [a, b], attempts: [attemptRow(run.id, 'a')] }), fence);

      const done: RunRow = {
        ...run,
        phase: 'Failed',
        desired: 'Cancelled',
        reason: 'enough',
        finishedAt: 10_000,
        stoodMs: 12,
        standsSince: 11,
        outcome: 'Failed',
        error: { type: 'exit', message: 'exit code 3', retryable: false, exitCode: 3 },
        finalizingAt: 8_000,
        outputs: { url: 'x', list: [1, { deep: null }] },
        logsUnmasked: 'the log of step a may show values',
        revision: 2,
      };
      const failed = { ...a, phase: 'Failed' as const, finishedAt: 4_000, error: done.error };
      const attempt = attemptRow(run.id, 'a', {
        phase: 'Failed',
        finishedAt: 4_000,
        error: done.error,
        imageId: 'busybox@sha256:aa',
      });
      await opened().runs.commit({ ...transition(done), steps: [failed], attempts: [attempt] }, fence);

      expect(await opened().runs.get(run.id)).toEqual({ ...done, revision: 3 });
      expect(await opened().runs.steps(run.id)).toEqual([b, failed].toSorted((x, y) => (x.step < y.step ? -1 : 1)));
      expect(await opened().runs.attempts(run.id)).toEqual([attempt]);
      expect(await opened().runs.attempts(run.id, { step: 'b' })).toEqual([]);
    });

    test('load gives what hydrate needs: the run, its steps, its open attempts', async () => {
      const [one, two] = [runRow(fresh('run')), runRow(fresh('run'))];
      const fences = await claimed(opened(), one, two);
      const ended = attemptRow(one.id, 'a', { phase: 'Failed', finishedAt: 1 });
      const open = attemptRow(one.id, 'a', { number: 2 });
      const stopping = attemptRow(one.id, 'b', { phase: 'Stopping', stopReason: 'timeout' });
      const steps = [stepRow(one.id, 'a'), stepRow(one.id, 'b')];
      const first = transition(one, { steps, attempts: [ended, open, stopping] });
      await opened().runs.commit(first, fences.get(one.id) ?? 0);
      const rows = new Map((await opened().runs.load([one.id, two.id, 'none'])).map((r) => [r.run.id, r]));
      expect(rows.size).toBe(2);
      expect(rows.get(one.id)?.run).toEqual(first.run);
      expect(rows.get(one.id)?.steps).toEqual(expect.arrayContaining(steps));
      expect(rows.get(one.id)?.attempts.toSorted((a, b) => (a.step < b.step ? -1 : 1))).toEqual([open, stopping]);
      expect(rows.get(two.id)).toEqual({ run: two, spec: null, steps: [], attempts: [] });
      expect(await opened().runs.load([])).toEqual([]);
    });

    test('open attempts are those that have not ended, of runs that have not finished', async () => {
      const [one, finished] = [runRow(fresh('run')), runRow(fresh('run'))];
      const fences = await claimed(opened(), one, finished);
      const ended = attemptRow(one.id, 'a', { phase: 'Failed', finishedAt: 1 });
      const open = attemptRow(one.id, 'a', { number: 2 });
      const stopping = attemptRow(one.id, 'b', { phase: 'Stopping', stopReason: 'timeout' });
      const steps = [stepRow(one.id, 'a'), stepRow(one.id, 'b')];
      await opened().runs.commit(
        transition(one, { steps, attempts: [ended, open, stopping] }),
        fences.get(one.id) ?? 0,
      );
      const over = { ...finished, phase: 'Failed' as const, outcome: 'Failed' as const, finishedAt: 4_000 };
      const forgotten = { steps: [stepRow(over.id, 'a')], attempts: [attemptRow(over.id, 'a')] };
      await opened().runs.commit(transition(over, forgotten), fences.get(over.id) ?? 0);
      const own = (await opened().runs.openAttempts()).filter(({ runId }) => [one.id, over.id].includes(runId));
      expect(own.toSorted((a, b) => (a.step < b.step ? -1 : 1))).toEqual([
        { runId: one.id, step: 'a', item: -1, attempt: 2 },
        { runId: one.id, step: 'b', item: -1, attempt: 1 },
      ]);
    });

    test('a claim raises the fence, and is not given twice until it is released', async () => {
      const run = runRow(fresh('run'));
      const fence = (await claimed(opened(), run)).get(run.id) ?? 0;
      expect(fence).toBeGreaterThan(0);
      expect((await claimed(opened())).has(run.id)).toBe(false);
      await opened().runs.release([run.id]);
      expect((await claimed(opened())).get(run.id)).toBe(fence + 1);
    });

    test('a finished run is not claimed', async () => {
      const run = runRow(fresh('run'), { phase: 'Succeeded', finishedAt: 5, outcome: 'Succeeded' });
      expect((await claimed(opened(), run)).has(run.id)).toBe(false);
    });

    test('a commit with an old fence writes nothing and says so; its neighbours in the batch are written', async () => {
      const [lost, kept] = [runRow(fresh('run')), runRow(fresh('run'))];
      const fences = await claimed(opened(), lost, kept);
      const event = { type: 'Normal' as const, reason: 'Started', message: lost.id, at: 1 };
      const rows = { steps: [stepRow(lost.id, 'a')], attempts: [attemptRow(lost.id, 'a')], events: [event] };
      const [one, two] = await Promise.allSettled([
        opened().runs.commit(transition(lost, rows), (fences.get(lost.id) ?? 0) - 1),
        opened().runs.commit(transition(kept), fences.get(kept.id) ?? 0),
      ]);
      expect(one).toMatchObject({ status: 'rejected', reason: { name: 'FenceLost' } });
      expect(two.status).toBe('fulfilled');
      expect(await opened().runs.get(lost.id)).toEqual(lost);
      expect(await opened().runs.steps(lost.id)).toEqual([]);
      expect(await opened().runs.attempts(lost.id)).toEqual([]);
      expect(await opened().events.list({ name: lost.name }, { limit: 10 })).toEqual([]);
      expect((await opened().runs.get(kept.id))?.revision).toBe(2);
    });

    test('many runs committed at once are all written, in order for each', async () => {
      const runs = Array.from({ length: 250 }, () => runRow(fresh('run')));
      const fences = await claimed(opened(), ...runs);
      const commits = runs.flatMap((run) =>
        [1, 2, 3].map((n) =>
          opened().runs.commit(
            { run: { ...run, revision: n }, steps: [stepRow(run.id, `s${n}`)], attempts: [], events: [] },
            fences.get(run.id) ?? 0,
          ),
        ),
      );
      await Promise.all(commits);
      const rows = await opened().runs.load(runs.map((run) => run.id));
      expect(rows.map((r) => r.run.revision)).toEqual(runs.map(() => 3));
      expect(rows.every((r) => r.steps.length === 3)).toBe(true);
    });

    test('text the database cannot keep is made storable', async () => {
      const run = runRow(fresh('run'), { inputs: { a: 'x\0y' } });
      const fence = (await claimed(opened(), run)).get(run.id) ?? 0;
      const error = { type: 'exit', message: 'bad \ud800 bytes\0', retryable: false };
      const steps = [stepRow(run.id, 'a', { outputs: { 'k\0': ['\udfff'] }, error })];
      const events = [{ type: 'Warning' as const, reason: 'Failed', message: 'a\0b', at: 1 }];
      await opened().runs.commit(transition({ ...run, error }, { steps, events }), fence);
      expect((await opened().runs.get(run.id))?.inputs).toEqual({ a: 'x\ufffdy' });
      expect((await opened().runs.steps(run.id))[0]).toMatchObject({
        outputs: { 'k\ufffd': ['\ufffd'] },
        error: { message: 'bad \ufffd bytes\ufffd' },
      });
      expect((await opened().events.list({ name: run.name }, { limit: 1 }))[0]?.message).toBe('a\ufffdb');
    });

    test.each([
      ['a number out of range (class 22)', { startedAt: 1e300 }],
      ['a value that must not be missing (class 23)', { stoodMs: NaN }],
    ])('a run whose data is refused ends alone: %s', async (_what, poison) => {
      const runs = Array.from({ length: 9 }, () => runRow(fresh('run'), { namespace: fresh('ns') }));
      const bad = runs[4] as RunRow;
      const fences = await claimed(opened(), ...runs);
      const fence = (id: string) => fences.get(id) ?? 0;
      const begun = { steps: [stepRow(bad.id, 'a')], attempts: [attemptRow(bad.id, 'a')] };
      await opened().runs.commit(transition(bad, begun), fence(bad.id));

      const results = await Promise.allSettled(
        runs.map((run) => opened().runs.commit(transition({ ...run, ...(run === bad ? poison : {}) }), fence(run.id))),
      );
      expect(results.map((r) => r.status === 'fulfilled')).toEqual(runs.map((run) => run !== bad));
      expect(results[4]).toMatchObject({ reason: { name: 'Unstorable', message: expect.stringContaining(bad.id) } });
      const ended = await opened().runs.get(bad.id);
      expect(ended).toMatchObject({ phase: 'Failed', outcome: 'Failed', error: { type: 'infrastructure/unstorable' } });
      expect(ended?.finishedAt).not.toBeNull();
      expect(ended?.revision).toBeGreaterThan(2);
      expect(await opened().runs.steps(bad.id)).toMatchObject([{ phase: 'Cancelled' }]);
      expect(await opened().runs.attempts(bad.id)).toMatchObject([{ phase: 'Stopping', stopReason: 'cancelled' }]);
      const others = await opened().runs.load(runs.filter((run) => run !== bad).map((run) => run.id));
      expect(others.map((rows) => rows.run.revision)).toEqual(others.map(() => 2));
    });

    test('pages hold every run once, newest first, also among equal instants', async () => {
      const namespace = fresh('ns');
      const runs = Array.from({ length: 23 }, (_, i) =>
        runRow(fresh('run'), { namespace, createdAt: 1_000 + Math.floor(i / 10) }),
      );
      await Promise.all(runs.map((run) => opened().runs.create(run)));
      const pages = await allPages((after) => opened().runs.list({ namespace }, { limit: 5, ...(after && { after }) }));
      expect(pages.map((p) => p.length)).toEqual([5, 5, 5, 5, 3]);
      const all = pages.flat();
      expect(new Set(all.map((r) => r.id)).size).toBe(23);
      expect(all.map((r) => r.createdAt)).toEqual(all.map((r) => r.createdAt).toSorted((a, b) => b - a));
      const exact = await opened().runs.list({ namespace }, { limit: 23 });
      expect(exact.next).toBeNull();
    });

    test('a list is narrowed by every filter', async () => {
      const namespace = fresh('ns');
      const one = runRow(fresh('run'), { namespace, workflow: 'w1', digest: 'd1', environment: 'e1', createdAt: 10 });
      const two = runRow(fresh('run'), { namespace, phase: 'Failed', finishedAt: 5, createdAt: 20 });
      await Promise.all([one, two].map((run) => opened().runs.create(run)));
      const list = async (filter: Parameters<Store['runs']['list']>[0]) =>
        (await opened().runs.list({ namespace, ...filter }, { limit: 10 })).items.map((r) => r.id);
      expect(await list({})).toEqual([two.id, one.id]);
      for (const filter of [{ workflow: 'w1' }, { digest: 'd1' }, { environment: 'e1' }, { name: one.name }]) {
        expect(await list(filter)).toEqual([one.id]);
      }
      const within = async (...namespaces: string[]) =>
        (await opened().runs.list({ namespaces, name: one.name }, { limit: 10 })).items.map((r) => r.id);
      expect(await within(namespace, 'other')).toEqual([one.id]);
      expect(await within('other')).toEqual([]);
      expect(await within()).toEqual([]);
      expect(await list({ phases: ['Failed', 'TimedOut'] })).toEqual([two.id]);
      expect(await list({ phases: [] })).toEqual([]);
      expect(await list({ since: 11 })).toEqual([two.id]);
    });

    test.each(['', 'nonsense', 'MTIz', '~~~', Buffer.from('1~a\0').toString('base64url')])(
      'a cursor that is none is the caller’s mistake: %j',
      async (after) => {
        await expect(opened().runs.list({}, { limit: 1, after })).rejects.toMatchObject({ name: 'InvalidCursor' });
        await expect(opened().promotions.list({}, { limit: 1, after })).rejects.toMatchObject({
          name: 'InvalidCursor',
        });
        await expect(opened().versions.list({}, { limit: 1, after })).rejects.toMatchObject({ name: 'InvalidCursor' });
      },
    );
  });

  describe(`promotions: ${driver}`, () => {
    const at = 5_000;

    test('one commit changes everything, and raises the revision', async () => {
      const environment = { project: fresh('p'), name: 'prod', uid: 'u1' };
      const { project } = environment;
      const row = promotionRow(fresh('promotion'), { project, phase: 'Succeeded', finishedAt: at });
      const version = { workflow: 'report', digest: 'sha256:aa', ref: 'v1.0.0', commit: 'c1' };
      const first = await opened().promotions.commit(
        environment,
        decision({
          promotions: [row],
          activate: [{ ...version, at }],
          names: [version],
          events: [{ promotion: row.name, type: 'Normal', reason: 'Promoted', message: 'in\0' }],
        }),
        at,
      );
      expect(first.revision).toBe(1);
      expect(await opened().promotions.get(row.id)).toEqual(row);
      expect(await opened().promotions.active(project, 'prod')).toEqual([{ ...version, since: at }]);
      expect(await opened().versions.namesOf(project, ['sha256:aa'])).toEqual([{ project, ...version, at }]);
      const [event] = await opened().events.list({ namespace: project }, { limit: 10 });
      expect(event).toMatchObject({ kind: 'Promotion', name: row.name, reason: 'Promoted', message: 'in\ufffd', at });

      const changed = { ...row, phase: 'Superseded' as const, reason: 'NewerPromoted', message: 'x' };
      const second = await opened().promotions.commit(
        environment,
        decision({ promotions: [changed], events: [{ promotion: null, type: 'Warning', reason: 'R', message: 'm' }] }),
        at + 1,
      );
      expect(second.revision).toBe(2);
      expect(await opened().promotions.get(row.id)).toEqual(changed);
      expect(await opened().events.list({ namespace: project, kind: 'Environment' }, { limit: 10 })).toMatchObject([
        { name: 'prod', type: 'Warning' },
      ]);
    });

    test('activeIn answers for the environment that owns the namespace, and for no other', async () => {
      const [project, namespace] = [fresh('p'), fresh('ns')];
      expect(await opened().promotions.activeIn(namespace, 'report')).toBeNull();
      expect(await opened().promotions.own({ project, name: 'prod', uid: 'u' }, namespace, 1)).toBe(true);
      expect(await opened().promotions.own({ project, name: 'prod', uid: 'u' }, namespace, 1)).toBe(true);
      expect(await opened().promotions.own({ project, name: 'other', uid: 'u' }, namespace, 1)).toBe(false);
      expect(await opened().promotions.own({ project: fresh('p'), name: 'prod', uid: 'u' }, namespace, 1)).toBe(false);
      const none = { project, environment: 'prod', uid: 'u', digest: null, ref: null };
      expect(await opened().promotions.activeIn(namespace, 'report')).toEqual(none);
      const activate = [{ workflow: 'report', digest: 'd1', ref: 'v1', commit: 'c1', at }];
      await opened().promotions.commit({ project, name: 'prod', uid: 'u' }, decision({ activate }), at);
      const active = { ...none, digest: 'd1', ref: 'v1' };
      expect(await opened().promotions.activeIn(namespace, 'report')).toEqual(active);
      expect(await opened().promotions.activeIn(namespace, 'other')).toEqual(none);

      await opened().promotions.disown(project, 'prod');
      expect(await opened().promotions.activeIn(namespace, 'report')).toBeNull();
      expect(await opened().promotions.active(project, 'prod')).toEqual([]);
      expect((await opened().promotions.upstream(project, 'prod')).history).toEqual([
        { workflow: 'report', digest: 'd1' },
      ]);
      expect(await opened().promotions.own({ project, name: 'other', uid: 'u' }, namespace, 1)).toBe(true);
    });

    test('another environment of the same name inherits nothing: no promotion, no approval, no version, no history', async () => {
      const [project, namespace] = [fresh('p'), fresh('ns')];
      const one = { project, name: 'prod', uid: 'u1' };
      const other = { ...one, uid: 'u2' };
      const waits = promotionRow(fresh('promotion'), { project, gatesAtStart: [{ approval: { count: 1 } }] });
      const ended = promotionRow(fresh('promotion'), {
        project,
        phase: 'Succeeded',
        reason: 'Promoted',
        finishedAt: 1,
      });
      const version = { workflow: 'report', digest: 'd1', ref: 'v1', commit: 'c1', at };
      const gone = { ...version, workflow: 'gone', digest: null };
      await opened().promotions.own(one, namespace, at);
      await opened().promotions.commit(one, decision({ promotions: [waits, ended], activate: [version, gone] }), at);
      await opened().promotions.own(one, `${namespace}-2`, at);
      expect(await opened().promotions.get(waits.id)).toEqual(waits);

      expect(await opened().promotions.own(other, namespace, at + 1)).toBe(true);
      expect(await opened().promotions.get(waits.id)).toEqual({
        ...waits,
        phase: 'Superseded',
        reason: 'EnvironmentReplaced',
        message: 'Environment prod was replaced by another of the same name.',
        finishedAt: at + 1,
      });
      expect(await opened().promotions.get(ended.id)).toEqual(ended);
      expect(await opened().events.list({ namespace: project }, { limit: 10 })).toMatchObject([
        { kind: 'Promotion', name: waits.name, type: 'Normal', reason: 'PromotionSuperseded', at: at + 1 },
      ]);
      const none = { project, environment: 'prod', uid: 'u2', digest: null, ref: null };
      expect(await opened().promotions.activeIn(namespace, 'report')).toEqual(none);
      expect(await opened().promotions.upstream(project, 'prod')).toMatchObject({
        active: [],
        history: [],
        retired: [],
      });
      await opened().promotions.commit(other, decision({ activate: [version] }), at + 2);
      expect((await opened().promotions.upstream(project, 'prod')).history).toHaveLength(1);
    });

    test('two environments that want one namespace at once: one gets it', async () => {
      const [project, namespace] = [fresh('p'), fresh('ns')];
      const got = await Promise.all(
        ['a', 'b', 'c'].map((name) => opened().promotions.own({ project, name, uid: 'u' }, namespace, 1)),
      );
      expect(got.filter(Boolean)).toHaveLength(1);
    });

    test('upstream knows what is active, was active, and was retired', async () => {
      const environment = { project: fresh('p'), name: 'staging', uid: 'u' };
      const activate = (workflow: string, digest: string | null, ref: string, when: number) =>
        opened().promotions.commit(
          environment,
          decision({ activate: [{ workflow, digest, ref, commit: `c-${ref}`, at: when }] }),
          when,
        );
      await activate('a', 'a1', 'v1', 1);
      await activate('b', 'b1', 'v1', 1);
      await activate('c', 'c1', 'v1', 1);
      await activate('a', 'a2', 'v2', 2);
      await activate('b', null, 'v2', 2);
      await activate('c', null, 'v2', 2);
      await activate('c', 'c1', 'v3', 3);
      const fact = await opened().promotions.upstream(environment.project, 'staging');
      expect(fact.active).toEqual([
        { workflow: 'a', digest: 'a2', ref: 'v2', commit: 'c-v2', since: 2 },
        { workflow: 'c', digest: 'c1', ref: 'v3', commit: 'c-v3', since: 3 },
      ]);
      expect(fact.retired).toEqual([{ workflow: 'b', ref: 'v2', commit: 'c-v2', since: 2 }]);
      expect(fact.history.map((h) => `${h.workflow} ${h.digest}`).toSorted()).toEqual(['a a1', 'a a2', 'b b1', 'c c1']);
    });

    test('figures count finished runs of the environment, without cancelled ones and infrastructure failures', async () => {
      const [project, name, namespace, uid] = [fresh('p'), fresh('staging'), fresh('ns'), fresh('uid')];
      await opened().promotions.own({ project, name, uid }, namespace, 1);
      const run = (more: Partial<RunRow>) =>
        runRow(fresh('run'), {
          namespace,
          environment: name,
          environmentUid: uid,
          digest: 'd1',
          finishedAt: 9,
          ...more,
        });
      const runs = [
        run({ phase: 'Succeeded' }),
        run({ phase: 'Succeeded', digest: 'd2' }),
        run({ phase: 'Degraded', digest: 'd2' }),
        run({ phase: 'Failed', error: failure('exit') }),
        run({ phase: 'TimedOut', error: failure('timeout') }),
        run({ phase: 'Failed', error: failure('infrastructure/lost') }),
        run({ phase: 'Cancelled', error: failure('cancelled') }),
        run({ phase: 'Running', finishedAt: null }),
        // Before it moved here.
        run({ phase: 'Succeeded', digest: 'd3', namespace: fresh('ns') }),
        // Of who had the namespace before, and of nobody.
        run({ phase: 'Succeeded', environment: fresh('other'), environmentUid: fresh('uid') }),
        run({ phase: 'Succeeded', environment: null, environmentUid: null }),
        // Of one that has the same name in another project, or had it here before.
        run({ phase: 'Succeeded', environmentUid: fresh('uid') }),
      ];
      await Promise.all(runs.map((r) => opened().runs.create(r)));
      expect((await opened().promotions.upstream(project, name)).runs).toEqual([
        { workflow: 'report', digest: 'd1', finished: 3, succeeded: 1, degraded: 0 },
        { workflow: 'report', digest: 'd2', finished: 2, succeeded: 1, degraded: 1 },
        { workflow: 'report', digest: 'd3', finished: 1, succeeded: 1, degraded: 0 },
      ]);

      await opened().promotions.own({ project: fresh('p'), name, uid: fresh('uid') }, fresh('ns'), 1);
      await opened().promotions.own({ project, name, uid: fresh('uid') }, namespace, 2);
      expect((await opened().promotions.upstream(project, name)).runs).toEqual([]);
    });

    test('an environment never forgets what it refused, however much was promoted since', async () => {
      const project = fresh('p');
      const ends = [
        { phase: 'Rejected' as const, reason: 'InvalidRef' },
        { phase: 'Superseded' as const, reason: 'TagDeleted' },
        { phase: 'Superseded' as const, reason: 'NewerPromoted' },
        ...Array.from({ length: 100 }, () => ({ phase: 'Succeeded' as const, reason: 'Promoted' })),
      ];
      const rows = ends.map((end, i) =>
        promotionRow(fresh('promotion'), { project, createdAt: i, finishedAt: i, ...end }),
      );
      await opened().promotions.commit({ project, name: 'prod', uid: 'u' }, decision({ promotions: rows }), 1);
      const shown = await opened().promotions.ofEnvironment(project, 'prod');
      expect(shown.map(({ createdAt }) => createdAt).toSorted((a, b) => a - b)).toEqual([
        0,
        1,
        ...Array.from({ length: 100 }, (_, i) => 3 + i),
      ]);
    });

    test('an environment shows all that waits and the last hundred that ended', async () => {
      const project = fresh('p');
      const rows = Array.from({ length: 130 }, (_, i) =>
        promotionRow(fresh('promotion'), {
          project,
          createdAt: i,
          ...(i < 10 ? {} : { phase: 'Succeeded' as const, finishedAt: i }),
        }),
      );
      await opened().promotions.commit({ project, name: 'prod', uid: 'u' }, decision({ promotions: rows }), 1);
      const shown = await opened().promotions.ofEnvironment(project, 'prod');
      expect(shown.filter((r) => r.finishedAt === null)).toHaveLength(10);
      const ended = shown.filter((r) => r.finishedAt !== null).map((r) => r.createdAt);
      expect(ended.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => 30 + i));
      const list = (filter: object, limit: number) =>
        allPages((after) => opened().promotions.list({ project, ...filter }, { limit, ...(after && { after }) }));
      expect((await list({}, 50)).map((p) => p.length)).toEqual([50, 50, 30]);
      expect((await list({ phases: ['Gating'] }, 50)).flat()).toHaveLength(10);
      expect((await list({ environment: 'dev' }, 50)).flat()).toEqual([]);
    });
  });

  describe(`versions and refs: ${driver}`, () => {
    test('a version comes back as it was written, with its files', async () => {
      const digest = fresh('sha256:v');
      const spec = { zebra: 1, apple: { z: null, a: ['x'] } };
      const files = { 'a.sh': `${digest}-h1`, 'b/c.sh': `${digest}-h2`, 'copy.sh': `${digest}-h1` };
      const blobs = new Map([
        [`${digest}-h1`, bytes('one\0')],
        [`${digest}-h2`, new Uint8Array([0, 255, 128])],
      ]);
      await opened().versions.put([{ digest, workflow: 'report', spec, files }], blobs, 1);
      await opened().versions.put([{ digest, workflow: 'report', spec: {}, files: {} }], new Map(), 2);
      const read = await opened().versions.get(digest);
      expect(read).toEqual({ digest, workflow: 'report', spec, files });
      expect(Object.keys(read?.spec ?? {})).toEqual(['zebra', 'apple']);
      const contents = await opened().versions.files(digest);
      expect([...contents].map(([path, content]) => [path, [...content]])).toEqual([
        ['a.sh', [...bytes('one\0')]],
        ['b/c.sh', [0, 255, 128]],
        ['copy.sh', [...bytes('one\0')]],
      ]);
      expect(await opened().versions.get('none')).toBeNull();
      await expect(opened().versions.files('none')).rejects.toThrow('none');
    });

    test('names are given once and listed newest first', async () => {
      const project = fresh('p');
      const name = (ref: string, at: number, workflow = 'report') => ({
        project,
        workflow,
        digest: 'd1',
        ref,
        commit: 'c',
        at,
      });
      await opened().versions.name([name('v1', 1), name('v2', 2), name('v3', 2), name('v1', 3, 'other')]);
      await opened().versions.name([name('v1', 9)]);
      const refs = (filter: { workflow?: string }) =>
        allPages((after) => opened().versions.list({ project, ...filter }, { limit: 2, ...(after && { after }) }));
      expect((await refs({})).flat().map((n) => `${n.workflow} ${n.ref}`)).toEqual([
        'other v1',
        'report v3',
        'report v2',
        'report v1',
      ]);
      expect((await refs({ workflow: 'other' })).flat()).toEqual([name('v1', 3, 'other')]);
      expect(await opened().versions.namesOf(project, [])).toEqual([]);
      expect(await opened().versions.namesOf(fresh('p'), ['d1'])).toEqual([]);
    });

    test('what a commit holds is kept as first judged', async () => {
      const source = fresh('source');
      const content = { ok: true as const, workflows: [{ name: 'w', digest: 'd' }] };
      expect(await opened().versions.content(source, 'c1', 'p')).toBeNull();
      await opened().versions.putContent(source, 'c1', 'p', content);
      await opened().versions.putContent(source, 'c1', 'p', { ok: false, reason: 'NoWorkflows', diagnostics: [] });
      expect(await opened().versions.content(source, 'c1', 'p')).toEqual(content);
      expect(await opened().versions.content(source, 'c1', 'q')).toBeNull();
    });

    test('a tag keeps its first commit whatever happens to it; a branch follows', async () => {
      const source = fresh('source');
      const person = { name: 'A', email: 'a@x' };
      const ref = (name: string, commit: string) => ({
        ref: name,
        commit,
        tagger: name.includes('tags') ? person : null,
        author: person,
        message: `m ${commit}`,
      });
      const record = async (now: number, ...refs: ReturnType<typeof ref>[]) =>
        (await opened().refs.record(source, refs, now)).map((r) => [
          r.ref,
          r.commit,
          r.movedTo,
          r.deleted,
          r.firstSeenAt,
        ]);
      const [tag, main] = ['refs/tags/v1', 'refs/heads/main'];

      expect(await record(1, ref(tag, 'c1'), ref(main, 'c1'))).toEqual([
        [main, 'c1', null, false, 1],
        [tag, 'c1', null, false, 1],
      ]);
      expect(await record(2, ref(tag, 'c2'), ref(main, 'c2'))).toEqual([
        [main, 'c2', null, false, 1],
        [tag, 'c1', 'c2', false, 1],
      ]);
      expect((await opened().refs.list(source)).map((r) => r.message)).toEqual(['m c2', 'm c1']);
      expect(await record(3, ref(main, 'c3'))).toEqual([
        [main, 'c3', null, false, 1],
        [tag, 'c1', 'c2', true, 1],
      ]);
      expect(await record(4, ref(tag, 'c1'))).toEqual([
        [main, 'c3', null, true, 1],
        [tag, 'c1', null, false, 1],
      ]);
      expect(await record(5)).toEqual([
        [main, 'c3', null, true, 1],
        [tag, 'c1', null, true, 1],
      ]);
    });
  });

  describe(`events and logs: ${driver}`, () => {
    test('events are read from a cursor on, and listeners hear of them', async () => {
      const namespace = fresh('ns');
      let heard = 0;
      const stop = opened().events.onAppend(() => heard++);
      const event = (name: string) => ({
        kind: 'Workflow',
        namespace,
        name,
        type: 'Normal' as const,
        reason: 'R',
        message: 'm',
        at: 7,
      });
      await opened().events.append([event('a'), event('b')]);
      expect(heard).toBe(1);
      stop();
      await opened().events.append([event('c')]);
      await opened().events.append([]);
      expect(heard).toBe(1);
      const all = await opened().events.list({ namespace }, { limit: 10 });
      expect(all.map((e) => e.name)).toEqual(['a', 'b', 'c']);
      expect(all[0]).toEqual({ id: all[0]?.id, ...event('a') });
      expect(await opened().events.list({ namespace }, { limit: 1, after: all[0]?.id ?? 0 })).toEqual([all[1]]);
      expect(await opened().events.list({ namespace, name: 'c', kind: 'Workflow' }, { limit: 10 })).toEqual([all[2]]);
      expect(await opened().events.list({ namespace, kind: 'Other' }, { limit: 10 })).toEqual([]);
    });

    test('no event is passed over by a reader who follows while many write', async () => {
      const namespace = fresh('ns');
      const writers = Array.from({ length: 40 }, (_, i) =>
        opened().events.append([
          { kind: 'K', namespace, name: `${i}`, type: 'Normal', reason: 'R', message: 'm', at: i },
          { kind: 'K', namespace, name: `${i}+`, type: 'Normal', reason: 'R', message: 'm', at: i },
        ]),
      );
      const seen: string[] = [];
      for (let after = 0; seen.length < 80; ) {
        const page = await opened().events.list({ namespace }, { limit: 3, after });
        seen.push(...page.map((e) => e.name));
        after = page.at(-1)?.id ?? after;
      }
      await Promise.all(writers);
      expect(new Set(seen).size).toBe(80);
    });

    test('a log is read line by line from any position', async () => {
      const key = logKey(fresh('run'));
      expect(await opened().logs.resumeAt(key)).toBe(0);
      expect(await read(key.runId)).toEqual([]);
      await opened().logs.append(key, 0, bytes('one\ntwo\nthr'));
      await opened().logs.append(key, 11, bytes('ee\n'));
      expect(await opened().logs.resumeAt(key)).toBe(14);
      expect(await read(key.runId)).toEqual([
        [4, 'one\n'],
        [8, 'two\n'],
        [14, 'three\n'],
      ]);
      expect(await read(key.runId, 4)).toEqual([
        [8, 'two\n'],
        [14, 'three\n'],
      ]);
      expect(await read(key.runId, 14)).toEqual([]);
      expect(await read(key.runId, 0, 6)).toEqual([
        [4, 'one\n'],
        [6, 'tw'],
      ]);
      expect(await opened().logs.read({ ...key, attempt: 2 }, 0, 100, null)).toEqual([]);
    });

    test('what is written twice, in other pieces, is read once; the longer piece wins', async () => {
      const key = logKey(fresh('run'));
      await opened().logs.append(key, 0, bytes('hello wo'));
      await opened().logs.append(key, 0, bytes('hello'));
      await opened().logs.append(key, 5, bytes(' world\nand '));
      await opened().logs.append(key, 5, bytes(' world\nand more\n'));
      await opened().logs.append(key, 12, bytes('and'));
      expect(await read(key.runId)).toEqual([
        [12, 'hello world\n'],
        [21, 'and more\n'],
      ]);
    });

    test('a character cut by a chunk is read whole, and one that is not whole yet is waited for', async () => {
      const key = logKey(fresh('run'));
      const euro = bytes('€\n');
      await opened().logs.append(key, 0, Uint8Array.of(97, ...euro.subarray(0, 2)));
      expect(await read(key.runId)).toEqual([[1, 'a']]);
      expect(await read(key.runId, 1)).toEqual([]);
      await opened().logs.append(key, 3, euro.subarray(2));
      expect(await read(key.runId, 1)).toEqual([[5, '€\n']]);
      await opened().logs.append(key, 5, Uint8Array.of(0xff, 0, 10));
      expect(await read(key.runId, 5)).toEqual([[8, '\ufffd\0\n']]);
    });

    test('a gap does not stop a reader', async () => {
      const key = logKey(fresh('run'));
      await opened().logs.append(key, 0, Uint8Array.of(97, 0xe2));
      await opened().logs.append(key, 100, bytes('later\n'));
      expect(await read(key.runId)).toEqual([[2, 'a\ufffd']]);
      expect(await read(key.runId, 2)).toEqual([[106, 'later\n']]);
    });

    test('a log is cut at 4 MiB, with one line that says so', async () => {
      const key = logKey(fresh('run'));
      const block = bytes(`${'x'.repeat(1_048_570)}\n`);
      for (let at = 0; at < 5 * 1_048_576; at += block.length) await opened().logs.append(key, at, block);
      let text = '';
      for (let at = 0; ; ) {
        const pieces = await opened().logs.read(key, at, 256 * 1024, null);
        if (pieces.length === 0) break;
        text += pieces.map((p) => p.text).join('');
        at = pieces.at(-1)?.position ?? at;
      }
      const kept = 4 * 1024 * 1024;
      expect(text.length - kept).toBe('\n[log cut at 4 MiB; the step runs on]\n'.length);
      expect(text.slice(kept)).toBe('\n[log cut at 4 MiB; the step runs on]\n');
      expect(await opened().logs.resumeAt(key)).toBe(text.length);
    });

    test('listeners hear of the logs of their run only', async () => {
      const [mine, other] = [fresh('run'), fresh('run')];
      let heard = 0;
      const stop = opened().logs.onAppend(mine, () => heard++);
      await opened().logs.append(logKey(other), 0, bytes('x'));
      expect(heard).toBe(0);
      await opened().logs.append(logKey(mine), 0, bytes('x'));
      expect(heard).toBe(1);
      stop();
    });
  });

  test(`${driver}: it answers a ping, leads, and holds a lease`, async () => {
    await opened().ping();
    expect(opened().isLeader()).toBe(true);
    expect(opened().lease.remainingMs()).toBeGreaterThan(2_000);
    expect(opened().lease.lost.aborted).toBe(false);
  });
}
