import { describe, expect, test } from 'vitest';
import { decideAdmission } from '../../controller/core/admission/decide.ts';
import type { AdmissionFacts } from '../../controller/core/admission/types.ts';
import type { Holder, LockRequest, RunRow, StepRow } from '../../controller/core/run/types.ts';
import { wholeStep } from '../../controller/core/run/types.ts';
import type { LockAnswer, LockAsk, Store } from '../../controller/store/types.ts';
import { attemptRow, runRow, stepRow, transition } from '../fixtures/history.ts';

let names = 0;
const fresh = (prefix: string) => `${prefix}-lock-${++names}`;
const whole: Holder = { step: null };
const unit = (step: string, item = wholeStep): Holder => ({ step, item });
const lock = (...locks: string[]): LockRequest => ({
  locks: locks.map((name) => ({ name, limit: 1 })),
  group: null,
  slot: false,
});

/** What the table of locks promises, on either driver. */
export function describeLocks(driver: string, opened: () => Store): void {
  let since = 0;

  /** What this process is told while `work` runs. */
  async function told(work: () => Promise<unknown>): Promise<string[]> {
    const heard: LockAnswer[] = [];
    const stop = opened().locks.onAnswers((answers) => heard.push(...answers));
    await work();
    stop();
    return heard.map(say).sort();
  }

  async function run(namespace: string, more: Partial<RunRow> = {}): Promise<RunRow> {
    const row = runRow(fresh('run'), { namespace, ...more });
    await opened().runs.create(row);
    return row;
  }

  function ask(row: RunRow, holder: Holder, request: LockRequest, more: Partial<LockAsk> = {}): LockAsk {
    return {
      runId: row.id,
      holder,
      namespace: row.namespace,
      priority: 0,
      since: since++,
      request,
      compensates: false,
      ...more,
    };
  }

  const asks = (...some: LockAsk[]) =>
    told(() => Promise.all(some.map((one) => opened().locks.ask(one, null, decideAdmission))));
  const lets = (namespace: string, slots: number | null = null) =>
    told(() => opened().locks.letGo(namespace, null, slots, decideAdmission));

  async function finish(row: RunRow): Promise<void> {
    const fences = new Map((await opened().runs.claim(200)).map(({ id, fence }) => [id, fence]));
    const fence = fences.get(row.id) ?? 1;
    await opened().runs.commit(transition({ ...row, phase: 'Succeeded', outcome: 'Succeeded', finishedAt: 9 }), fence);
  }

  describe(`locks: ${driver}`, () => {
    test('one holds, the other waits until the run of the first has ended', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace), await run(namespace)];
      expect(await asks(ask(one, whole, lock('db')))).toEqual([`Granted ${one.id}`]);
      expect(await asks(ask(two, whole, lock('db')))).toEqual([]);
      expect(await lets(namespace)).toEqual([]);
      await finish(one);
      expect(await lets(namespace)).toEqual([`Granted ${two.id}`]);
      await finish(two);
      await lets(namespace);
      expect((await opened().locks.counts()).filter((count) => count.namespace === namespace)).toEqual([]);
    });

    test('asked again, the answer comes again, and nothing is taken twice', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace), await run(namespace)];
      const first = ask(one, whole, lock('db'));
      expect(await asks(first, first)).toEqual([`Granted ${one.id}`]);
      expect(await asks(first)).toEqual([`Granted ${one.id}`]);
      const second = ask(two, whole, lock('db'));
      expect(await asks(second)).toEqual([]);
      expect(await asks(second)).toEqual([]);
      expect(await opened().locks.answers([one.id, two.id, 'none'])).toEqual([
        { type: 'Granted', runId: one.id, holder: whole, since: first.since },
      ]);
      expect((await opened().locks.counts()).find((count) => count.namespace === namespace)).toEqual({
        namespace,
        waiting: 1,
        holding: 1,
      });
    });

    test('a lost release blocks nobody: steps that have ended and runs that have ended hold nothing', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace), await run(namespace)];
      await asks(ask(one, unit('a'), lock('x')), ask(one, unit('b', 3), lock('y')), ask(one, whole, lock('z')));
      const ended = stepRow(one.id, 'a', { phase: 'Succeeded', finishedAt: 5 });
      const open = stepRow(one.id, 'b', { item: 3, phase: 'Running', finishedAt: null });
      const fence = new Map((await opened().runs.claim(200)).map((c) => [c.id, c.fence])).get(one.id) ?? 1;
      await opened().runs.commit(transition(one, { steps: [ended, open] }), fence);
      expect(await asks(ask(two, unit('c'), lock('x')), ask(two, unit('d'), lock('y')))).toEqual([
        `Granted ${two.id}/c`,
      ]);
      await opened().runs.commit(
        transition({ ...one, phase: 'Failed', outcome: 'Failed', finishedAt: 9, revision: 1 }),
        fence,
      );
      expect(await asks(ask(two, unit('e'), lock('z')))).toEqual([`Granted ${two.id}/d`, `Granted ${two.id}/e`]);
    });

    test('a step that is undone holds again, whoever says late that it had ended', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace), await run(namespace)];
      const fence = new Map((await opened().runs.claim(200)).map((c) => [c.id, c.fence])).get(one.id) ?? 1;
      const now = (reason: string | null, revision: number, phase: StepRow['phase'] = 'Succeeded') =>
        opened().runs.commit(
          transition(
            { ...one, revision },
            { steps: [stepRow(one.id, 'a', { phase, reason, via: 'compensate', finishedAt: 5 })] },
          ),
          fence,
        );
      const late = { runId: one.id, holder: unit('a') };
      const letGo = () => told(() => opened().locks.letGo(namespace, late, null, decideAdmission));
      await now('CompensationWaitingForLocks', 1);
      // Before it was undone it held the same, of which the release was lost.
      const [main, undoing] = [ask(one, unit('a'), lock('x')), ask(one, unit('a'), lock('x'))];
      expect(await asks(main)).toEqual([`Granted ${one.id}/a`]);
      expect(await asks(undoing)).toEqual([`Granted ${one.id}/a`]);
      expect(await opened().locks.answers([one.id])).toMatchObject([{ type: 'Granted', since: undoing.since }]);
      await now('Compensating', 2);
      expect(await asks(ask(two, unit('b'), lock('x')))).toEqual([]);
      expect(await letGo()).toEqual([]);
      await now(null, 3, 'Compensated');
      expect(await letGo()).toEqual([`Granted ${two.id}/b`]);
    });

    test('whoever asks for a run that has ended, or is not there, gets and holds nothing', async () => {
      const namespace = fresh('ns');
      const gone = await run(namespace, { phase: 'Failed', outcome: 'Failed', finishedAt: 5 });
      expect(await asks(ask(gone, whole, lock('db')))).toEqual([]);
      expect(await asks(ask({ ...gone, id: 'nobody' }, whole, lock('db')))).toEqual([]);
      expect(await asks(ask(await run(namespace), whole, lock('db')))).toHaveLength(1);
    });

    test('child runs have what the step above them and its run hold', async () => {
      const namespace = fresh('ns');
      const top = await run(namespace);
      const parent = { runId: top.id, step: 'call', item: 2, attempt: 1 };
      const child = await run(namespace, { parent, root: top.id, depth: 1 });
      const step = { runId: child.id, step: 'again', item: wholeStep, attempt: 1 };
      const grandchild = await run(namespace, { parent: step, root: top.id, depth: 2 });
      await asks(ask(top, whole, lock('x')), ask(top, unit('call', 2), lock('y')));
      expect(await asks(ask(grandchild, unit('s'), lock('x', 'y')))).toEqual([`Granted ${grandchild.id}/s`]);
      expect(await asks(ask(top, unit('other'), lock('y')))).toEqual([]);
    });

    test('what a unit asks for now is not changed by what it asked for before and is said late', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace), await run(namespace)];
      const [old, fresher] = [ask(one, unit('a'), lock('x')), ask(one, unit('a'), lock('y'))];
      expect(await asks(fresher)).toEqual([`Granted ${one.id}/a`]);
      expect(await asks(old)).toEqual([`Granted ${one.id}/a`]);
      expect(await opened().locks.answers([one.id])).toMatchObject([{ since: fresher.since }]);
      expect(await asks(ask(two, unit('b'), lock('y')), ask(two, unit('c'), lock('x')))).toEqual([
        `Granted ${two.id}/c`,
      ]);
    });

    test.each(['itself', 'by its child run'])(
      'of those that wait for each other, a compensation stays: %s',
      async (how) => {
        const namespace = fresh('ns');
        const [one, two] = [await run(namespace), await run(namespace)];
        await asks(ask(one, whole, lock('x')), ask(two, whole, lock('y')));
        await asks(ask(one, unit('a'), lock('y')));
        if (how === 'itself') {
          expect(await asks(ask(two, unit('b'), lock('x'), { compensates: true }))).toEqual([`Refused ${one.id}/a`]);
          return;
        }
        const fence = new Map((await opened().runs.claim(200)).map((c) => [c.id, c.fence])).get(two.id) ?? 1;
        const undoing = attemptRow(two.id, 'b', { number: 2, via: 'compensate' });
        await opened().runs.commit(transition(two, { attempts: [undoing] }), fence);
        const parent = { runId: two.id, step: 'b', item: wholeStep, attempt: 2 };
        const child = await run(namespace, { parent, root: two.id, depth: 1 });
        expect(await asks(ask(child, unit('c'), lock('x')))).toEqual([`Refused ${one.id}/a`]);
      },
    );

    test('a refusal says why, also to whoever asks again; another time it is judged anew', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace, { name: 'nightly' }), await run(namespace)];
      const group = { name: 'g', policy: 'Reject' as const };
      await asks(ask(one, whole, { ...lock(), group }));
      const late = ask(two, whole, { ...lock(), group });
      expect(await asks(late)).toEqual([`Refused ${two.id}`]);
      expect(await asks(late)).toEqual([`Refused ${two.id}`]);
      const [answer] = await opened().locks.answers([two.id]);
      expect(answer).toMatchObject({
        error: { type: 'groupTaken', message: expect.stringContaining('taken by run nightly') },
      });
      await finish(one);
      expect(await asks(late)).toEqual([`Refused ${two.id}`]);
      expect(await asks({ ...late, since: since++ })).toEqual([`Granted ${two.id}`]);
    });

    test('a run is told, until it has ended, that another takes its place', async () => {
      const namespace = fresh('ns');
      const [one, two] = [await run(namespace), await run(namespace)];
      const group = { name: 'g', policy: 'CancelRunning' as const };
      const first = ask(one, whole, { ...lock(), group });
      await asks(first);
      expect(await asks(ask(two, whole, { ...lock(), group }))).toEqual([`Superseded ${one.id}`]);
      expect(await asks(first)).toEqual([`Granted ${one.id}`, `Superseded ${one.id}`]);
      await finish(one);
      expect(await lets(namespace)).toEqual([`Granted ${two.id}`]);
    });

    test('only so many steps of a namespace hold a slot; those that wait longest are next', async () => {
      const namespace = fresh('ns');
      const row = await run(namespace);
      const slot: LockRequest = { ...lock(), slot: true };
      const some = [0, 1, 2, 3, 4].map((item) => ask(row, unit('s', item), slot));
      const granted = await told(() =>
        Promise.all(some.toReversed().map((one) => opened().locks.ask(one, 2, decideAdmission))),
      );
      expect(granted).toEqual([`Granted ${row.id}/s/0`, `Granted ${row.id}/s/1`]);
      expect(await lets(namespace, 3)).toEqual([`Granted ${row.id}/s/2`]);
      expect(await lets(namespace, null)).toEqual([`Granted ${row.id}/s/3`, `Granted ${row.id}/s/4`]);
    });

    test('who has ended while it waited for a slot is passed over, and what is named is gone at once', async () => {
      const namespace = fresh('ns');
      const [row, gone] = [await run(namespace), await run(namespace)];
      const slot: LockRequest = { ...lock(), slot: true };
      const some = [
        ask(row, unit('s', 0), slot),
        ...[1, 2, 3].map((item) => ask(gone, unit('s', item), slot)),
        ask(row, unit('s', 4), slot),
      ];
      await told(() => Promise.all(some.map((one) => opened().locks.ask(one, 1, decideAdmission))));
      const fence = new Map((await opened().runs.claim(200)).map((c) => [c.id, c.fence])).get(row.id) ?? 1;
      await finish(gone);
      const ended = stepRow(row.id, 's', { item: 0, phase: 'Succeeded', finishedAt: 5 });
      await opened().runs.commit(transition(row, { steps: [ended] }), fence);
      const named = { runId: row.id, holder: unit('s', 0) };
      expect(await told(() => opened().locks.letGo(namespace, named, 1, decideAdmission))).toEqual([
        `Granted ${row.id}/s/4`,
      ]);
      expect((await opened().locks.counts()).find((count) => count.namespace === namespace)).toEqual({
        namespace,
        waiting: 0,
        holding: 1,
      });
    });

    test('namespaces know nothing of each other', async () => {
      for (const namespace of [fresh('ns'), fresh('ns')]) {
        expect(await asks(ask(await run(namespace), whole, lock('db')))).toHaveLength(1);
      }
    });

    test('a thousand that ask at once are served in their order', async () => {
      const namespace = fresh('ns');
      const row = await run(namespace);
      const decided: number[] = [];
      const decide = (facts: AdmissionFacts) => {
        decided.push(facts.waiters.length);
        return decideAdmission(facts);
      };
      const slot: LockRequest = { ...lock(), slot: true };
      const some = Array.from({ length: 1000 }, (_, item) => ask(row, unit('s', item), slot));
      const granted = await told(() => Promise.all(some.map((one) => opened().locks.ask(one, 5, decide))));
      expect(granted).toEqual([0, 1, 2, 3, 4].map((item) => `Granted ${row.id}/s/${item}`));
      // Few transactions, each reading no more than can be granted.
      expect(decided.length).toBeLessThan(5);
      expect(Math.max(...decided)).toBeLessThanOrEqual(5);
    });
  });
}

function say({ type, runId, holder }: LockAnswer): string {
  if (holder.step === null) return `${type} ${runId}`;
  return `${type} ${runId}/${holder.step}${holder.item === wholeStep ? '' : `/${holder.item}`}`;
}
