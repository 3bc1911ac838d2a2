import type { Clock } from '../seams/clock.ts';
import { FenceLost } from '../seams/lease.ts';
import type { RunTransition } from '../core/run/types.ts';
import type { Batch } from './batch.ts';
import { createBatch } from './batch.ts';
import type { Database } from './database.ts';
import { Unstorable, sqlState } from './errors.ts';
import { changingElement, deadLetterColumns, endUnstorable, rowElements, writeRest } from './run-statements.ts';
import { storable } from './storable.ts';
import type { Changes } from './changes.ts';

interface Decided {
  id: string;
  fence: number;
  /** The element of the statement's JSON parameter. */
  json: string;
  events: boolean;
  /** Whether the run is over. */
  ends: boolean;
}

export interface RunCommits {
  /** See RunHistory.commit. */
  commit(transition: RunTransition, fence: number): Promise<void>;
  /** See RunHistory.reopen. */
  reopen(transition: RunTransition, home: string): Promise<boolean>;
  /** Resolves when nothing is waiting to be written. */
  idle(): Promise<void>;
}

/** Writes the decisions of many runs in one statement, each only if its fence still holds. */
export function createRunCommits(database: Database, changes: Changes, clock: Clock): RunCommits {
  const batch: Batch<Decided, boolean> = createBatch({
    key: (item) => item.id,
    async write(items) {
      const notify = changes.hasPeers() && items.some((item) => item.events);
      const statement = items.some((item) => item.ends) ? endStatement : commitStatement;
      const rows = await retried(() =>
        database.run<{ id: string }>(statement, [`[${items.map((item) => item.json).join(',')}]`, notify]),
      );
      const written = new Set(rows.map((row) => row.id));
      if (items.some((item) => item.events && written.has(item.id))) changes.emit('events');
      return items.map((item) => written.has(item.id));
    },
    async refused(item, cause) {
      const message = `the database refuses what this run wants recorded: ${textOf(cause)}`;
      const error = { type: 'infrastructure/unstorable', message: storable(message).slice(0, 1000), retryable: false };
      const rows = await database.run(endUnstorable, [item.id, item.fence, JSON.stringify(error), clock.now()]);
      if (rows.length === 0) return false;
      changes.emit('events');
      throw new Unstorable(`run ${item.id} was ended: ${message}`, { cause });
    },
  });

  return {
    async commit(transition, fence) {
      const json = JSON.stringify(element(transition, fence));
      const { id, finishedAt } = transition.run;
      const decided = { id, fence, json, events: transition.events.length > 0, ends: finishedAt !== null };
      // Characters, not bytes: near enough for a limit that only keeps one statement from growing without bound.
      if (!(await batch.add(decided, json.length))) {
        throw new FenceLost(`run ${transition.run.id}: its fence is no longer ${fence}, another replica owns it`);
      }
    },
    async reopen(transition, home) {
      const json = JSON.stringify([{ ...element(transition, 0), parent: transition.run.parent }]);
      const rows = await retried(() => database.run<{ id: string }>(reopenStatement, [json, changes.hasPeers(), home]));
      if (rows.length > 0) changes.emit('events');
      return rows.length > 0;
    },
    idle: () => batch.idle(),
  };
}

/** A deadlock or a failed serialization left nothing behind; the same statement may simply be sent again. */
async function retried<T>(write: () => Promise<T>): Promise<T> {
  for (let left = 5; ; left--) {
    try {
      return await write();
    } catch (error) {
      if (left === 0 || !['40001', '40P01'].includes(sqlState(error) ?? '')) throw error;
    }
  }
}

function textOf(cause: unknown): string {
  for (let e = cause; e instanceof Error; e = e.cause) if (e.cause === undefined) return e.message;
  return String(cause);
}

function element(transition: RunTransition, fence: number) {
  const { run } = transition;
  return { id: run.id, fence, ...changingElement(run), ...rowElements(transition) };
}

/** Writes the rows of runs for which `which` holds, and all that goes with them. One round trip a batch. */
function writeStatement(which: string, also: string, ends: boolean): string {
  return `
with live as (
  update runs r set
    phase = i.phase, desired = i.desired, reason = i.reason, started_at = i.started_at, finished_at = i.finished_at,
    stood_ms = i.stood_ms, stands_since = i.stands_since, outcome = i.outcome, error = i.error, forced = i.forced,
    compensating_at = i.compensating_at, finalizing_at = i.finalizing_at, outputs = i.outputs,
    logs_unmasked = i.logs_unmasked, revision = i.revision${also}
  from json_to_recordset($1::text::json) as i(
    id text, fence bigint, parent jsonb, execution int, queued_at bigint, phase text, desired text, reason text, started_at bigint,
    finished_at bigint, stood_ms bigint, stands_since bigint, outcome text, error jsonb, forced boolean,
    compensating_at bigint, finalizing_at bigint, outputs jsonb, logs_unmasked text,
    revision int, steps json, attempts json, events json)
  where r.id = i.id and ${which}
  returning r.id, r.home, r.namespace, r.name, i.finished_at, i.error, r.execution,
    ${deadLetterColumns('i', 'r')}, i.steps, i.attempts, i.events
), ${writeRest(ends)}`;
}

/** The UPDATE takes each row's lock and compares the fence (again, should it have waited). */
const commitStatement = writeStatement('r.fence = i.fence', '', false);

/** Apart, as most decisions end no run and need not pay for it. */
const endStatement = writeStatement('r.fence = i.fence', '', true);

/**
 * A claim follows; until then the fence keeps out whoever owned the run when it ended. A child run may be that of a later
 * attempt now, and what was wanted of it is over.
 */
const reopenStatement = writeStatement(
  'r.home = $3::text and r.finished_at is not null and r.execution = i.execution - 1',
  `, execution = i.execution, queued_at = i.queued_at, owner = '', fence = r.fence + 1, parent = i.parent,
    spec = r.spec || '{"desired": "Running", "reason": null, "force": false}',
    spec_generation = r.spec_generation + (r.spec is not null)::int`,
  false,
);
