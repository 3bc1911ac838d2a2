import { sql } from 'drizzle-orm';
import { bigint, boolean, index, integer, jsonb, pgSequence, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { JsonObject } from '../../../crds/json.ts';
import { instant, xid8 } from './columns.ts';

/** One counter for all objects, so that a name used again never shows an old resourceVersion. */
export const objectVersion = pgSequence('object_version');

/** Desired state and its status projections. A deleted object stays as a tombstone until every watcher has polled past it. */
export const objects = pgTable(
  'objects',
  {
    uid: text('uid').primaryKey(),
    home: text('home').notNull(),
    kind: text('kind').notNull(),
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    generation: integer('generation').notNull(),
    resourceVersion: bigint('resource_version', { mode: 'number' }).notNull().default(sql`nextval('object_version')`),
    createdAt: instant('created_at').notNull(),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    annotations: jsonb('annotations').$type<Record<string, string>>().notNull(),
    spec: jsonb('spec').$type<JsonObject>().notNull(),
    status: jsonb('status').$type<JsonObject>(),
    deleted: boolean('deleted').notNull().default(false),
    deletedAt: instant('deleted_at'),
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
  },
  (t) => [
    uniqueIndex('objects_name').on(t.home, t.kind, t.namespace, t.name).where(sql`not deleted`),
    index('objects_changed').on(t.home, t.changed),
  ],
);
