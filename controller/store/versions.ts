import { and, asc, desc, eq, getTableColumns, inArray, sql } from 'drizzle-orm';
import type { FileStore } from '../seams/executor.ts';
import type { Database } from './database.ts';
import type { LeaderFence } from './leader-fence.ts';
import { numericId, page, readCursor } from './page.ts';
import { inPieces } from './pieces.ts';
import { blobs, refContents, versionNames, versions } from './schema/versions.ts';
import { storable } from './storable.ts';
import type { VersionHistory } from './types.ts';

const blobsPerInsert = 64;

const { id: _id, home: _home, ...nameColumns } = getTableColumns(versionNames);

/** Versions by content digest and their files, shared by all homes; their names in this one. */
export function createVersionHistory(
  { drizzle }: Database,
  home: string,
  fence: LeaderFence,
): VersionHistory & FileStore {
  return {
    async put(snapshots, contents, at) {
      await drizzle.transaction(async (tx) => {
        // Files first and in one order, so that two writers of the same version cannot wait for each other.
        const entries = [...contents].sort(([a], [b]) => (a < b ? -1 : 1));
        for (const piece of inPieces(entries, blobsPerInsert)) {
          const rows = piece.map(([sha256, bytes]) => ({ sha256, bytes }));
          await tx.insert(blobs).values(rows).onConflictDoNothing();
        }
        for (const snapshot of snapshots.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
          await tx
            .insert(versions)
            .values({ ...snapshot, spec: storable(snapshot.spec), createdAt: at })
            .onConflictDoNothing();
        }
      });
    },
    async get(digest) {
      const [row] = await drizzle.select().from(versions).where(eq(versions.digest, digest));
      if (!row) return null;
      return { digest: row.digest, workflow: row.workflow, spec: row.spec, files: row.files };
    },
    async name(names) {
      for (const piece of inPieces(names)) {
        const rows = piece.map((name) => ({ ...name, home }));
        await drizzle.insert(versionNames).values(rows).onConflictDoNothing();
      }
    },
    async list(filter, { limit, after }) {
      const cursor = after === undefined ? null : readCursor(after);
      const rows = await drizzle
        .select({ ...nameColumns, id: versionNames.id })
        .from(versionNames)
        .where(
          and(
            eq(versionNames.home, home),
            filter.project === undefined ? undefined : eq(versionNames.project, filter.project),
            filter.workflow === undefined ? undefined : eq(versionNames.workflow, filter.workflow),
            cursor ? sql`(${versionNames.at}, ${versionNames.id}) < (${cursor.at}, ${numericId(cursor)})` : undefined,
          ),
        )
        .orderBy(desc(versionNames.at), desc(versionNames.id))
        .limit(limit + 1);
      const { items, next } = page(rows, limit, (row) => ({ at: row.at, id: String(row.id) }));
      return { items: items.map(({ id: _row, ...name }) => name), next };
    },
    async namesOf(project, digests) {
      if (digests.length === 0) return [];
      return drizzle
        .select(nameColumns)
        .from(versionNames)
        .where(
          and(eq(versionNames.home, home), eq(versionNames.project, project), inArray(versionNames.digest, digests)),
        )
        .orderBy(asc(versionNames.id));
    },
    async content(sourceId, commit, path) {
      const [row] = await drizzle
        .select({ content: refContents.content })
        .from(refContents)
        .where(and(eq(refContents.sourceId, sourceId), eq(refContents.commit, commit), eq(refContents.path, path)));
      return row?.content ?? null;
    },
    async putContent(sourceId, commit, path, content) {
      await drizzle.transaction(async (tx) => {
        await fence(tx);
        await tx
          .insert(refContents)
          .values({ sourceId, commit, path, content: storable(content) })
          .onConflictDoNothing();
      });
    },
    async files(digest) {
      const [version] = await drizzle
        .select({ files: versions.files })
        .from(versions)
        .where(eq(versions.digest, digest));
      if (!version) throw new Error(`version ${digest} is not stored`);
      const hashes = [...new Set(Object.values(version.files))];
      const rows = hashes.length === 0 ? [] : await drizzle.select().from(blobs).where(inArray(blobs.sha256, hashes));
      const bytes = new Map(rows.map((row) => [row.sha256, row.bytes]));
      return new Map(
        Object.entries(version.files).map(([path, hash]) => {
          const content = bytes.get(hash);
          if (!content) throw new Error(`version ${digest}: the content of ${path} (${hash}) is not stored`);
          return [path, content];
        }),
      );
    },
  };
}
