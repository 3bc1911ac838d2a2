import { and, eq, sql } from 'drizzle-orm';
import type { AttemptKey } from '../core/run/types.ts';
import type { ArtifactReader, StoredArtifact } from '../seams/artifacts.ts';
import type { Drizzle } from './database.ts';
import { splitLines, wholeCharacters } from './log-lines.ts';
import { longLogs } from './schema/journal.ts';
import { attempts } from './schema/runs.ts';
import type { LogLine } from './types.ts';

/** The rest of a log that is longer than what is stored of it in pieces. */
export interface LongLog {
  /** Of its first byte, up to 3 before the end of those pieces. */
  position: number;
  /** Null: not kept yet, or never. */
  digest: string | null;
  bytes: number;
  /** The attempt has ended: what is not kept by now never will be. */
  over: boolean;
}

/** Notes that a log is longer than what is stored, and where the rest is once that is known. */
export async function writeLongLog(
  db: Drizzle,
  { runId, step, item, attempt }: AttemptKey,
  position: number,
  rest: StoredArtifact | null,
): Promise<void> {
  const { digest = null, bytes = 0 } = rest ?? {};
  await db
    .insert(longLogs)
    .values({ runId, step, item, attempt, position, digest, bytes })
    .onConflictDoUpdate({
      target: [longLogs.runId, longLogs.step, longLogs.item, longLogs.attempt],
      set: { position: sql`excluded.position`, digest: sql`excluded.digest`, bytes: sql`excluded.bytes` },
      // As with the pieces, the longer one wins: a controller that lags says what another has gone beyond.
      setWhere: sql`excluded.digest is not null and excluded.bytes >= ${longLogs.bytes}`,
    });
}

/** Null: all of the log there is is stored in pieces. */
export async function readLongLog(db: Drizzle, key: AttemptKey): Promise<LongLog | null> {
  const { position, digest, bytes } = longLogs;
  const [row] = await db
    .select({ position, digest, bytes, over: sql<boolean>`${attempts.finishedAt} is not null` })
    .from(longLogs)
    .leftJoin(
      attempts,
      and(
        eq(attempts.runId, longLogs.runId),
        eq(attempts.step, longLogs.step),
        eq(attempts.item, longLogs.item),
        eq(attempts.number, longLogs.attempt),
      ),
    )
    .where(
      and(
        eq(longLogs.runId, key.runId),
        eq(longLogs.step, key.step),
        eq(longLogs.item, key.item),
        eq(longLogs.attempt, key.attempt),
      ),
    );
  return row ?? null;
}

/** What follows, to whoever has read up to `end` in the pieces. It takes no place: the rest goes on from there. */
export function noticeOf({ position, digest, over }: LongLog, end: number): LogLine[] {
  if (digest !== null || over || end < position) return [];
  return [{ position: end, text: '\n[windlass] the rest of the output can be read when the attempt has ended\n' }];
}

/** Pieces of the rest from `position` on; where it is not there, one line that says so, in its place. */
export async function readRest(
  { position: first, digest, bytes, over }: LongLog,
  position: number,
  limitBytes: number,
  artifacts: Pick<ArtifactReader, 'read'> | null,
): Promise<LogLine[]> {
  if (digest === null) {
    // Behind all that is stored in pieces, so that whoever has read it goes on from its end.
    const behind = first + 4;
    if (!over || position >= behind) return [];
    return [{ position: behind, text: '\n[windlass] the rest of the output was not kept\n' }];
  }
  const start = Math.max(first, position);
  const end = first + bytes;
  if (start >= end) return [];
  const found = (await artifacts?.read(digest, start - first, Math.min(limitBytes, end - start))) ?? null;
  if (found === null) return [{ position: end, text: '\n[windlass] the rest of the output is no longer kept\n' }];
  const all = Buffer.from(found.buffer, found.byteOffset, found.byteLength);
  // At its end the rest of a character never comes.
  return splitLines(start + all.byteLength >= end ? all : all.subarray(0, wholeCharacters(all)), start);
}
