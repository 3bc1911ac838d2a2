import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';

export interface SeenRun {
  id: string;
  name: string;
  workflow: string;
  phase: string;
  depth: number;
  execution: number;
  parent: { runId: string } | null;
  outputs: Record<string, unknown> | null;
  error: unknown;
  finishedAt: Date | null;
}
export interface SeenStep {
  runId: string;
  step: string;
  item: number;
  phase: string;
  reason: string | null;
  startedAt: Date | null;
  finishedAt: Date | null;
}
export interface SeenAttempt {
  runId: string;
  step: string;
  item: number;
  number: number;
  via: string;
  phase: string;
  startedAt: Date;
  finishedAt: Date | null;
  error: { type: string; message: string } | null;
}

/** What is recorded, read past the product: by SQL, over connections of its own that outlive restarts of the database. */
export class History {
  readonly #sql: postgres.Sql;

  constructor(databaseUrl: string) {
    this.#sql = postgres(databaseUrl, { max: 2, connect_timeout: 5, onnotice: () => {}, transform: postgres.camel });
  }

  /** Runs that people asked for, by whether they have ended. */
  async counts(): Promise<{ open: number; ended: number }> {
    const [row] = await this.#ask(
      (sql) => sql<{ open: number; ended: number }[]>`
      select count(*) filter (where finished_at is null)::int as open,
             count(*) filter (where finished_at is not null)::int as ended
      from runs where depth = 0`,
    );
    return row ?? { open: 0, ended: 0 };
  }

  async run(name: string): Promise<SeenRun | undefined> {
    const [row] = await this.#ask((sql) => sql<SeenRun[]>`select * from runs where name = ${name}`);
    return row;
  }

  runs = (): Promise<SeenRun[]> => this.#ask((sql) => sql<SeenRun[]>`select * from runs`);
  steps = (): Promise<SeenStep[]> => this.#ask((sql) => sql<SeenStep[]>`select * from steps`);
  attempts = (): Promise<SeenAttempt[]> => this.#ask((sql) => sql<SeenAttempt[]>`select * from attempts`);
  locks = (): Promise<{ runId: string; step: string; state: string }[]> =>
    this.#ask((sql) => sql<{ runId: string; step: string; state: string }[]>`select * from lock_claims`);

  /** What is known of runs that never end, and what the database is about. */
  async stuck(): Promise<unknown> {
    const runs = await this.#ask(
      (sql) => sql`
      select id, name, owner, fence, r.phase, r.revision, s.step, s.item, s.phase as step_phase, s.reason, s.until
      from runs r left join steps s on s.run_id = r.id and s.finished_at is null
      where r.finished_at is null order by name`,
    );
    const sessions = await this.#ask(
      (sql) => sql`
      select pid, state, wait_event_type, wait_event, now() - xact_start as transaction, left(query, 200) as query
      from pg_stat_activity where datname = current_database()`,
    );
    const replicas = await this.#ask((sql) => sql`select * from replicas`);
    return { runs, sessions, replicas, locks: await this.locks() };
  }

  /** Looks until it is so. */
  async until(isSo: () => Promise<boolean>, everyMs = 1000): Promise<void> {
    while (!(await isSo())) await sleep(everyMs);
  }

  async close(): Promise<void> {
    await this.#sql.end({ timeout: 5 });
  }

  /** The database is away now and then. @throws what it said, after a minute */
  async #ask<T>(query: (sql: postgres.Sql) => Promise<T>): Promise<T> {
    for (let turn = 0; ; turn++) {
      try {
        return await query(this.#sql);
      } catch (error) {
        if (turn >= 120) throw error;
        await sleep(500);
      }
    }
  }
}
