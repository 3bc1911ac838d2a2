import { and, desc, eq, isNotNull, sql } from 'drizzle-orm';
import type { JsonObject } from '../../crds/json.ts';
import type { ArtifactRef } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import { createBatch } from './batch.ts';
import type { CacheAnswer, CacheEntry, CacheFill, LookUp, StepCache } from './cache-types.ts';
import type { Changes } from './changes.ts';
import type { Database } from './database.ts';
import { stepCache } from './schema/cache.ts';
import { storable } from './storable.ts';

const topic = 'cache';

/** When an entry was used is written at most so often, so that reading it stays reading. */
const usedMs = 60_000;

/** Results of steps. Not fenced: an entry is right whoever made it, and lost ones cost a run of the step. */
export function createStepCache(database: Database, home: string, changes: Changes, clock: Clock): StepCache {
  const { drizzle } = database;

  const asked = createBatch<LookUp, CacheAnswer>({
    // Two that ask for one entry take turns: the second is told to wait for the first.
    key: (request) => `${request.namespace}/${request.cache.key}`,
    async write(requests) {
      const now = clock.now();
      const read = await database.run<Found>(readStatement, [JSON.stringify(requests.map(readElement)), home, now]);
      const found = new Map(read.map((row) => [Number(row.n), row]));
      const hits = read.filter((row) => row.hit);
      const stale = hits.filter((row) => Number(row.used_at) < now - usedMs).map((row) => requests[Number(row.n)]);
      if (stale.length > 0) await database.run(usedStatement, [JSON.stringify(stale.map(keyElement)), home, now]);
      const missing = requests.flatMap((request, n) =>
        found.get(n)?.hit ? [] : [takeElement(request, n, found.get(n)?.filled_at)],
      );
      const taken =
        missing.length === 0
          ? []
          : await database.run<{ namespace: string; key: string }>(takeStatement, [JSON.stringify(missing), home, now]);
      const mine = new Set(taken.map(({ namespace, key }) => `${namespace}/${key}`));
      return requests.map(({ namespace, cache }, n) => {
        const row = found.get(n);
        if (row?.hit) return { type: 'hit', outputs: row.outputs ?? {}, artifacts: row.artifacts ?? {} };
        return { type: mine.has(`${namespace}/${cache.key}`) ? 'fill' : 'wait' };
      });
    },
  });

  const filled = createBatch<CacheFill, void>({
    key: (entry) => `${entry.namespace}/${entry.key}`,
    async write(entries) {
      const json = JSON.stringify(entries.map(fillElement));
      await database.run(fillStatement, [json, home, clock.now(), changes.hasPeers()]);
      return entries.map(() => undefined);
    },
  });

  return {
    lookUp: (request) => asked.add(request),
    async fill(entry) {
      await filled.add(entry, JSON.stringify(entry.outputs).length);
      changes.emit(topic);
    },
    onFill: (fn) => changes.on(topic, fn),
    async entries(namespace, workflow, step, limit) {
      const rows = await drizzle
        .select({
          key: stepCache.key,
          parts: stepCache.parts,
          filledAt: stepCache.filledAt,
          expiresAt: stepCache.expiresAt,
          usedAt: stepCache.usedAt,
          bytes: stepCache.bytes,
          imageId: stepCache.imageId,
        })
        .from(stepCache)
        .where(
          and(
            eq(stepCache.home, home),
            eq(stepCache.namespace, namespace),
            eq(stepCache.workflow, workflow),
            eq(stepCache.step, step),
            isNotNull(stepCache.filledAt),
          ),
        )
        .orderBy(desc(stepCache.filledAt), desc(stepCache.key))
        .limit(limit);
      return rows as CacheEntry[];
    },
    async evict({ maxBytes, maxAgeMs }) {
      const now = clock.now();
      const rows = await drizzle.execute<{ removed: string | number }>(evictQuery(home, now, now - maxAgeMs, maxBytes));
      const [row] = Array.isArray(rows) ? rows : (rows as { rows: { removed: string | number }[] }).rows;
      return Number(row?.removed ?? 0);
    },
  };
}

/** A row that there is for what was asked; a hit when it is good now. */
interface Found {
  n: number | string;
  hit: boolean;
  filled_at: number | string | null;
  used_at: number | string;
  outputs: JsonObject | null;
  artifacts: Record<string, ArtifactRef> | null;
}

function keyElement(request: LookUp | undefined) {
  return { namespace: request?.namespace, key: request?.cache.key };
}

function readElement(request: LookUp, n: number) {
  return { n, ...keyElement(request), ttl: request.ttlMs, image: request.image };
}

/** `filledAt`: as it was read, so that an entry that was made since is not taken. */
function takeElement(request: LookUp, n: number, filledAt: number | string | null = null) {
  const { runId, step, item, workflow, cache } = request;
  return {
    n,
    ...keyElement(request),
    run_id: runId,
    step,
    item,
    workflow,
    parts: storable(cache.parts),
    filled_at: filledAt === null ? null : Number(filledAt),
  };
}

function fillElement(entry: CacheFill) {
  return {
    namespace: entry.namespace,
    workflow: entry.workflow,
    step: entry.step,
    key: entry.key,
    ttl: entry.ttlMs,
    outputs: storable(entry.outputs),
    artifacts: entry.artifacts,
    bytes: Object.values(entry.artifacts).reduce((sum, { bytes }) => sum + bytes, 0),
    image: entry.image,
    image_id: entry.imageId,
  };
}

/** One by one through the keys: a plan made while the table was small must stay right when it is large. */
const readStatement = `
select asked.n, c.filled_at, c.used_at, valid.hit,
  case when valid.hit then c.outputs end as outputs, case when valid.hit then c.artifacts end as artifacts
from json_to_recordset($1::text::json) as asked(n int, namespace text, key text, ttl bigint, image text)
cross join lateral (
  select * from step_cache c
  where c.home = $2::text and c.namespace = asked.namespace and c.key = asked.key offset 0) as c
left join lateral (
  select i.image_id from image_ids i
  where i.home = $2::text and i.namespace = asked.namespace and i.image = asked.image offset 0) as i on true
cross join lateral (
  select coalesce(c.filled_at + asked.ttl > $3::bigint and c.expires_at > $3::bigint, false)
    and (c.image_id is null or i.image_id is null or c.image_id = i.image_id) as hit) as valid`;

const usedStatement = `
update step_cache c set used_at = $3::bigint
where c.ctid = any(array(
  select c.ctid from json_to_recordset($1::text::json) as hit(namespace text, key text)
  cross join lateral (
    select c.ctid from step_cache c
    where c.home = $2::text and c.namespace = hit.namespace and c.key = hit.key offset 0) as c))`;

/**
 * In the order of the keys, so that two who ask for the same ones never wait for each other. A filler is let go of only when
 * it is known to have ended: one that is not seen yet has just been recorded.
 */
const takeStatement = `
insert into step_cache as c (home, namespace, key, workflow, step, parts, filler_run, filler_step, filler_item, asked_at,
  filled_at, used_at)
select $2::text, namespace, key, workflow, step, parts, run_id, step, item, $3::bigint, filled_at, $3::bigint
from json_to_recordset($1::text::json) as a(
  n int, run_id text, step text, item int, namespace text, workflow text, key text, parts jsonb, filled_at bigint)
order by namespace, key
on conflict (home, namespace, key) do update set
  parts = excluded.parts, filler_run = excluded.filler_run, filler_step = excluded.filler_step,
  filler_item = excluded.filler_item, asked_at = excluded.asked_at
where c.filled_at is not distinct from excluded.filled_at and (
  c.filler_run is null
  or (c.filler_run = excluded.filler_run and c.filler_step = excluded.filler_step and c.filler_item = excluded.filler_item)
  or not exists (select from runs r where r.id = c.filler_run and r.finished_at is null)
  or exists (
    select from steps s where s.run_id = c.filler_run and s.step = c.filler_step and s.item = c.filler_item
      and (s.finished_at is not null or s.phase = 'Pending')))
returning c.namespace, c.key`;

const fillStatement = `
with entry as (
  select * from json_to_recordset($1::text::json) as e(
    namespace text, workflow text, step text, key text, ttl bigint, outputs jsonb, artifacts jsonb, bytes bigint,
    image text, image_id text)
), written as (
  insert into step_cache as c (home, namespace, key, workflow, step, parts, asked_at, filled_at, expires_at, used_at, outputs,
    artifacts, image_id, bytes)
  select $2::text, namespace, key, workflow, step, '{}', $3::bigint, $3::bigint, $3::bigint + ttl, $3::bigint, outputs,
    artifacts, image_id, bytes + octet_length(outputs::text)
  from entry order by namespace, key
  on conflict (home, namespace, key) do update set
    filler_run = null, filler_step = null, filler_item = null, filled_at = excluded.filled_at,
    expires_at = excluded.expires_at, used_at = excluded.used_at, outputs = excluded.outputs,
    artifacts = excluded.artifacts, image_id = excluded.image_id, bytes = excluded.bytes
), seen as (
  insert into image_ids as i (home, namespace, image, image_id, seen_at)
  select distinct on (namespace, image) $2::text, namespace, image, image_id, $3::bigint
  from entry where image is not null and image_id is not null order by namespace, image
  on conflict (home, namespace, image) do update set image_id = excluded.image_id, seen_at = excluded.seen_at
  where i.seen_at <= excluded.seen_at
)
select case when $4::boolean then pg_notify('windlass', '') end as notified`;

/** Rows that were asked for and never filled go by age, too, unless they are being filled. */
function evictQuery(home: string, now: number, usedBefore: number, maxBytes: number) {
  return sql`
    with kept as (
      select key, namespace, sum(bytes) over (order by used_at desc, namespace, key) as total,
        coalesce(expires_at <= ${now}::bigint, false) or used_at <= ${usedBefore}::bigint as over
      from step_cache where home = ${home} and filler_run is null
    ), dead as (
      select c.key, c.namespace from step_cache c
      where c.home = ${home} and c.filler_run is not null and c.asked_at <= ${usedBefore}::bigint
        and not exists (
          select from runs r join steps s on s.run_id = r.id
          where r.id = c.filler_run and r.finished_at is null
            and s.step = c.filler_step and s.item = c.filler_item and s.finished_at is null)
    ), removed as (
      delete from step_cache c
      using (select key, namespace from kept where over or total > ${maxBytes}::bigint union all select * from dead) as gone
      where c.home = ${home} and c.namespace = gone.namespace and c.key = gone.key
      returning 1
    )
    select count(*) as removed from removed`;
}
