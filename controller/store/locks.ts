import { and, eq, inArray, sql } from 'drizzle-orm';
import type { AdmissionDecision, LockClaim } from '../core/admission/types.ts';
import type { AttemptKey, Holder } from '../core/run/types.ts';
import type { reasons } from '../core/run/units.ts';
import { type Batch, createBatch } from './batch.ts';
import type { Changes } from './changes.ts';
import type { Database, Drizzle } from './database.ts';
import { inPieces } from './pieces.ts';
import { wholeStep } from './schema/columns.ts';
import { lockClaims, lockNamespaces } from './schema/locks.ts';
import { attempts, runs } from './schema/runs.ts';
import { storable } from './storable.ts';
import type { DecideAdmission, LockAnswer, LockAsk, LockTable } from './types.ts';

type Row = typeof lockClaims.$inferSelect;

const topic = 'locks';

/** Why a step that has ended asks for and holds something all the same: it is being undone. */
const undone: readonly (typeof reasons)['compensating' | 'compensationLocks'][] = [
  'Compensating',
  'CompensationWaitingForLocks',
];

/**
 * Who holds and who waits. Not fenced, as the rows of runs are the truth: whoever asks for a run that has ended, or lets go of
 * what a step still holds, changes nothing. All that is asked of one namespace at one time is decided in one transaction.
 */
export function createLockTable(database: Database, home: string, changes: Changes): LockTable {
  const { drizzle } = database;
  const lanes = new Map<string, Batch<Turn, void>>();
  const listeners = new Set<(answers: LockAnswer[]) => void>();
  let turns = 0;

  function laneOf(namespace: string): Batch<Turn, void> {
    const lane =
      lanes.get(namespace) ??
      createBatch<Turn, void>({ maxItems: 1000, key: ({ id }) => id, write: (some) => takeTurns(namespace, some) });
    lanes.set(namespace, lane);
    return lane;
  }

  async function takeTurns(namespace: string, some: Turn[]): Promise<void[]> {
    const asks = [...new Map(some.flatMap(({ ask }) => (ask ? [[keyOf(ask), ask]] : []))).values()];
    const ended = some.flatMap((one) => one.ended ?? []);
    const { slots, decide } = some.at(-1) as Turn;
    const answers = await drizzle.transaction((tx) => turn(tx, namespace, { asks, ended, slots, decide }));
    if (answers.length > 0) for (const listener of listeners) listener(answers);
    return some.map(() => undefined);
  }

  async function turn(
    tx: Drizzle,
    namespace: string,
    { asks, ended, slots, decide }: Pick<Turn, 'slots' | 'decide'> & { asks: LockAsk[]; ended: Claimant[] },
  ): Promise<LockAnswer[]> {
    await tx.insert(lockNamespaces).values({ home, namespace }).onConflictDoNothing();
    const mine = and(eq(lockNamespaces.home, home), eq(lockNamespaces.namespace, namespace));
    await tx.select({ locked: sql`1` }).from(lockNamespaces).where(mine).for('no key update');
    await record(tx, namespace, asks);
    await dropEnded(tx, namespace, ended, slots);
    const rows = await readClaims(tx, namespace, slots);
    const decision = decide({
      holders: rows.filter(({ state }) => state === 'Held').map(claimOf),
      waiters: rows.filter(({ state }) => state === 'Waiting').map(claimOf),
      slots,
    });
    const decided = await write(tx, decision);
    if (decided.length > 0 && changes.hasPeers()) await tx.execute(sql`select pg_notify('windlass', '')`);
    const keys = new Set(decided.map(keyOf));
    const asked = await find(
      tx,
      asks.filter((ask) => !keys.has(keyOf(ask))),
    );
    return [...decided, ...asked];
  }

  /** Asked again, it stays as it is, but for what was refused before this time, or is another request. */
  async function record(tx: Drizzle, namespace: string, asks: LockAsk[]): Promise<void> {
    const above = await chains(tx, [...new Set(asks.map(({ runId }) => runId))]);
    const rows = asks.flatMap((ask): (typeof lockClaims.$inferInsert)[] => {
      const chain = above.get(ask.runId);
      if (!chain) return [];
      const { step, item } = place(ask.holder);
      const { locks, group, slot } = ask.request;
      return [
        {
          home,
          namespace,
          runId: ask.runId,
          step,
          item,
          state: 'Waiting',
          superseded: null,
          error: null,
          label: storable(labelOf(ask.holder, chain.name)),
          ancestors: step === '' ? chain.ancestors : [ask.runId, ...chain.ancestors],
          priority: ask.priority,
          since: ask.since,
          request: storable(ask.request),
          onlySlot: slot && locks.length === 0 && group === null,
          compensates: ask.compensates || chain.compensates,
        },
      ];
    });
    const same = sql`${lockClaims.request} = excluded.request`;
    const stays = sql`${same} and (${lockClaims.state} = 'Held' or ${lockClaims.since} = excluded.since)`;
    for (const piece of inPieces(rows)) {
      await tx
        .insert(lockClaims)
        .values(piece)
        .onConflictDoUpdate({
          target: [lockClaims.runId, lockClaims.step, lockClaims.item],
          set: {
            state: sql`case when ${stays} then ${lockClaims.state} else 'Waiting' end`,
            error: sql`case when ${stays} then ${lockClaims.error} end`,
            superseded: sql`case when ${stays} then ${lockClaims.superseded} end`,
            since: sql`excluded.since`,
            request: sql`excluded.request`,
            onlySlot: sql`excluded.only_slot`,
            compensates: sql`excluded.compensates`,
            priority: sql`excluded.priority`,
          },
          // Said late by a replica that was stalled: the same has asked for something else since.
          setWhere: sql`excluded.since >= ${lockClaims.since}`,
        });
    }
  }

  /**
   * The truth are the rows of runs and steps, whoever says that something has ended: what says nothing any more, as its
   * release was lost, is found here, too. Of those that ask for nothing but a slot, which may be very many, only the named
   * ones and the next ones are looked at.
   */
  async function dropEnded(tx: Drizzle, namespace: string, ended: Claimant[], slots: number | null): Promise<void> {
    const mine = sql`c.home = ${home} and c.namespace = ${namespace}`;
    const over = sql`exists (select from runs r where r.id = c.run_id and (
      r.finished_at is not null
      or (c.step <> '' and exists (
        select from steps s
        where s.run_id = c.run_id and s.step = c.step and s.item = c.item and s.finished_at is not null
          and coalesce(s.reason, '') not in ${undone}))))`;
    const named = JSON.stringify(ended.map(({ runId, holder }) => ({ run_id: runId, ...place(holder) })));
    await tx.execute(sql`
      delete from lock_claims c using json_to_recordset(${named}::text::json) as e(run_id text, step text, item int)
      where ${mine} and c.run_id = e.run_id and (e.step = '' or (c.step = e.step and c.item = e.item)) and ${over}`);
    // Two statements, as an index serves each.
    for (const some of [sql`not c.only_slot`, sql`c.only_slot and c.state in ('Held', 'Refused')`]) {
      await tx.execute(sql`delete from lock_claims c where ${mine} and ${some} and ${over}`);
    }
    for (let found = 1; found > 0; ) {
      const next = sql`
        select n.run_id, n.step, n.item from lock_claims n
        where n.home = ${home} and n.namespace = ${namespace} and n.only_slot and n.state = 'Waiting'
        order by n.priority desc, n.since, n.run_id, n.step, n.item limit ${slots}`;
      const gone = await tx
        .delete(lockClaims)
        .where(sql`(run_id, step, item) in (select c.run_id, c.step, c.item from (${next}) as c where ${over})`)
        .returning({ runId: lockClaims.runId });
      found = gone.length;
    }
  }

  async function readClaims(tx: Drizzle, namespace: string, slots: number | null): Promise<Row[]> {
    const mine = and(eq(lockClaims.home, home), eq(lockClaims.namespace, namespace));
    const rows = await tx
      .select()
      .from(lockClaims)
      .where(and(mine, eq(lockClaims.onlySlot, false), inArray(lockClaims.state, ['Held', 'Waiting'])));
    const running = await tx
      .select()
      .from(lockClaims)
      .where(and(mine, eq(lockClaims.onlySlot, true), eq(lockClaims.state, 'Held')));
    const next = tx
      .select()
      .from(lockClaims)
      .where(and(mine, eq(lockClaims.onlySlot, true), eq(lockClaims.state, 'Waiting')))
      .orderBy(sql`${lockClaims.priority} desc`, lockClaims.since, lockClaims.runId, lockClaims.step, lockClaims.item);
    return [...rows, ...running, ...(slots === null ? await next : await next.limit(slots))];
  }

  async function write(tx: Drizzle, decision: AdmissionDecision): Promise<LockAnswer[]> {
    const changed = [
      ...decision.granted.map((claim) => ({ claim, state: 'Held', error: null, superseded: null })),
      ...decision.refused.map(({ claim, error }) => ({ claim, state: 'Refused', error, superseded: null })),
      ...decision.superseded.map(({ claim, reason }) => ({ claim, state: null, error: null, superseded: reason })),
    ];
    if (changed.length === 0) return [];
    const json = JSON.stringify(
      changed.map(({ claim: { runId, holder }, state, error, superseded }) => ({
        run_id: runId,
        ...place(holder),
        state,
        error: storable(error),
        superseded: superseded === null ? null : storable(superseded),
      })),
    );
    await tx.execute(sql`
      update lock_claims c set state = coalesce(d.state, c.state), error = coalesce(d.error, c.error),
        superseded = coalesce(d.superseded, c.superseded)
      from json_to_recordset(${json}::text::json) as d(
        run_id text, step text, item int, state text, error jsonb, superseded text)
      where c.run_id = d.run_id and c.step = d.step and c.item = d.item`);
    return [
      ...decision.granted.map(({ runId, holder, since }): LockAnswer => ({ type: 'Granted', runId, holder, since })),
      ...decision.refused.map(
        ({ claim: { runId, holder, since }, error }): LockAnswer => ({ type: 'Refused', runId, holder, since, error }),
      ),
      ...decision.superseded.map(
        ({ claim: { runId, holder }, reason }): LockAnswer => ({ type: 'Superseded', runId, holder, reason }),
      ),
    ];
  }

  async function find(tx: Drizzle, asks: LockAsk[]): Promise<LockAnswer[]> {
    const keys = new Set(asks.map(keyOf));
    const answers: LockAnswer[] = [];
    for (const piece of inPieces([...new Set(asks.map(({ runId }) => runId))])) {
      answers.push(...(await decidedOf(tx, piece)).filter((answer) => keys.has(keyOf(answer))));
    }
    return answers;
  }

  async function decidedOf(tx: Drizzle, runIds: string[]): Promise<LockAnswer[]> {
    const rows = await tx
      .select()
      .from(lockClaims)
      .where(
        and(
          inArray(lockClaims.runId, runIds),
          sql`(${lockClaims.state} <> 'Waiting' or ${lockClaims.superseded} is not null)`,
        ),
      );
    return rows.flatMap(answersOf);
  }

  return {
    ask: (ask, slots, decide) => laneOf(ask.namespace).add({ id: String(turns++), ask, ended: null, slots, decide }),
    letGo: (namespace, ended, slots, decide) =>
      laneOf(namespace).add({ id: String(turns++), ask: null, ended, slots, decide }),
    async answers(runIds) {
      const answers: LockAnswer[] = [];
      for (const piece of inPieces(runIds)) answers.push(...(await decidedOf(drizzle, piece)));
      return answers;
    },
    onAnswers(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
    onElsewhere: (fn) => changes.on(topic, fn),
    async counts() {
      const rows = await drizzle
        .select({
          namespace: lockClaims.namespace,
          waiting: sql<number>`(count(*) filter (where ${lockClaims.state} = 'Waiting'))::int`,
          holding: sql<number>`(count(*) filter (where ${lockClaims.state} = 'Held'))::int`,
        })
        .from(lockClaims)
        .where(eq(lockClaims.home, home))
        .groupBy(lockClaims.namespace);
      return rows;
    },
  };
}

type Claimant = Pick<LockAsk, 'runId' | 'holder'>;

interface Turn {
  id: string;
  ask: LockAsk | null;
  ended: Claimant | null;
  slots: number | null;
  decide: DecideAdmission;
}

interface Chain {
  name: string;
  ancestors: string[];
  /** An attempt that it is, or is part of, undoes something. */
  compensates: boolean;
}

/** Name and ancestors of each run that there is. */
async function chains(tx: Drizzle, runIds: string[]): Promise<Map<string, Chain>> {
  const found = new Map<string, Chain>();
  let wanted = new Map(runIds.map((id) => [id, [id]]));
  // One round a level: no deeper than child runs may be.
  while (wanted.size > 0) {
    const next = new Map<string, string[]>();
    for (const piece of inPieces([...wanted.keys()])) {
      const rows = await tx
        .select({ id: runs.id, name: runs.name, parent: runs.parent, via: attempts.via })
        .from(runs)
        .leftJoin(attempts, isParent)
        .where(inArray(runs.id, piece));
      for (const { id, name, parent, via } of rows) {
        for (const below of wanted.get(id) ?? []) {
          const chain = found.get(below) ?? { name, ancestors: [], compensates: false };
          found.set(below, chain);
          if (parent === null) continue;
          chain.compensates ||= via === 'compensate';
          chain.ancestors.push(unitNode(parent), parent.runId);
          next.set(parent.runId, [...(next.get(parent.runId) ?? []), below]);
        }
      }
    }
    wanted = next;
  }
  return found;
}

/** The attempt whose child a run is. */
const isParent = and(
  eq(attempts.runId, sql`${runs.parent} ->> 'runId'`),
  eq(attempts.step, sql`${runs.parent} ->> 'step'`),
  eq(attempts.item, sql`(${runs.parent} ->> 'item')::int`),
  eq(attempts.number, sql`(${runs.parent} ->> 'attempt')::int`),
);

function unitNode({ runId, step, item }: Pick<AttemptKey, 'runId' | 'step' | 'item'>): string {
  return `${runId}/${step}/${item}`;
}

function place(holder: Holder): { step: string; item: number } {
  return holder.step === null ? { step: '', item: wholeStep } : { step: holder.step, item: holder.item };
}

function holderOf({ step, item }: Pick<Row, 'step' | 'item'>): Holder {
  return step === '' ? { step: null } : { step, item };
}

function keyOf({ runId, holder }: { runId: string; holder: Holder }): string {
  return unitNode({ runId, ...place(holder) });
}

function labelOf(holder: Holder, run: string): string {
  if (holder.step === null) return `run ${run}`;
  return holder.item === wholeStep
    ? `step ${holder.step} of run ${run}`
    : `item ${holder.item} of step ${holder.step} of run ${run}`;
}

function claimOf(row: Row): LockClaim {
  const { runId, step, item, ancestors, label, priority, since, request, superseded, compensates } = row;
  const id = step === '' ? runId : unitNode({ runId, step, item });
  return {
    id,
    runId,
    holder: holderOf(row),
    ancestors,
    label,
    priority,
    since,
    request,
    superseded: superseded !== null,
    compensates,
  };
}

function answersOf(row: Row): LockAnswer[] {
  const { runId, state, since, error, superseded } = row;
  const holder = holderOf(row);
  const answers: LockAnswer[] = [];
  if (superseded !== null) answers.push({ type: 'Superseded', runId, holder, reason: superseded });
  if (state === 'Held') answers.push({ type: 'Granted', runId, holder, since });
  if (state === 'Refused' && error !== null) answers.push({ type: 'Refused', runId, holder, since, error });
  return answers;
}
