import { bigint, boolean, index, json, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import type { JsonObject } from '../../../crds/json.ts';
import type { Person, RefContent } from '../../core/promotion/types.ts';
import { bytea, instant } from './columns.ts';

/** What runs execute, named by its digest and so the same in every home. `json`, not `jsonb`: the spec is given back with its keys in the order they were written. */
export const versions = pgTable('versions', {
  digest: text('digest').primaryKey(),
  workflow: text('workflow').notNull(),
  spec: json('spec').$type<JsonObject>().notNull(),
  files: json('files').$type<Record<string, string>>().notNull(),
  createdAt: instant('created_at').notNull(),
});

/** Contents of files by the hex of their SHA-256. */
export const blobs = pgTable('blobs', {
  sha256: text('sha256').primaryKey(),
  bytes: bytea('bytes').notNull(),
});

export const versionNames = pgTable(
  'version_names',
  {
    id: bigint('id', { mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    home: text('home').notNull(),
    project: text('project').notNull(),
    workflow: text('workflow').notNull(),
    digest: text('digest').notNull(),
    ref: text('ref').notNull(),
    commit: text('commit').notNull(),
    at: instant('at').notNull(),
  },
  (t) => [
    unique('version_names_once').on(t.home, t.project, t.workflow, t.digest, t.ref, t.commit),
    index('version_names_at').on(t.home, t.at, t.id),
  ],
);

/** What a commit holds, judged once. */
export const refContents = pgTable(
  'ref_contents',
  {
    sourceId: text('source_id').notNull(),
    commit: text('commit').notNull(),
    path: text('path').notNull(),
    content: json('content').$type<RefContent>().notNull(),
  },
  (t) => [primaryKey({ columns: [t.sourceId, t.commit, t.path] })],
);

/** Tags as first seen, branches as last seen. */
export const refs = pgTable(
  'refs',
  {
    sourceId: text('source_id').notNull(),
    ref: text('ref').notNull(),
    commit: text('commit').notNull(),
    tagger: json('tagger').$type<Person>(),
    author: json('author').$type<Person>().notNull(),
    message: text('message').notNull(),
    firstSeenAt: instant('first_seen_at').notNull(),
    movedTo: text('moved_to'),
    deleted: boolean('deleted').notNull(),
  },
  (t) => [primaryKey({ columns: [t.sourceId, t.ref] })],
);
