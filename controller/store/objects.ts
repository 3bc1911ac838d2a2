import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { and, eq, sql } from 'drizzle-orm';
import type { JsonObject } from '../../crds/json.ts';
import type { Kind, ObjectByKind } from '../../crds/kinds.ts';
import { apiVersion } from '../../crds/metadata.ts';
import type { Clock } from '../seams/clock.ts';
import type { Draft, ObjectStore, StopWatch, WatchEvent } from '../seams/objects.ts';
import { ObjectConflict } from '../seams/objects.ts';
import { createBatch } from './batch.ts';
import type { Database } from './database.ts';
import type { ObjectWatches } from './object-watches.ts';
import { objects } from './schema/objects.ts';
import { storable } from './storable.ts';

export type ObjectRow = typeof objects.$inferSelect;

/** Desired state of one home in the `objects` table. */
export function createObjectStore(database: Database, home: string, watches: ObjectWatches, clock: Clock): ObjectStore {
  const { drizzle } = database;

  function named(kind: Kind, namespace: string, name: string) {
    return and(
      eq(objects.home, home),
      eq(objects.kind, kind),
      eq(objects.namespace, namespace),
      eq(objects.name, name),
      sql`not ${objects.deleted}`,
    );
  }

  async function find(kind: Kind, namespace: string, name: string): Promise<ObjectRow | null> {
    const [row] = await drizzle
      .select()
      .from(objects)
      .where(named(kind, namespace, name));
    return row ?? null;
  }

  /** Null when the name is taken. */
  async function insert(draft: Wanted): Promise<ObjectRow | null> {
    const [row] = await drizzle
      .insert(objects)
      .values({ uid: randomUUID(), home, generation: 1, createdAt: clock.now(), ...draft })
      .onConflictDoNothing()
      .returning();
    if (row) await watches.wrote([row]);
    return row ?? null;
  }

  /** Writes over exactly the version that was read; null when another writer was first. */
  async function replace(
    read: ObjectRow,
    next: Pick<Wanted, 'spec' | 'labels' | 'annotations'>,
  ): Promise<ObjectRow | null> {
    const [row] = await drizzle
      .update(objects)
      .set({
        ...next,
        generation: isDeepStrictEqual(read.spec, next.spec) ? read.generation : read.generation + 1,
        ...touched,
      })
      .where(
        and(eq(objects.uid, read.uid), eq(objects.resourceVersion, read.resourceVersion), sql`not ${objects.deleted}`),
      )
      .returning();
    if (row) await watches.wrote([row]);
    return row ?? null;
  }

  const statuses = createBatch<{ kind: Kind; namespace: string; name: string; uid: string; status: object }, void>({
    key: (item) => item.uid,
    async write(items) {
      const rows = await database.run<StatusRow>(statusStatement, [home, JSON.stringify(items)]);
      await watches.wrote(rows.map(fromStatusRow));
      return items.map(() => undefined);
    },
  });

  return {
    async get(kind, namespace, name) {
      const row = await find(kind, namespace, name);
      return row && toObject(kind, row);
    },
    async list(kind, filter = {}) {
      const rows = await drizzle
        .select()
        .from(objects)
        .where(
          and(
            eq(objects.home, home),
            eq(objects.kind, kind),
            sql`not ${objects.deleted}`,
            filter.namespace === undefined ? undefined : eq(objects.namespace, filter.namespace),
            filter.labels === undefined
              ? undefined
              : sql`${objects.labels} @> ${JSON.stringify(filter.labels)}::text::jsonb`,
          ),
        )
        // Byte order, whatever the database's collation: the same on every implementation.
        .orderBy(sql`${objects.namespace} collate "C", ${objects.name} collate "C"`);
      return rows.map((row) => toObject(kind, row));
    },
    async create(draft) {
      const row = await insert(wanted(draft));
      if (row) return toObject(draft.kind, row);
      const { namespace, name } = draft.metadata;
      throw new ObjectConflict('AlreadyExists', `${draft.kind} ${namespace}/${name} exists already`);
    },
    async apply(draft, check) {
      const next = wanted(draft);
      for (;;) {
        const read = await find(draft.kind, next.namespace, next.name);
        check?.(read && toObject(draft.kind, read));
        if (read && same(read, next)) return { object: toObject(draft.kind, read), changed: false };
        // Losing a race means that another writer got on: reading again always ends.
        const row = read ? await replace(read, next) : await insert(next);
        if (row) return { object: toObject(draft.kind, row), changed: true };
      }
    },
    async update(kind, namespace, name, change) {
      for (;;) {
        const read = await find(kind, namespace, name);
        if (!read) throw new ObjectConflict('NotFound', `there is no ${kind} ${namespace}/${name}`);
        const changed = change(toObject(kind, read));
        if (changed === null) return toObject(kind, read);
        const next = {
          spec: changed.spec === undefined ? read.spec : plain(changed.spec as JsonObject),
          annotations: changed.annotations ?? read.annotations,
          labels: read.labels,
        };
        if (same(read, next)) return toObject(kind, read);
        const row = await replace(read, next);
        if (row) return toObject(kind, row);
      }
    },
    async writeStatus(kind, { namespace, name, uid }, status) {
      const item = { kind, namespace, name, uid, status: storable(status) };
      await statuses.add(item, JSON.stringify(status).length);
    },
    async delete(kind, namespace, name, uid) {
      const [row] = await drizzle
        .update(objects)
        .set({ deleted: true, deletedAt: clock.now(), ...touched })
        .where(and(named(kind, namespace, name), uid === undefined ? undefined : eq(objects.uid, uid)))
        .returning();
      if (row) await watches.wrote([row]);
      return row !== undefined;
    },
    async watch<K extends Kind>(kind: K, handler: (event: WatchEvent<K>) => void): Promise<StopWatch> {
      return watches.watch(
        kind,
        () =>
          drizzle
            .select()
            .from(objects)
            .where(and(eq(objects.home, home), eq(objects.kind, kind), sql`not ${objects.deleted}`)),
        (row) => handler({ type: row.deleted ? 'Deleted' : 'Applied', object: toObject(kind, row) }),
      );
    },
  };
}

const touched = { resourceVersion: sql`nextval('object_version')`, changed: sql`pg_current_xact_id()` };

type Wanted = Pick<ObjectRow, 'kind' | 'namespace' | 'name' | 'labels' | 'annotations' | 'spec'>;

function wanted(draft: Draft<Kind>): Wanted {
  const { name, namespace, labels = {}, annotations = {} } = draft.metadata;
  return {
    kind: draft.kind,
    namespace,
    name,
    labels: plain(labels),
    annotations: plain(annotations),
    spec: plain(draft.spec as JsonObject),
  };
}

/** As it comes back from the database: no undefined members, nothing Postgres refuses. Makes comparing exact. */
function plain<T extends object>(value: T): T {
  return storable(JSON.parse(JSON.stringify(value)) as T);
}

function same(row: ObjectRow, next: Pick<Wanted, 'spec' | 'labels' | 'annotations'>): boolean {
  return (
    isDeepStrictEqual(row.spec, next.spec) &&
    isDeepStrictEqual(row.labels, next.labels) &&
    isDeepStrictEqual(row.annotations, next.annotations)
  );
}

function toObject<K extends Kind>(kind: K, row: ObjectRow): ObjectByKind[K] {
  return {
    apiVersion,
    kind,
    metadata: {
      name: row.name,
      namespace: row.namespace,
      uid: row.uid,
      resourceVersion: String(row.resourceVersion),
      generation: row.generation,
      creationTimestamp: new Date(row.createdAt).toISOString(),
      labels: row.labels,
      annotations: row.annotations,
    },
    spec: row.spec,
    ...(row.status === null ? {} : { status: row.status }),
  } as unknown as ObjectByKind[K];
}

/** A row of `returning *`, whose bigints are text on one driver and numbers on the other. */
interface StatusRow extends Pick<ObjectRow, 'uid' | 'home' | 'kind' | 'namespace' | 'name' | 'generation'> {
  labels: ObjectRow['labels'];
  annotations: ObjectRow['annotations'];
  spec: JsonObject;
  status: JsonObject | null;
  resource_version: number | string;
  created_at: number | string;
  changed: string;
}

function fromStatusRow({ resource_version, created_at, ...row }: StatusRow): ObjectRow {
  return {
    ...row,
    resourceVersion: Number(resource_version),
    createdAt: Number(created_at),
    deleted: false,
    deletedAt: null,
  };
}

/** An equal status writes nothing, so that watchers hear nothing. */
const statusStatement = `
update objects o set status = i.status, resource_version = nextval('object_version'), changed = pg_current_xact_id()
from json_to_recordset($2::text::json) as i(uid text, kind text, namespace text, name text, status jsonb)
where o.uid = i.uid and o.home = $1::text and o.kind = i.kind and o.namespace = i.namespace and o.name = i.name
  and not o.deleted and o.status is distinct from i.status
returning o.uid, o.home, o.kind, o.namespace, o.name, o.generation, o.resource_version, o.created_at, o.labels,
  o.annotations, o.spec, o.status, o.changed`;
