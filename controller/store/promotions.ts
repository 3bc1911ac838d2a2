import { and, asc, desc, eq, getTableColumns, inArray, isNotNull, isNull, or, type SQL, sql } from 'drizzle-orm';
import type { PromotionRow } from '../core/promotion/types.ts';
import type { Changes } from './changes.ts';
import type { Database, Drizzle } from './database.ts';
import { sqlState } from './errors.ts';
import { insertEvents } from './events.ts';
import type { LeaderFence } from './leader-fence.ts';
import { page, readCursor } from './page.ts';
import { inPieces } from './pieces.ts';
import { activeHistory, activeVersions, environments, promotions } from './schema/promotions.ts';
import { runs } from './schema/runs.ts';
import { versionNames } from './schema/versions.ts';
import { storable } from './storable.ts';
import type { PromotionHistory } from './types.ts';

type Decision = Parameters<PromotionHistory['commit']>[1];
type Environment = Parameters<PromotionHistory['commit']>[0];

const { home: _home, ...promotionColumns } = getTableColumns(promotions);

const finishedKept = 100;
/** Of those that came to a bad end: their refs must not be taken for new, or none below them would ever have its turn. */
const refusedKept = 1000;

/** What environments own and run. */
export function createPromotionHistory(
  database: Database,
  home: string,
  fence: LeaderFence,
  changes: Changes,
): PromotionHistory {
  const { drizzle } = database;

  return {
    async commit(environment, decision, now) {
      const revision = await drizzle.transaction(async (tx) => {
        await fence(tx);
        const raised = await raiseRevision(tx, home, environment);
        await upsert(tx, home, decision.promotions);
        await activate(tx, home, environment, decision.activate);
        for (const piece of inPieces(decision.names)) {
          const names = piece.map((name) => ({ ...name, home, project: environment.project, at: now }));
          await tx.insert(versionNames).values(names).onConflictDoNothing();
        }
        await insertEvents(tx, home, journal(environment, decision, now));
        if (changes.hasPeers()) await tx.execute(sql`select pg_notify('windlass', '')`);
        return raised;
      });
      if (decision.events.length > 0) changes.emit('events');
      return { revision };
    },
    active: (project, environment) => activeOf(drizzle, home, project, environment),
    async revision(project, environment) {
      const [row] = await drizzle
        .select({ revision: environments.revision })
        .from(environments)
        .where(and(eq(environments.home, home), eq(environments.project, project), eq(environments.name, environment)));
      return row?.revision ?? 0;
    },
    async activeIn(namespace, workflow) {
      const [row] = await drizzle
        .select({
          project: environments.project,
          environment: environments.name,
          uid: environments.uid,
          digest: activeVersions.digest,
          ref: activeVersions.ref,
        })
        .from(environments)
        .leftJoin(
          activeVersions,
          and(
            eq(activeVersions.home, environments.home),
            eq(activeVersions.project, environments.project),
            eq(activeVersions.environment, environments.name),
            eq(activeVersions.workflow, workflow),
          ),
        )
        .where(and(eq(environments.home, home), eq(environments.namespace, namespace)));
      return row ?? null;
    },
    async upstream(project, environment) {
      const [active, history, retired, figures] = await Promise.all([
        activeOf(drizzle, home, project, environment),
        historyOf(drizzle, home, project, environment),
        retiredOf(drizzle, home, project, environment),
        figuresOf(drizzle, home, project, environment),
      ]);
      return { active, history, retired, runs: figures };
    },
    async get(id) {
      const [row] = await drizzle
        .select(promotionColumns)
        .from(promotions)
        .where(and(eq(promotions.home, home), eq(promotions.id, id)));
      return row ?? null;
    },
    async ofEnvironment(project, environment) {
      const own = and(
        eq(promotions.home, home),
        eq(promotions.project, project),
        eq(promotions.environment, environment),
      );
      const newestFirst = [desc(promotions.createdAt), desc(promotions.id)];
      const finished = and(own, isNotNull(promotions.finishedAt));
      const refused = or(
        inArray(promotions.phase, ['Rejected', 'Failed']),
        inArray(promotions.reason, ['Withdrawn', 'TagDeleted']),
      );
      const newest = (which: SQL | undefined, limit: number) =>
        drizzle
          .select(promotionColumns)
          .from(promotions)
          .where(which)
          .orderBy(desc(promotions.finishedAt), ...newestFirst)
          .limit(limit);
      const found = await Promise.all([
        drizzle
          .select(promotionColumns)
          .from(promotions)
          .where(and(own, isNull(promotions.finishedAt)))
          .orderBy(...newestFirst),
        newest(finished, finishedKept),
        newest(and(finished, refused), refusedKept),
      ]);
      return [...new Map(found.flat().map((row) => [row.id, row])).values()];
    },
    async list(filter, { limit, after }) {
      const cursor = after === undefined ? null : readCursor(after);
      const rows = await drizzle
        .select(promotionColumns)
        .from(promotions)
        .where(
          and(
            eq(promotions.home, home),
            filter.project === undefined ? undefined : eq(promotions.project, filter.project),
            filter.environment === undefined ? undefined : eq(promotions.environment, filter.environment),
            filter.phases === undefined
              ? undefined
              : inArray(promotions.phase, filter.phases as PromotionRow['phase'][]),
            cursor ? sql`(${promotions.createdAt}, ${promotions.id}) < (${cursor.at}, ${cursor.id})` : undefined,
          ),
        )
        .orderBy(desc(promotions.createdAt), desc(promotions.id))
        .limit(limit + 1);
      return page(rows, limit, (row) => ({ at: row.createdAt, id: row.id }));
    },
    async own({ project, name, uid }, namespace, now) {
      const [known] = await drizzle
        .select({ namespace: environments.namespace, uid: environments.uid })
        .from(environments)
        .where(theEnvironment(home, project, name));
      // Asked for at every reconcile; there is nothing to write then.
      if (known?.uid === uid && known.namespace === namespace) return true;
      if (known && known.uid !== uid) await replace({ project, name, uid }, now);
      try {
        await drizzle.transaction(async (tx) => {
          await fence(tx);
          await tx
            .insert(environments)
            .values({ home, project, name, uid, namespace })
            .onConflictDoUpdate({
              target: [environments.home, environments.project, environments.name],
              set: { namespace },
            });
        });
        return true;
      } catch (error) {
        // The unique index on namespaces decides, also between two who ask at once.
        if (sqlState(error) === '23505') return false;
        throw error;
      }
    },
    async disown(project, name) {
      await drizzle.transaction(async (tx) => {
        await fence(tx);
        await letGo(tx, home, project, name);
      });
    },
  };

  /** Another Environment of the same name: what people approved, and what gates saw, was meant for the one before. */
  async function replace({ project, name, uid }: Environment, now: number): Promise<void> {
    await drizzle.transaction(async (tx) => {
      await fence(tx);
      await letGo(tx, home, project, name);
      await tx
        .update(environments)
        .set({ uid })
        .where(theEnvironment(home, project, name));
      const message = `Environment ${name} was replaced by another of the same name.`;
      const ended = await tx
        .update(promotions)
        .set({ phase: 'Superseded', reason: 'EnvironmentReplaced', message, finishedAt: now })
        .where(
          and(
            eq(promotions.home, home),
            eq(promotions.project, project),
            eq(promotions.environment, name),
            isNull(promotions.finishedAt),
          ),
        )
        .returning({ promotion: promotions.name, ref: promotions.ref });
      const events = ended.map(({ promotion, ref }) => {
        const said = `${ref} into ${name}: ${message}`;
        return { promotion, type: 'Normal' as const, reason: 'PromotionSuperseded', message: said };
      });
      await insertEvents(tx, home, journal({ project, name, uid }, { events }, now));
      if (changes.hasPeers()) await tx.execute(sql`select pg_notify('windlass', '')`);
    });
    changes.emit('events');
  }
}

function theEnvironment(home: string, project: string, name: string) {
  return and(eq(environments.home, home), eq(environments.project, project), eq(environments.name, name));
}

/** Of the active versions. */
function rowsOf(home: string, project: string, environment: string) {
  const of = activeVersions;
  return and(eq(of.home, home), eq(of.project, project), eq(of.environment, environment));
}

/** Namespace and active versions; history stays. */
async function letGo(tx: Drizzle, home: string, project: string, environment: string): Promise<void> {
  await tx
    .update(environments)
    .set({ namespace: null })
    .where(theEnvironment(home, project, environment));
  await tx.delete(activeVersions).where(rowsOf(home, project, environment));
}

async function raiseRevision(tx: Drizzle, home: string, { project, name, uid }: Environment): Promise<number> {
  const [row] = await tx
    .insert(environments)
    .values({ home, project, name, uid, revision: 1 })
    .onConflictDoUpdate({
      target: [environments.home, environments.project, environments.name],
      set: { revision: sql`${environments.revision} + 1` },
    })
    .returning({ revision: environments.revision });
  if (!row) throw new Error(`environment ${project}/${name}: its revision was not returned`);
  return row.revision;
}

async function upsert(tx: Drizzle, home: string, rows: PromotionRow[]): Promise<void> {
  const sorted = rows.map((row) => ({ ...storable(row), home })).sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const piece of inPieces(sorted)) {
    await tx
      .insert(promotions)
      .values(piece)
      .onConflictDoUpdate({ target: promotions.id, set: promotionChanges, setWhere: eq(promotions.home, home) });
  }
}

const promotionChanges = {
  commit: sql`excluded.commit`,
  phase: sql`excluded.phase`,
  reason: sql`excluded.reason`,
  message: sql`excluded.message`,
  changes: sql`excluded.changes`,
  gates: sql`excluded.gates`,
  gatesAtStart: sql`excluded.gates_at_start`,
  diagnostics: sql`excluded.diagnostics`,
  finishedAt: sql`excluded.finished_at`,
};

async function activate(
  tx: Drizzle,
  home: string,
  environment: Environment,
  activations: Decision['activate'],
): Promise<void> {
  const { project, name, uid } = environment;
  for (const { workflow, digest, ref, commit, at } of activations) {
    await tx.insert(activeHistory).values({ home, project, environment: name, uid, workflow, digest, ref, commit, at });
    if (digest === null) {
      await tx.delete(activeVersions).where(and(rowsOf(home, project, name), eq(activeVersions.workflow, workflow)));
    } else {
      const set = { digest, ref, commit, since: at };
      await tx
        .insert(activeVersions)
        .values({ home, project, environment: name, workflow, ...set })
        .onConflictDoUpdate({
          target: [activeVersions.home, activeVersions.project, activeVersions.environment, activeVersions.workflow],
          set,
        });
    }
  }
}

function journal({ project, name }: Environment, decision: Pick<Decision, 'events'>, at: number) {
  return decision.events.map(({ promotion, type, reason, message }) => ({
    kind: promotion === null ? 'Environment' : 'Promotion',
    namespace: project,
    name: promotion ?? name,
    type,
    reason,
    message,
    at,
  }));
}

function activeOf(db: Drizzle, home: string, project: string, environment: string) {
  return db
    .select({
      workflow: activeVersions.workflow,
      digest: activeVersions.digest,
      ref: activeVersions.ref,
      commit: activeVersions.commit,
      since: activeVersions.since,
    })
    .from(activeVersions)
    .where(rowsOf(home, project, environment))
    .orderBy(asc(activeVersions.workflow));
}

/** In the Environment that has the name now. */
function itsHistory(home: string, project: string, environment: string) {
  return and(
    eq(activeHistory.home, home),
    eq(activeHistory.project, project),
    eq(activeHistory.environment, environment),
    sql`${activeHistory.uid} = (select e.uid from environments e
      where e.home = ${home} and e.project = ${project} and e.name = ${environment})`,
  );
}

/** Every digest that was ever active. */
async function historyOf(db: Drizzle, home: string, project: string, environment: string) {
  const rows = await db
    .selectDistinct({ workflow: activeHistory.workflow, digest: sql<string>`${activeHistory.digest}` })
    .from(activeHistory)
    .where(and(itsHistory(home, project, environment), isNotNull(activeHistory.digest)));
  return rows.toSorted((a, b) => (a.workflow < b.workflow ? -1 : a.workflow > b.workflow ? 1 : 0));
}

/** Workflows whose last entry retired them. */
async function retiredOf(db: Drizzle, home: string, project: string, environment: string) {
  const rows = await db
    .selectDistinctOn([activeHistory.workflow], {
      workflow: activeHistory.workflow,
      digest: activeHistory.digest,
      ref: activeHistory.ref,
      commit: activeHistory.commit,
      since: activeHistory.at,
    })
    .from(activeHistory)
    .where(itsHistory(home, project, environment))
    .orderBy(asc(activeHistory.workflow), desc(activeHistory.id));
  return rows.filter((row) => row.digest === null).map(({ digest: _digest, ...retired }) => retired);
}

/** By the environment that pinned the version: its namespace, and its name, may have been another's before. */
function figuresOf(db: Drizzle, home: string, project: string, environment: string) {
  return db
    .select({
      workflow: runs.workflow,
      digest: runs.digest,
      finished: sql<number>`count(*)::int`,
      succeeded: sql<number>`(count(*) filter (where ${runs.phase} = 'Succeeded'))::int`,
      degraded: sql<number>`(count(*) filter (where ${runs.phase} = 'Degraded'))::int`,
    })
    .from(runs)
    .innerJoin(environments, eq(environments.uid, runs.environmentUid))
    .where(and(theEnvironment(home, project, environment), eq(runs.home, home), sql`${runs.counted}`))
    .groupBy(runs.workflow, runs.digest)
    .orderBy(asc(runs.workflow), asc(runs.digest));
}
