import { bigint, index, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { JsonObject } from '../../../crds/json.ts';
import type { ArtifactRef } from '../../core/run/types.ts';
import { instant } from './columns.ts';

/**
 * Results of steps by what they were made of. A row is there as soon as somebody asked; it is an entry once it has
 * `filledAt`. No index on a column that changes as it is used (HOT updates).
 */
export const stepCache = pgTable(
  'step_cache',
  {
    home: text('home').notNull(),
    namespace: text('namespace').notNull(),
    key: text('key').notNull(),
    workflow: text('workflow').notNull(),
    step: text('step').notNull(),
    parts: jsonb('parts').$type<Record<string, string>>().notNull(),
    /** Who makes the entry now: good while that unit has not ended. */
    fillerRun: text('filler_run'),
    fillerStep: text('filler_step'),
    fillerItem: integer('filler_item'),
    askedAt: instant('asked_at').notNull(),
    filledAt: instant('filled_at'),
    expiresAt: instant('expires_at'),
    usedAt: instant('used_at').notNull(),
    outputs: jsonb('outputs').$type<JsonObject>(),
    artifacts: jsonb('artifacts').$type<Record<string, ArtifactRef>>(),
    imageId: text('image_id'),
    /** Of outputs and artifacts. */
    bytes: bigint('bytes', { mode: 'number' }).notNull().default(0),
  },
  (t) => [
    primaryKey({ columns: [t.home, t.namespace, t.key] }),
    // In this order, so that nobody takes it for a way to look up a key.
    index('step_cache_step').on(t.workflow, t.step, t.namespace, t.home),
  ],
);

/** What an image's name was last seen to mean. */
export const imageIds = pgTable(
  'image_ids',
  {
    home: text('home').notNull(),
    namespace: text('namespace').notNull(),
    image: text('image').notNull(),
    imageId: text('image_id').notNull(),
    seenAt: instant('seen_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.home, t.namespace, t.image] })],
);
