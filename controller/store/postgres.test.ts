import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { WatchEvent } from '../seams/objects.ts';
import { describeObjectStore } from '../../test/conformance/objects.ts';
import { describeHomes } from '../../test/conformance/homes.ts';
import { describeLocks } from '../../test/conformance/locks.ts';
import { describeLongLogs } from '../../test/conformance/store-logs.ts';
import { describeApprovalLooks } from '../../test/conformance/store-approvals.ts';
import { describeStepCache } from '../../test/conformance/store-cache.ts';
import { describeRuns } from '../../test/conformance/store-runs.ts';
import { describeHistory } from '../../test/conformance/store.ts';
import { runRow, stepRow, transition } from '../../test/fixtures/history.ts';
import { startPostgres } from '../../test/fixtures/postgres.ts';
import { startReplica } from '../../test/fixtures/replica-process.ts';
import { decideAdmission } from '../core/admission/decide.ts';
import { systemClock } from '../runtime/clock.ts';
import { eventLock } from './events.ts';
import { openStore } from './open.ts';
import type { LockAsk, Store } from './types.ts';

const server = await startPostgres();
const nothing = { promotions: [], activate: [], names: [], events: [] };
const environment = { project: 'p', name: 'e', uid: 'u' };

/** A home of its own for each test of several replicas. */
function open(databaseUrl: string, home: string): Promise<Store> {
  return openStore({ databaseUrl }, { clock: systemClock, home });
}

afterAll(async () => {
  await server?.stop();
});

const skipped = server ? '' : ' (skipped: no initdb and pg_ctl, or no user `postgres`, on this machine)';
const url = server?.url ?? '';

describe.runIf(server)(`PostgreSQL${skipped}`, () => {
  let store: Store;
  beforeAll(async () => {
    store = await open(url, 'shared');
  }, 60_000);
  afterAll(async () => {
    await store.close();
  });

  describeObjectStore('PostgreSQL', () => store.objects);
  describeHistory('PostgreSQL', () => store);
  describeRuns('PostgreSQL', () => store);
  describeLongLogs('PostgreSQL', () => store);
  describeStepCache('PostgreSQL', () => store);
  describeApprovalLooks('PostgreSQL', () => store);
  describeLocks('PostgreSQL', () => store);
  describeHomes('PostgreSQL', (home) => open(url, home));

  describe('replicas of one home', () => {
    test('several that start at once on an empty database all get in', async () => {
      const empty = (await server?.database('race')) ?? '';
      const stores = await Promise.all([1, 2, 3, 4].map(() => open(empty, 'race')));
      expect(stores.filter((s) => s.isLeader())).toHaveLength(1);
      await Promise.all(stores.map((s) => s.close()));
    }, 60_000);

    test('what one decides about locks, the other is told of', async () => {
      const [one, two] = await Promise.all([open(url, 'locks'), open(url, 'locks')]);
      const [first, second] = [runRow('lock-first', { namespace: 'l' }), runRow('lock-second', { namespace: 'l' })];
      await Promise.all([one.runs.create(first), one.runs.create(second)]);
      const fences = new Map((await one.runs.claim(10)).map(({ id, fence }) => [id, fence]));
      const request = { locks: [{ name: 'db', limit: 1 }], group: null, slot: false };
      const ask = (runId: string, since: number): LockAsk => ({
        runId,
        holder: { step: null },
        namespace: 'l',
        priority: 0,
        since,
        request,
        compensates: false,
      });
      await one.locks.ask(ask(first.id, 1), null, decideAdmission);
      await two.locks.ask(ask(second.id, 2), null, decideAdmission);
      expect(await two.locks.answers([second.id])).toEqual([]);
      const heard = Promise.withResolvers<void>();
      const stop = two.locks.onElsewhere(
        () => void two.locks.answers([second.id]).then(({ length }) => length === 1 && heard.resolve()),
      );
      const ended = { ...first, phase: 'Succeeded' as const, outcome: 'Succeeded' as const, finishedAt: 9 };
      await one.runs.commit(transition(ended), fences.get(first.id) ?? 0);
      await one.locks.letGo('l', { runId: first.id, holder: { step: null } }, null, decideAdmission);
      await heard.promise;
      stop();
      await Promise.all([one.close(), two.close()]);
    }, 30_000);

    test('each run is claimed by one, and given on when its owner leaves', async () => {
      const [one, two] = await Promise.all([open(url, 'give'), open(url, 'give')]);
      const runs = Array.from({ length: 60 }, (_, i) => runRow(`give-${i}`));
      await Promise.all(runs.map((run) => one.runs.create(run)));
      const claims = await Promise.all([one.runs.claim(20), two.runs.claim(200), one.runs.claim(200)]);
      const ids = claims.flat().map((claim) => claim.id);
      expect(ids.toSorted()).toEqual(runs.map((run) => run.id).toSorted());
      expect(await two.runs.claim(200)).toEqual([]);
      await one.close();
      const owned = new Set(claims[1].map((claim) => claim.id));
      const rest = await two.runs.claim(200);
      expect(rest.map((claim) => claim.id).toSorted()).toEqual(ids.filter((id) => !owned.has(id)).toSorted());
      expect(rest.every((claim) => claim.fence === 2)).toBe(true);
      await two.close();
    });

    test('what one claims while it leaves is another’s to take', async () => {
      const [one, two] = await Promise.all([open(url, 'leave'), open(url, 'leave')]);
      await one.runs.create(runRow('leave'));
      const { replica } = one.lease;
      await one.close();
      // A claim that began before the end of the lease is written after it.
      const sql = postgres(url, { max: 1 });
      await sql`update runs set owner = ${replica}, fence = fence + 1 where id = 'leave'`;
      expect(await two.runs.claim(200)).toEqual([{ id: 'leave', fence: 2 }]);
      await sql.end();
      await two.close();
    });

    test('another home’s runs and objects are left alone', async () => {
      const [here, there] = await Promise.all([open(url, 'here'), open(url, 'there')]);
      await here.runs.create(runRow('of-here'));
      await here.objects.create({
        kind: 'WorkflowRun',
        metadata: { name: 'x', namespace: 'n' },
        spec: { workflow: 'w' },
      });
      expect(await there.runs.claim(200)).toEqual([]);
      expect(await there.objects.list('WorkflowRun')).toEqual([]);
      expect(here.isLeader() && there.isLeader()).toBe(true);
      expect(await here.runs.claim(200)).toEqual([{ id: 'of-here', fence: 1 }]);
      await Promise.all([here.close(), there.close()]);
    });

    test('what one writes, the other’s watchers and listeners hear of', async () => {
      const [one, two] = await Promise.all([open(url, 'hear'), open(url, 'hear')]);
      const draft = { kind: 'WorkflowRun' as const, metadata: { name: 'x', namespace: 'n' }, spec: { workflow: 'w' } };
      const seen: WatchEvent<'WorkflowRun'>[] = [];
      let wake = () => {};
      const until = async (holds: () => boolean) => {
        while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
      };
      const stop = await two.objects.watch('WorkflowRun', (event) => {
        seen.push(event);
        wake();
      });
      const made = await one.objects.create(draft);
      await until(() => seen.length > 0);
      expect(seen).toEqual([{ type: 'Applied', object: made }]);
      await one.objects.writeStatus(
        'WorkflowRun',
        { namespace: 'n', name: 'x', uid: made.metadata.uid },
        { phase: 'P' },
      );
      await until(() => seen.some((e) => e.object.status?.phase === 'P'));
      await one.objects.delete('WorkflowRun', 'n', 'x');
      await until(() => seen.some((e) => e.type === 'Deleted'));
      stop();

      let events = 0;
      let logs = 0;
      two.events.onAppend(() => (events++, wake()));
      two.logs.onAppend('r', () => (logs++, wake()));
      await one.events.append([
        { kind: 'K', namespace: 'n', name: 'x', type: 'Normal', reason: 'R', message: 'm', at: 1 },
      ]);
      await one.logs.append({ runId: 'r', step: 'a', item: -1, attempt: 1 }, 0, new Uint8Array([97]));
      await until(() => events > 0 && logs > 0);
      await Promise.all([one.close(), two.close()]);
    });

    test('a write that began early and was committed late is not missed by a watcher', async () => {
      const [one, two] = await Promise.all([open(url, 'late'), open(url, 'late')]);
      const draft = (name: string) => ({
        kind: 'WorkflowRun' as const,
        metadata: { name, namespace: 'n' },
        spec: { workflow: 'w' },
      });
      await one.objects.create(draft('early'));
      const labels = new Map<string, string | undefined>();
      let wake = () => {};
      await two.objects.watch('WorkflowRun', ({ object }) => {
        labels.set(object.metadata.name, object.metadata.labels['late']);
        wake();
      });
      const until = async (holds: () => boolean) => {
        while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
      };
      const sql = postgres(url, { max: 1 });
      // Holds its transaction id open while later ones are committed and polled.
      await sql.begin(async (tx) => {
        await tx`update objects set labels = '{"late": "yes"}', changed = pg_current_xact_id(),
          resource_version = nextval('object_version') where home = 'late' and name = 'early'`;
        await one.objects.create(draft('between'));
        await until(() => labels.has('between'));
      });
      await until(() => labels.get('early') === 'yes');
      expect([...labels.keys()].toSorted()).toEqual(['between', 'early']);
      await sql.end();
      await Promise.all([one.close(), two.close()]);
    });

    test('events get their ids in the order of commits: who comes second waits for who was first', async () => {
      const one = await open(url, 'order');
      const run = runRow('order');
      await one.runs.create(run);
      await one.runs.claim(1);
      const sql = postgres(url, { max: 2 });
      const event = (name: string) => ({ kind: 'K', namespace: 'order', name, type: 'Normal' as const, message: 'm' });
      const second: Promise<void>[] = [];
      await sql.begin(async (tx) => {
        await tx`select pg_advisory_xact_lock(${eventLock})`;
        await tx`insert into events ${tx({ home: 'order', ...event('first'), reason: 'R', at: 1 })}`;
        const begun = { type: 'Normal' as const, reason: 'Started', message: 'm', at: 1 };
        second.push(
          one.events.append([{ ...event('second'), reason: 'R', at: 1 }]),
          one.runs.commit(transition({ ...run, namespace: 'order' }, { events: [begun] }), 1),
        );
        for (let waiting = 0; waiting < 2; ) {
          const [row] = await sql<{ waiting: number }[]>`
            select count(*)::int as waiting from pg_locks where locktype = 'advisory' and not granted`;
          waiting = row?.waiting ?? 0;
        }
        expect(await one.events.list({ namespace: 'order' }, { limit: 10 })).toEqual([]);
      });
      await Promise.all(second);
      const [first, next] = await one.events.list({ namespace: 'order' }, { limit: 10 });
      expect([first?.name, next?.name]).toEqual(['first', 'second']);
      await sql.end();
      await one.close();
    });

    test('a stalled replica loses lease, leadership and runs; it wakes under a new lease and can write nothing by the old', async () => {
      const home = 'stalled';
      const child = await startReplica({ databaseUrl: url }, home);
      try {
        const taker = await open(url, home);
        expect(taker.isLeader()).toBe(false);
        await expect(taker.promotions.commit(environment, nothing, 1)).rejects.toMatchObject({ name: 'FenceLost' });
        await expect(taker.promotions.own(environment, 'taken', 1)).rejects.toMatchObject({ name: 'FenceLost' });
        await expect(taker.promotions.disown('p', 'e')).rejects.toMatchObject({ name: 'FenceLost' });
        await expect(taker.refs.record('source', [], 1)).rejects.toMatchObject({ name: 'FenceLost' });
        const verdict = { ok: false as const, reason: 'NoWorkflows' as const, diagnostics: [] };
        await expect(taker.versions.putContent('source', 'c', 'p', verdict)).rejects.toMatchObject({
          name: 'FenceLost',
        });
        expect(await taker.versions.content('source', 'c', 'p')).toBeNull();
        await taker.runs.create(runRow('of-the-stalled'));
        expect(await child.ask({ do: 'claim' })).toEqual([{ id: 'of-the-stalled', fence: 1 }]);
        expect(await child.ask({ do: 'promote' })).toMatchObject({ revision: 1 });
        expect(await taker.runs.claim(1)).toEqual([]);

        const won = new Promise<boolean>((resolve) => taker.onLeadership(resolve));
        child.kill('SIGSTOP');
        expect(await won).toBe(true);
        expect(taker.isLeader()).toBe(true);
        const [claim] = await taker.runs.claim(200);
        expect(claim).toEqual({ id: 'of-the-stalled', fence: 2 });
        await taker.runs.commit(transition(runRow('of-the-stalled'), { steps: [stepRow('of-the-stalled', 'a')] }), 2);
        await taker.promotions.commit(environment, nothing, 1);

        child.kill('SIGCONT');
        expect(await child.ask({ do: 'commit', id: 'of-the-stalled', fence: 1 })).toEqual({ error: 'FenceLost' });
        expect(await child.ask({ do: 'promote' })).toEqual({ error: 'FenceLost' });
        expect(await child.ask({ do: 'claim' })).toEqual([]);
        expect(await child.ask({ do: 'regain' })).toMatchObject({ leader: false, lost: false });
        expect(await child.ask({ do: 'commit', id: 'of-the-stalled', fence: 1 })).toEqual({ error: 'FenceLost' });
        await taker.runs.release(['of-the-stalled']);
        expect(await child.ask({ do: 'claim' })).toEqual([{ id: 'of-the-stalled', fence: 3 }]);
        expect(await child.ask({ do: 'commit', id: 'of-the-stalled', fence: 3 })).toBe('committed');
        await taker.close();
      } finally {
        child.kill('SIGKILL');
        await child.exited;
      }
    }, 60_000);

    test('a lease that cannot be renewed is lost by the local clock; another is taken, and leadership and runs with it', async () => {
      const said: string[] = [];
      const store = await openStore(
        { databaseUrl: url },
        { clock: systemClock, home: 'cut-off', log: (message) => said.push(message) },
      );
      const sql = postgres(url, { max: 1 });
      await store.runs.create(runRow('cut-off'));
      expect(await store.runs.claim(1)).toEqual([{ id: 'cut-off', fence: 1 }]);
      const old = store.lease;
      const told: boolean[] = [];
      const regained = new Promise<void>((resolve) =>
        store.onLeadership((leader) => {
          told.push(leader);
          if (leader) resolve();
        }),
      );
      // As if the database had not heard of it in time.
      await sql`update replicas set expires_at = clock_timestamp() where home = 'cut-off'`;
      await new Promise((resolve) => old.lost.addEventListener('abort', resolve, { once: true }));
      expect(old.remainingMs()).toBe(0);
      await regained;
      expect(told).toEqual([false, true]);
      expect(store.lease.replica).not.toBe(old.replica);
      expect(store.lease.remainingMs()).toBeGreaterThan(0);
      expect(old.remainingMs()).toBe(0);
      expect(await store.runs.claim(1)).toEqual([{ id: 'cut-off', fence: 2 }]);
      await store.promotions.commit(environment, nothing, 1);
      await store.close();
      expect(said.filter((message) => message.includes('lease'))).toEqual([
        'the lease is lost; another replica may go on with what this one did',
        'a new lease was taken',
      ]);
      await sql.end();
    });
  });
});
