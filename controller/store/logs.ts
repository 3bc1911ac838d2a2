import type { SQL } from 'drizzle-orm';
import { and, asc, eq, gt, gte, lt, sql } from 'drizzle-orm';
import type { AttemptKey } from '../core/run/types.ts';
import { logPieceBytes, storedLogBytes } from '../seams/limits.ts';
import { createBatch } from './batch.ts';
import type { Changes } from './changes.ts';
import type { Database, Drizzle } from './database.ts';
import { splitLines, wholeCharacters } from './log-lines.ts';
import { noticeOf, readLongLog, readRest, writeLongLog } from './long-logs.ts';
import { logChunks } from './schema/journal.ts';
import type { LogHistory, LogLine } from './types.ts';

const notice = new TextEncoder().encode(`\n[log cut at ${storedLogBytes / 2 ** 20} MiB; the step runs on]\n`);

type Chunk = typeof logChunks.$inferInsert;

/**
 * Output of attempts, by byte offset. The first 4 MiB are kept here; the rest is where `overflow` said, and what is
 * appended behind them becomes one line that says so.
 */
export function createLogHistory(database: Database, changes: Changes): LogHistory {
  const { drizzle } = database;

  const chunks = createBatch<Chunk, void>({
    maxItems: 64,
    key: (c) => `${c.runId}/${c.step}/${c.item}/${c.attempt}/${c.position}`,
    async write(items) {
      await drizzle
        .insert(logChunks)
        .values(items)
        .onConflictDoUpdate({
          target: [logChunks.runId, logChunks.step, logChunks.item, logChunks.attempt, logChunks.position],
          set: { bytes: sql`excluded.bytes` },
          setWhere: sql`octet_length(${logChunks.bytes}) < octet_length(excluded.bytes)`,
        });
      if (changes.hasPeers()) await drizzle.execute(sql`select pg_notify('windlass', '')`);
      return items.map(() => undefined);
    },
  });

  return {
    async append(key, position, bytes) {
      const pieces = cut(key, position, bytes);
      if (pieces.length === 0) return;
      await Promise.all(pieces.map((piece) => chunks.add(piece, piece.bytes.byteLength)));
      changes.emit(`log/${key.runId}`);
    },
    async resumeAt(key) {
      const [row] = await drizzle
        .select({
          end: sql<number>`coalesce(max(${logChunks.position} + octet_length(${logChunks.bytes})), 0)::float8`,
        })
        .from(logChunks)
        .where(ofAttempt(key));
      return row?.end ?? 0;
    },
    async overflow(key, position, rest) {
      await writeLongLog(drizzle, key, position, rest);
      changes.emit(`log/${key.runId}`);
    },
    async read(key, position, limitBytes, artifacts) {
      const stored = await readStored(key, position, limitBytes);
      // Only at the border, where what is stored ends, or at the end of the log, may there be a rest.
      const end = stored.at(-1)?.position ?? null;
      if (end !== null && end < storedLogBytes - 3) return stored;
      const long = await readLongLog(drizzle, key);
      if (long === null) return stored;
      if (end !== null) return [...stored, ...noticeOf(long, end)];
      return readRest(long, position, limitBytes, artifacts);
    },
    onAppend: (runId, fn) => changes.on(`log/${runId}`, fn),
  };

  async function readStored(key: AttemptKey, position: number, limitBytes: number): Promise<LogLine[]> {
    const own = ofAttempt(key);
    const rows = await between(drizzle, own, position, limitBytes);
    if (rows.length > 0) return lines(rows, position, limitBytes);
    // Either the end, or output that was never stored: what lies behind the gap is read then.
    const [next] = await drizzle
      .select({ position: sql<number | null>`min(${logChunks.position})::float8` })
      .from(logChunks)
      .where(and(own, gte(logChunks.position, position)));
    if (!next || next.position === null) return [];
    return lines(await between(drizzle, own, next.position, limitBytes), next.position, limitBytes);
  }
}

function ofAttempt({ runId, step, item, attempt }: AttemptKey) {
  return and(
    eq(logChunks.runId, runId),
    eq(logChunks.step, step),
    eq(logChunks.item, item),
    eq(logChunks.attempt, attempt),
  );
}

/** Chunks that hold any of `limitBytes` from `position` on. None is longer than 64 KiB, so the key's index bounds the search. */
function between(db: Drizzle, attempt: SQL | undefined, position: number, limitBytes: number) {
  return db
    .select({ position: logChunks.position, bytes: logChunks.bytes })
    .from(logChunks)
    .where(
      and(
        attempt,
        gt(logChunks.position, position - logPieceBytes),
        lt(logChunks.position, position + limitBytes),
        sql`${logChunks.position} + octet_length(${logChunks.bytes}) > ${position}::bigint`,
      ),
    )
    .orderBy(asc(logChunks.position));
}

/** Chunks to store: at most 64 KiB each, nothing beyond 4 MiB but the notice, in the place of the first byte left out. */
function cut(key: AttemptKey, position: number, bytes: Uint8Array): Chunk[] {
  const { runId, step, item, attempt } = key;
  const kept = bytes.subarray(0, Math.max(0, storedLogBytes - position));
  const pieces: Chunk[] = [];
  for (let i = 0; i < kept.byteLength; i += logPieceBytes) {
    pieces.push({ runId, step, item, attempt, position: position + i, bytes: kept.subarray(i, i + logPieceBytes) });
  }
  if (position <= storedLogBytes && position + bytes.byteLength > storedLogBytes) {
    pieces.push({ runId, step, item, attempt, position: storedLogBytes, bytes: notice });
  }
  return pieces;
}

/** Pieces that end with a line or with what there is of one. A character that is not whole yet waits for the next read. */
function lines(chunks: { position: number; bytes: Uint8Array }[], from: number, limitBytes: number): LogLine[] {
  const parts: Uint8Array[] = [];
  let start: number | null = null;
  let end = from;
  let gap = false;
  for (const { position, bytes } of chunks) {
    if (position + bytes.byteLength <= end) continue;
    if (start === null) start = Math.max(from, position);
    // A gap (output that was never stored) ends this read; the next one begins behind it.
    else if (position > end) {
      gap = true;
      break;
    }
    const fresh = bytes.subarray(Math.max(0, Math.max(start, end) - position));
    parts.push(fresh);
    end = position + bytes.byteLength;
    if (end - start >= limitBytes) break;
  }
  if (start === null) return [];
  const all = Buffer.concat(parts).subarray(0, limitBytes);
  // Before a gap the rest of a character never comes.
  const whole = gap && end - start <= limitBytes ? all.byteLength : wholeCharacters(all);
  return splitLines(all.subarray(0, whole), start);
}
