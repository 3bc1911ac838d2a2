import { describe, expect, test } from 'vitest';
import type { RunRow, StepRow } from '../../controller/core/run/types.ts';
import type { ChildSpec, DeadLetter, Store } from '../../controller/store/types.ts';
import { attemptRow, runRow, stepRow, transition } from '../fixtures/history.ts';

let names = 0;

function fresh(prefix: string): string {
  return `${prefix}-engine-${++names}`;
}

const failed = { type: 'exit', message: 'exit code 3', retryable: false, exitCode: 3 };

/** What the history promises about items, child runs, executions and dead letters, on either driver. */
export function describeRuns(driver: string, opened: () => Store): void {
  async function claimed(run: RunRow): Promise<number> {
    await opened().runs.create(run);
    return claim(run.id);
  }

  /** Claims whatever is free, which harms no other test, until the run is among it. */
  async function claim(id: string): Promise<number> {
    for (;;) {
      const claims = await opened().runs.claim(200);
      const own = claims.find((c) => c.id === id);
      if (own) return own.fence;
      if (claims.length === 0) throw new Error(`${id} is not free`);
    }
  }

  function childOf(parent: RunRow, more: Partial<RunRow> = {}): RunRow {
    const key = { runId: parent.id, step: 'a', item: 3, attempt: 1 };
    const { root, rootName, namespace } = parent;
    return runRow(fresh('child'), { namespace, parent: key, root, rootName, depth: parent.depth + 1, ...more });
  }

  function ends(
    run: RunRow,
    phase: 'Succeeded' | 'Degraded' | 'Failed' | 'TimedOut' | 'Cancelled',
    at = 9_000,
  ): RunRow {
    const bad = phase === 'Failed' || phase === 'TimedOut' || phase === 'Cancelled';
    return { ...run, phase, outcome: phase, finishedAt: at, error: bad ? failed : null };
  }

  /** The rows of a run's next execution. */
  function next(run: RunRow, queuedAt = 20_000): RunRow {
    const execution = run.execution + 1;
    const open = { phase: 'Queued' as const, outcome: null, error: null, finishedAt: null, startedAt: null };
    return { ...run, ...open, execution, queuedAt, revision: run.revision + 1 };
  }

  describe(`items: ${driver}`, () => {
    test('items have rows, attempts and logs of their own, and come back exactly', async () => {
      const run = runRow(fresh('run'));
      const fence = await claimed(run);
      const [digest, bytes] = ['sha256:cc', 12];
      const whole = stepRow(run.id, 'a', { items: 2, attempts: 0 });
      const first = stepRow(run.id, 'a', {
        item: 0,
        label: 'eu',
        via: 'fallback[1]',
        bodyAttempts: 2,
        iteration: 4,
        artifacts: { orders: { digest, bytes, folder: true } },
        cache: { key: 'sha256:dd', parts: { step: 'a', body: 'sha256:ee' } },
      });
      const second = stepRow(run.id, 'a', { item: 1, label: 'us', phase: 'Failed', error: failed, finishedAt: 5 });
      const attempts = [
        attemptRow(run.id, 'a', { item: 0, via: 'compensate' }),
        attemptRow(run.id, 'a', { item: 1, phase: 'Failed', finishedAt: 5 }),
      ];
      await opened().runs.commit(transition(run, { steps: [whole, first, second], attempts }), fence);

      expect(await opened().runs.steps(run.id)).toEqual([whole]);
      expect(await opened().runs.step(run.id, 'a', 0)).toEqual(first);
      expect(await opened().runs.step(run.id, 'a', -1)).toEqual(whole);
      expect(await opened().runs.step(run.id, 'a', 2)).toBeNull();
      expect(await opened().runs.attempts(run.id)).toEqual([]);
      expect(await opened().runs.attempts(run.id, { step: 'a', items: [1, 0] })).toEqual(attempts);
      const [rows] = await opened().runs.load([run.id]);
      expect(rows?.steps).toHaveLength(3);
      expect(rows?.attempts).toEqual([attempts[0]]);
      expect((await opened().runs.openAttempts()).filter(({ runId }) => runId === run.id)).toEqual([
        { runId: run.id, step: 'a', item: 0, attempt: 1 },
      ]);

      const key = { runId: run.id, step: 'a', item: 0, attempt: 1 };
      await opened().logs.append(key, 0, new TextEncoder().encode('of the first\n'));
      await opened().logs.append({ ...key, item: 1 }, 0, new TextEncoder().encode('of the second\n'));
      expect(await opened().logs.read(key, 0, 100, null)).toEqual([{ position: 13, text: 'of the first\n' }]);
      expect(await opened().logs.resumeAt({ ...key, item: -1 })).toBe(0);
    });

    test('a step of ten thousand items is read by pages and counts', async () => {
      const run = runRow(fresh('run'));
      const fence = await claimed(run);
      const phase = (item: number) => (item % 100 === 7 ? ('Failed' as const) : ('Succeeded' as const));
      const items = Array.from({ length: 10_000 }, (_, item) =>
        stepRow(run.id, 'many', { item, label: `${item}`, phase: phase(item), finishedAt: 9 }),
      );
      const other = stepRow(run.id, 'other', { item: 0 });
      const steps = [stepRow(run.id, 'many', { items: items.length }), ...items, other];
      await opened().runs.commit(transition(run, { steps }), fence);
      expect(await opened().runs.itemCounts(run.id)).toEqual([
        { step: 'many', phase: 'Failed', count: 100 },
        { step: 'many', phase: 'Succeeded', count: 9_900 },
        { step: 'other', phase: 'Running', count: 1 },
      ]);
      expect(await opened().runs.steps(run.id)).toHaveLength(1);
      const first = await opened().runs.items(run.id, 'many', { limit: 50 });
      expect(first.items.map(({ item }) => item)).toEqual(Array.from({ length: 50 }, (_, i) => i));
      const second = await opened().runs.items(run.id, 'many', { limit: 2, after: first.next ?? '' });
      expect(second.items).toEqual(items.slice(50, 52));
      const bad: StepRow[] = [];
      for (let after: string | null | undefined; after !== null; ) {
        const page = await opened().runs.items(run.id, 'many', {
          limit: 40,
          phases: ['Failed'],
          ...(after && { after }),
        });
        bad.push(...page.items);
        after = page.next;
      }
      expect(bad.map(({ item }) => item)).toEqual(Array.from({ length: 100 }, (_, i) => i * 100 + 7));
      await expect(opened().runs.items(run.id, 'many', { limit: 1, after: 'x' })).rejects.toMatchObject({
        name: 'InvalidCursor',
      });
    }, 30_000);
  });

  describe(`child runs: ${driver}`, () => {
    test('children are listed with their parent, and never among what people started', async () => {
      const parent = runRow(fresh('run'), { namespace: fresh('ns') });
      const children = [1, 2, 3].map((createdAt) => childOf(parent, { createdAt }));
      const grandchild = childOf(children[0] as RunRow);
      for (const run of [parent, ...children, grandchild]) await opened().runs.create(run);
      const { namespace } = parent;
      const list = async (filter: { parent?: string }) =>
        (await opened().runs.list({ namespace, ...filter }, { limit: 10 })).items;
      expect(await list({})).toEqual([parent]);
      expect(await list({ parent: parent.id })).toEqual(children.toReversed());
      expect(await list({ parent: children[0]?.id ?? '' })).toEqual([grandchild]);
      const page = await opened().runs.list({ parent: parent.id }, { limit: 2 });
      expect((await opened().runs.list({ parent: parent.id }, { limit: 2, after: page.next ?? '' })).items).toEqual([
        children[0],
      ]);
    });

    test('a child begins with what its row says, and is told what is wanted since', async () => {
      const parent = runRow(fresh('run'));
      const child = childOf(parent, { desired: 'Paused', reason: 'paused\0' });
      await opened().runs.create(parent);
      await claimed(child);
      const spec: ChildSpec = { desired: 'Paused', reason: 'paused\ufffd', force: false, approvals: [] };
      expect((await opened().runs.load([child.id]))[0]?.spec).toEqual(spec);

      const heard: string[] = [];
      let wake = () => {};
      const stop = opened().runs.onSpecs((ids) => {
        heard.push(...ids);
        wake();
      });
      const told = new Promise<void>((resolve) => {
        wake = () => heard.includes(child.id) && resolve();
      });
      const wanted: ChildSpec = { ...spec, desired: 'Cancelled', reason: 'enough', force: true };
      expect(await opened().runs.changeSpec(child.id, () => wanted)).toEqual(wanted);
      await told;
      stop();
      expect(await opened().runs.specs([child.id, parent.id, 'none'])).toEqual(new Map([[child.id, wanted]]));
      expect((await opened().runs.load([child.id]))[0]?.spec).toEqual(wanted);
      expect(await opened().runs.changeSpec(child.id, () => null)).toEqual(wanted);
      expect(await opened().runs.changeSpec(parent.id, () => wanted)).toBeNull();
      expect(await opened().runs.changeSpec('none', () => wanted)).toBeNull();
      expect((await opened().runs.load([parent.id]))[0]?.spec).toBeNull();
    });

    test('of many who want something at once, nobody is overheard', async () => {
      const child = childOf(runRow(fresh('run')));
      await opened().runs.create(child);
      const users = Array.from({ length: 12 }, (_, i) => `user-${i}`);
      await Promise.all(
        users.map((user) =>
          opened().runs.changeSpec(child.id, (spec) => ({
            ...spec,
            approvals: [
              ...spec.approvals,
              { step: 'a', user, groups: [], decision: 'Approve', comment: null, execution: 1 },
            ],
          })),
        ),
      );
      const spec = (await opened().runs.specs([child.id])).get(child.id);
      expect(spec?.approvals.map(({ user }) => user).toSorted()).toEqual(users.toSorted());
    });

    test('a parent is told how its children came out, once they have', async () => {
      const parent = runRow(fresh('run'));
      const [good, bad, runs] = [childOf(parent), childOf(parent), childOf(parent)];
      const outputs = { url: 'x' };
      await opened().runs.create(runs);
      await opened().runs.commit(transition({ ...ends(good, 'Degraded'), outputs }), await claimed(good));
      await opened().runs.commit(transition(ends(bad, 'Failed')), await claimed(bad));
      const results = await opened().runs.results([good.id, bad.id, runs.id, 'none']);
      expect(new Map(results.map((r) => [r.id, r]))).toEqual(
        new Map([
          [good.id, { id: good.id, parent: good.parent, phase: 'Degraded', finishedAt: 9_000, outputs, error: null }],
          [
            bad.id,
            { id: bad.id, parent: bad.parent, phase: 'Failed', finishedAt: 9_000, outputs: null, error: failed },
          ],
        ]),
      );
      expect(await opened().runs.results([])).toEqual([]);
    });
  });

  describe(`executions: ${driver}`, () => {
    test('a replay is recorded with what it takes over, in one go', async () => {
      const run = runRow(fresh('run'), { replayOf: 'recorded', priority: 7 });
      const reused = stepRow(run.id, 'a', {
        phase: 'Succeeded',
        reason: 'Reused',
        outputs: { rows: 3 },
        finishedAt: 4,
      });
      expect(await opened().runs.create(run, { steps: [reused] })).toBe(true);
      expect(await opened().runs.create(run, { steps: [stepRow(run.id, 'b')] })).toBe(false);
      expect(await opened().runs.load([run.id])).toEqual([{ run, spec: null, steps: [reused], attempts: [] }]);
    });

    test('an ended run goes on once, whoever asks for it, and its old owner may not write any more', async () => {
      const run = runRow(fresh('run'));
      const fence = await claimed(run);
      const steps = [stepRow(run.id, 'a'), stepRow(run.id, 'b')];
      const over = ends(run, 'Failed');
      expect(await opened().runs.reopen({ ...transition(next(run)), steps })).toBe(false);
      await opened().runs.commit({ ...transition(over), steps }, fence);

      const again = next(over);
      const pending = stepRow(run.id, 'b', { phase: 'Pending', startedAt: null, attempts: 4, bodyAttempts: 0 });
      const event = { type: 'Normal' as const, reason: 'RunRetried', message: 'by ada', at: 1 };
      const reopened = { run: again, steps: [pending], attempts: [], events: [event] };
      const all = await Promise.all([1, 2, 3].map(() => opened().runs.reopen(reopened)));
      expect(all.filter(Boolean)).toHaveLength(1);
      expect(await opened().runs.get(run.id)).toEqual(again);
      expect(await opened().runs.step(run.id, 'b', -1)).toEqual(pending);
      expect(await opened().runs.step(run.id, 'a', -1)).toEqual(steps[0]);
      expect(await opened().events.list({ name: run.name }, { limit: 5 })).toMatchObject([{ reason: 'RunRetried' }]);

      await expect(opened().runs.commit(transition(over), fence)).rejects.toMatchObject({ name: 'FenceLost' });
      expect(await opened().runs.get(run.id)).toEqual(again);
      expect(await claim(run.id)).toBeGreaterThan(fence + 1);
      expect(await opened().runs.reopen(transition(next(again)))).toBe(false);
    });

    test('a replica can ask what is its own and has not ended', async () => {
      const [run, over] = [runRow(fresh('run')), runRow(fresh('run'))];
      const own = async () => (await opened().runs.owned()).filter(({ id }) => id === run.id || id === over.id);
      const fence = await claimed(run);
      const ending = await claimed(over);
      expect((await own()).toSorted((a, b) => a.id.localeCompare(b.id))).toEqual(
        [
          { id: run.id, fence },
          { id: over.id, fence: ending },
        ].toSorted((a, b) => a.id.localeCompare(b.id)),
      );
      await opened().runs.commit(transition(ends(over, 'Succeeded')), ending);
      expect(await own()).toEqual([{ id: run.id, fence }]);
      await opened().runs.release([run.id]);
      expect(await own()).toEqual([]);
    });

    test('a child run goes on for a later attempt, and as nobody has paused or cancelled it', async () => {
      const parent = { runId: fresh('parent'), step: 'call', item: -1, attempt: 1 };
      const run = runRow(fresh('child'), { parent, root: parent.runId, depth: 1 });
      const fence = await claimed(run);
      await opened().runs.changeSpec(run.id, (spec) => ({
        ...spec,
        desired: 'Cancelled',
        reason: 'enough',
        force: true,
      }));
      await opened().runs.commit(transition(ends(run, 'Cancelled')), fence);
      const over = ends(run, 'Cancelled');
      const again = { ...next(over), parent: { ...parent, attempt: 2 } };
      expect(await opened().runs.reopen(transition(again))).toBe(true);
      expect(await opened().runs.get(run.id)).toMatchObject({ phase: 'Queued', parent: again.parent, execution: 2 });
      const wanted = (await opened().runs.specs([run.id])).get(run.id);
      expect(wanted).toEqual({ desired: 'Running', reason: null, force: false, approvals: [] });
    });
  });

  describe(`dead letters: ${driver}`, () => {
    const letter = async (run: RunRow) => opened().deadLetters.ofRun(run.id);

    test.each(['Failed', 'TimedOut'] as const)(
      'a run that ends %s lands with all that is needed to start it again',
      async (phase) => {
        const run = runRow(fresh('run'), { inputs: { region: 'eu', list: [1] }, priority: 7 });
        await opened().runs.commit(transition(ends(run, phase)), await claimed(run));
        const { namespace, name, workflow, inputs, digest } = run;
        const landed = await letter(run);
        expect(landed).toEqual({
          id: expect.any(Number) as number,
          kind: 'run',
          subject: run.id,
          namespace,
          name,
          workflow,
          payload: { workflow, namespace, inputs, digest, execution: 1, priority: 7 },
          error: failed,
          execution: 1,
          landedAt: 9_000,
          state: 'Waiting',
          redrives: 0,
          redrivenAt: null,
          redrivenBy: null,
          redrivenName: null,
          redrivenAs: null,
          closedAt: null,
          closedBy: null,
          closedReason: null,
        });
        expect(await opened().deadLetters.get(landed?.id ?? 0)).toEqual(landed);
        expect(await opened().deadLetters.get(0)).toBeNull();
      },
    );

    test('one refused before it began lands, too, and one the database refuses', async () => {
      const refused = ends(runRow(fresh('run')), 'Failed');
      await opened().runs.create(refused);
      expect(await letter(refused)).toMatchObject({ state: 'Waiting', error: failed });
      const run = runRow(fresh('run'));
      const fence = await claimed(run);
      await expect(opened().runs.commit(transition({ ...run, stoodMs: Number.NaN }), fence)).rejects.toThrow(run.id);
      expect(await letter(run)).toMatchObject({ state: 'Waiting', error: { type: 'infrastructure/unstorable' } });
    });

    test.each(['Succeeded', 'Degraded', 'Cancelled'] as const)('a run that ends %s does not', async (phase) => {
      const run = runRow(fresh('run'));
      await opened().runs.commit(transition(ends(run, phase)), await claimed(run));
      expect(await letter(run)).toBeNull();
    });

    test('nor does a child, whose failure is its parent’s', async () => {
      const child = childOf(runRow(fresh('run')));
      await opened().runs.commit(transition(ends(child, 'Failed')), await claimed(child));
      expect(await letter(child)).toBeNull();
    });

    /** Ends the next execution of a run. */
    async function goesOn(run: RunRow, phase: 'Succeeded' | 'Degraded' | 'Failed' | 'Cancelled'): Promise<RunRow> {
      const again = next(run);
      expect(await opened().runs.reopen(transition(again))).toBe(true);
      const fence = await claim(run.id);
      const over = { ...ends(again, phase, again.queuedAt + 1), revision: again.revision + 2 };
      await opened().runs.commit(transition(over), fence);
      return over;
    }

    /** Begins to redrive the letter of a run as one of this name. */
    async function redriveBegins(run: RunRow, name: string): Promise<boolean> {
      const seen = await letter(run);
      if (!seen) throw new Error(`${run.id} has no dead letter`);
      return opened().deadLetters.beginRedrive(seen, { by: 'ada', name, at: 60 });
    }

    async function landed(): Promise<RunRow> {
      const run = runRow(fresh('run'), { namespace: fresh('ns') });
      const over = ends(run, 'Failed');
      await opened().runs.commit(transition(over), await claimed(run));
      return over;
    }

    test.each(['Succeeded', 'Degraded'] as const)('a later execution that ends %s resolves it', async (phase) => {
      const run = await landed();
      await goesOn(run, phase);
      expect(await letter(run)).toMatchObject({ state: 'Resolved', closedAt: 20_001, execution: 1 });
    });

    test('one that is cancelled leaves it; one that fails lands again', async () => {
      const run = await landed();
      const cancelled = await goesOn(run, 'Cancelled');
      expect(await letter(run)).toMatchObject({ state: 'Waiting', execution: 1 });
      await goesOn(cancelled, 'Failed');
      expect(await letter(run)).toMatchObject({ state: 'Waiting', execution: 3, payload: { execution: 3 } });
    });

    test('a commit that comes again does not bring back what was discarded', async () => {
      const run = await landed();
      const { id = 0 } = (await letter(run)) ?? {};
      const why = { by: 'ada', reason: 'a test\0', at: 50 };
      expect(await opened().deadLetters.discard(id, why)).toBe(true);
      expect(await opened().deadLetters.discard(id, why)).toBe(false);
      expect(await redriveBegins(run, 'x')).toBe(false);
      await opened().runs.release([run.id]);
      await opened().runs.create(run);
      expect(await letter(run)).toMatchObject({
        state: 'Discarded',
        closedAt: 50,
        closedBy: 'ada',
        closedReason: 'a test\ufffd',
      });
      expect(await opened().events.list({ name: run.name }, { limit: 5 })).toMatchObject([
        { kind: 'WorkflowRun', reason: 'DeadLetterDiscarded', message: expect.stringMatching(/ada.*a test/) as string },
      ]);
      await goesOn(run, 'Failed');
      expect(await letter(run)).toMatchObject({ state: 'Waiting', closedBy: null, closedReason: null, closedAt: null });
    });

    /** A letter that was redriven as another run, which goes on. */
    async function redrivenAs() {
      const run = await landed();
      const { id = 0 } = (await letter(run)) ?? {};
      const other = runRow(fresh('run'), { namespace: run.namespace });
      expect(await redriveBegins(run, other.name)).toBe(true);
      await opened().deadLetters.markRedriven(id, { redrives: 1, as: other.id });
      const asItIs = () => opened().deadLetters.get(id);
      const end = async (one: RunRow, phase: 'Succeeded' | 'Failed' | 'Cancelled', at?: number) =>
        opened().runs.commit(transition(ends(one, phase, at)), await claimed(one));
      return { run, other, id, asItIs, end };
    }

    test('redriven as another run, it is resolved when that one ends well, and by no other', async () => {
      const { run, other, asItIs, end } = await redrivenAs();
      const { namespace, name } = other;
      await end(runRow(fresh('run'), { namespace, name }), 'Succeeded');
      await end(runRow(fresh('run'), { name }), 'Succeeded');
      await end(runRow(fresh('run'), { namespace, replayOf: run.id }), 'Succeeded');
      expect(await asItIs()).toMatchObject({
        state: 'Redriven',
        redrives: 1,
        redrivenBy: 'ada',
        redrivenAt: 60,
        redrivenName: name,
        redrivenAs: other.id,
      });
      await end(other, 'Succeeded');
      expect(await asItIs()).toMatchObject({ state: 'Resolved', closedAt: 9_000, subject: run.id });
      const events = await opened().events.list({ name: run.name }, { limit: 5 });
      expect(events).toMatchObject([
        { reason: 'DeadLetterRedriven', message: expect.stringContaining(name) as string },
      ]);
    });

    test('the failure of what it was redriven as is its own, told once, and resolved with it', async () => {
      const { run, other, id, asItIs, end } = await redrivenAs();
      await end(other, 'Failed', 9_500);
      expect(await asItIs()).toMatchObject({
        state: 'Waiting',
        subject: other.id,
        name: other.name,
        landedAt: 9_500,
        redrives: 1,
      });
      const { items } = await opened().deadLetters.list({ namespace: run.namespace }, { limit: 5 });
      expect(items.map((item) => item.id)).toEqual([id]);
      await goesOn(ends(other, 'Failed', 9_500), 'Succeeded');
      expect(await asItIs()).toMatchObject({ state: 'Resolved' });
    });

    test('it waits again when what it was redriven as is cancelled, another run or itself', async () => {
      const { other, asItIs, end } = await redrivenAs();
      await end(other, 'Cancelled');
      expect(await asItIs()).toMatchObject({ state: 'Waiting', redrivenAs: other.id });
      const run = await landed();
      expect(await redriveBegins(run, run.name)).toBe(true);
      await opened().deadLetters.markRedriven((await letter(run))?.id ?? 0, { redrives: 1, as: run.id });
      expect(await letter(run)).toMatchObject({ state: 'Redriven' });
      await goesOn(run, 'Cancelled');
      expect(await letter(run)).toMatchObject({ state: 'Waiting' });
    });

    test('it can wait again while nothing of what it was redriven as is recorded, and not otherwise', async () => {
      const unrecorded = async (before: number, after = 0) =>
        (await opened().deadLetters.unrecorded(before, after, 500)).map((found) => found.id);
      const why = { message: 'it is gone', at: 70 };
      const { run, other, id, asItIs, end } = await redrivenAs();
      const seen = (await asItIs()) as DeadLetter;
      expect(await unrecorded(61)).toContain(id);
      expect(await unrecorded(60)).not.toContain(id);
      expect(await unrecorded(61, id)).not.toContain(id);
      expect(await opened().deadLetters.waitAgain({ ...seen, redrivenAs: run.id }, why)).toBe(false);
      expect(await opened().deadLetters.waitAgain({ ...seen, redrives: 2 }, why)).toBe(false);
      expect(await opened().deadLetters.waitAgain(seen, why)).toBe(true);
      expect(await opened().deadLetters.waitAgain(seen, why)).toBe(false);
      expect(await asItIs()).toMatchObject({ state: 'Waiting', redrives: 1, redrivenAs: other.id });
      const events = await opened().events.list({ name: run.name }, { limit: 5 });
      expect(events).toContainEqual(expect.objectContaining({ reason: 'DeadLetterWaits', message: 'it is gone' }));
      // What came of it after all is its end.
      await end(other, 'Succeeded');
      expect(await asItIs()).toMatchObject({ state: 'Resolved' });
      const going = await redrivenAs();
      await opened().runs.create(going.other);
      expect(await unrecorded(61)).not.toContain(going.id);
      expect(await opened().deadLetters.waitAgain((await going.asItIs()) as DeadLetter, why)).toBe(false);
    });

    test('one that was discarded comes back with the failure of what it was redriven as', async () => {
      const { other, id, asItIs, end } = await redrivenAs();
      await opened().deadLetters.discard(id, { by: 'ada', reason: 'r', at: 70 });
      await end(other, 'Failed');
      expect(await asItIs()).toMatchObject({ state: 'Waiting', subject: other.id, closedBy: null });
    });

    test.each([
      ['Succeeded', 'Resolved'],
      ['Failed', 'Waiting'],
      ['Cancelled', 'Waiting'],
    ] as const)('a run that ended %s before anybody said what it is: %s', async (phase, state) => {
      const run = await landed();
      const { id = 0 } = (await letter(run)) ?? {};
      const other = runRow(fresh('run'), { namespace: run.namespace });
      expect(await redriveBegins(run, other.name)).toBe(true);
      await opened().runs.create(ends(runRow(fresh('run'), { namespace: fresh('ns'), name: other.name }), phase));
      expect(await opened().deadLetters.get(id)).toMatchObject({ state: 'Waiting', redrivenAs: null });
      await opened().runs.create(ends(other, phase));
      const settled = await opened().deadLetters.get(id);
      expect(settled).toMatchObject({ state, redrives: 1, redrivenAs: other.id });
      await opened().deadLetters.markRedriven(id, { redrives: 1, as: other.id });
      expect(await opened().deadLetters.get(id)).toEqual(settled);
    });

    test('the same run’s next execution may end as soon', async () => {
      const run = await landed();
      const { id = 0 } = (await letter(run)) ?? {};
      expect(await redriveBegins(run, run.name)).toBe(true);
      await goesOn(run, 'Failed');
      await opened().deadLetters.markRedriven(id, { redrives: 1, as: run.id });
      expect(await letter(run)).toMatchObject({ state: 'Waiting', execution: 2, redrivenAs: run.id });
    });

    test('of many who redrive it at once one begins, and nobody who has not seen its last failure', async () => {
      const run = await landed();
      const before = await letter(run);
      if (!before) throw new Error('it did not land');
      const redrive = { by: 'ada', name: run.name, at: 60 };
      const begin = (seen: DeadLetter) => opened().deadLetters.beginRedrive(seen, redrive);
      const begun = await Promise.all(Array.from({ length: 8 }, () => begin(before)));
      expect(begun.filter(Boolean)).toHaveLength(1);
      await goesOn(run, 'Failed');
      const now = await letter(run);
      if (!now) throw new Error('it is gone');
      expect(await begin({ ...now, execution: before.execution })).toBe(false);
      expect(await begin({ ...now, subject: 'x' })).toBe(false);
      expect(await begin(now)).toBe(true);
    });

    test('they are listed newest first, narrowed by every filter, and counted while they wait', async () => {
      const [namespace, elsewhere] = [fresh('ns'), fresh('ns')];
      const run = (more: Partial<RunRow>, at: number) =>
        ends(runRow(fresh('run'), { namespace, ...more }), 'Failed', at);
      const runs = [run({}, 3), run({ workflow: 'w2' }, 1), run({}, 1), run({ namespace: elsewhere }, 2)];
      for (const one of runs) await opened().runs.create(one);
      const list = async (filter: { workflow?: string; states?: DeadLetter['state'][] }, limit = 10, after?: string) =>
        await opened().deadLetters.list({ namespace, ...filter }, { limit, ...(after && { after }) });
      const subjects = (letters: DeadLetter[]) => letters.map(({ subject }) => subject);
      const first = await list({}, 2);
      const [a, b, c] = runs.map(({ id }) => id);
      expect(subjects(first.items)).toEqual([a, c]);
      expect(subjects((await list({}, 2, first.next ?? '')).items)).toEqual([b]);
      expect(subjects((await list({ workflow: 'w2' })).items)).toEqual([b]);
      await opened().deadLetters.discard(first.items[0]?.id ?? 0, { by: 'ada', reason: 'r', at: 9 });
      expect(subjects((await list({ states: ['Discarded'] })).items)).toEqual([a]);
      expect(subjects((await list({ states: ['Waiting', 'Redriven'] })).items)).toEqual([c, b]);
      const waiting = (await opened().deadLetters.waiting()).filter((w) =>
        [namespace, elsewhere].includes(w.namespace),
      );
      expect(waiting).toEqual(
        expect.arrayContaining([
          { namespace, workflow: 'report', count: 1 },
          { namespace, workflow: 'w2', count: 1 },
          { namespace: elsewhere, workflow: 'report', count: 1 },
        ]),
      );
      await expect(list({}, 1, 'x')).rejects.toMatchObject({ name: 'InvalidCursor' });
    });
  });
}
