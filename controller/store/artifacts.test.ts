import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { runRow, stepRow } from '../../test/fixtures/history.ts';
import { startPostgres } from '../../test/fixtures/postgres.ts';
import { createArtifactDirectory } from '../artifacts/directory.ts';
import type { RunRow } from '../core/run/types.ts';
import type { ArtifactStore, StoredArtifact } from '../seams/artifacts.ts';
import { createArtifactHistory } from './artifacts.ts';
import { type Database, openPglite, openPostgres } from './database.ts';
import { artifacts } from './schema/artifacts.ts';
import { stepCache } from './schema/cache.ts';
import { longLogs } from './schema/journal.ts';
import { runs, steps } from './schema/runs.ts';
import type { ArtifactHistory } from './types.ts';

const hour = 3_600_000;
const keptMs = 30 * 24 * hour;

const directory = await mkdtemp(join(tmpdir(), 'windlass-kept-'));
const server = await startPostgres();
afterAll(async () => {
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('which artifacts are kept: PGlite', () => {
  describeKept(() => openPglite(join(directory, 'pglite')));
});

const skipped = server ? '' : ' (skipped: no initdb and pg_ctl, or no user `postgres`, on this machine)';
describe.runIf(server)(`which artifacts are kept: PostgreSQL${skipped}`, () => {
  describeKept(() => openPostgres(server?.url ?? ''));
});

let homes = 0;

function describeKept(open: () => Promise<Database>): void {
  let database: Database;
  let clock: ReturnType<typeof createVirtualClock>;
  let history: ArtifactHistory;
  let store: ArtifactStore;
  let home: string;

  beforeAll(async () => {
    database = await open();
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(() => {
    home = `home-${++homes}`;
    clock = createVirtualClock(1_800_000_000_000);
    history = createArtifactHistory(database, home, clock);
    store = createArtifactDirectory(join(directory, home), clock);
  });

  const put = (bytes: Uint8Array = randomBytes(50)): Promise<StoredArtifact> =>
    store.put(Readable.from([bytes]), 1e6, (artifact) => history.note([artifact]));
  const sweep = () => history.sweep({ keptMs, remove: (digests) => store.delete(digests) });
  const isThere = async ({ digest }: StoredArtifact): Promise<boolean> => {
    const found = await store.get(digest);
    found?.content.destroy();
    return found !== null;
  };

  async function refer(artifact: StoredArtifact, run: Partial<RunRow> = {}): Promise<string> {
    const id = `${home}-run-${randomBytes(4).toString('hex')}`;
    await database.drizzle.insert(runs).values({ ...runRow(id, run), home });
    const kept = {
      other: { digest: `sha256:${'0'.repeat(64)}`, bytes: 1, folder: false },
      it: { ...artifact, folder: false },
    };
    await database.drizzle.insert(steps).values(stepRow(id, 'make', { artifacts: kept }));
    return id;
  }

  test('what nobody refers to goes after a day, not before: its commit may still come', async () => {
    const artifact = await put();
    clock.advance(24 * hour - 1);
    expect(await sweep()).toBe(0);
    expect(await isThere(artifact)).toBe(true);
    clock.advance(1);
    expect(await sweep()).toBe(1);
    expect(await isThere(artifact)).toBe(false);
    expect(await sweep()).toBe(0);
  });

  test('what is put again begins a new day', async () => {
    const bytes = randomBytes(9);
    const artifact = await put(bytes);
    clock.advance(23 * hour);
    await put(bytes);
    clock.advance(23 * hour);
    await sweep();
    expect(await isThere(artifact)).toBe(true);
  });

  test('what a run refers to stays while the run goes on, and for its time afterwards', async () => {
    const artifact = await put();
    const id = await refer(artifact);
    clock.advance(90 * 24 * hour);
    expect(await sweep()).toBe(0);
    await database.drizzle.update(runs).set({ finishedAt: clock.now() }).where(eq(runs.id, id));
    clock.advance(keptMs - 1);
    expect(await sweep()).toBe(0);
    expect(await isThere(artifact)).toBe(true);
    clock.advance(1);
    expect(await sweep()).toBe(1);
    expect(await isThere(artifact)).toBe(false);
  });

  test('the rest of a long log goes as the artifacts of its run do', async () => {
    const artifact = await put();
    const runId = `${home}-long`;
    await database.drizzle.insert(runs).values({ ...runRow(runId, { finishedAt: clock.now() }), home });
    const log = { runId, step: 'make', attempt: 1, position: 4_194_301, ...artifact };
    await database.drizzle.insert(longLogs).values(log);
    clock.advance(keptMs - 1);
    expect(await sweep()).toBe(0);
    clock.advance(1);
    expect(await sweep()).toBe(1);
    expect(await isThere(artifact)).toBe(false);
  });

  test('of two runs the last one counts, and another home’s does not', async () => {
    const artifact = await put();
    await refer(artifact, { finishedAt: clock.now() });
    await refer(artifact, { finishedAt: clock.now() + 5 * hour });
    clock.advance(keptMs + 2 * hour);
    expect(await sweep()).toBe(0);
    clock.advance(4 * hour);
    expect(await sweep()).toBe(1);

    const own = await put();
    const [real, other] = [home, `${home}-other`];
    home = other;
    await refer(own);
    home = real;
    clock.advance(25 * hour);
    expect(await sweep()).toBe(1);
  });

  test('what an entry of the cache refers to stays as long as the entry is good', async () => {
    const artifact = await put();
    const row = { home, namespace: 'dev', key: 'k', workflow: 'w', step: 's', parts: {}, askedAt: 0, usedAt: 0 };
    const kept = { it: { ...artifact, folder: true } };
    await database.drizzle.insert(stepCache).values({ ...row, artifacts: kept, expiresAt: clock.now() + 48 * hour });
    clock.advance(47 * hour);
    expect(await sweep()).toBe(0);
    clock.advance(2 * hour);
    expect(await sweep()).toBe(1);
  });

  test('many go in turns', async () => {
    const all = await Promise.all(Array.from({ length: 130 }, () => put()));
    const [first] = all as [StoredArtifact];
    await refer(first);
    clock.advance(25 * hour);
    expect(await sweep()).toBe(129);
    expect(await isThere(first)).toBe(true);
  });

  test('content that is put while it is being removed is there afterwards', async () => {
    const bytes = randomBytes(77);
    const artifact = await put(bytes);
    clock.advance(25 * hour);
    const removing = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const swept = history.sweep({
      keptMs,
      async remove(digests) {
        removing.resolve();
        await go.promise;
        await store.delete(digests);
      },
    });
    await removing.promise;
    let done = false;
    const again = put(bytes).then(() => (done = true));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(done).toBe(false);
    go.resolve();
    expect(await swept).toBe(1);
    await again;
    expect(await isThere(artifact)).toBe(true);
    expect(await sweep()).toBe(0);
    clock.advance(25 * hour);
    expect(await sweep()).toBe(1);
  });

  test('a store that is away removes nothing and forgets nothing', async () => {
    const artifact = await put();
    clock.advance(25 * hour);
    const away = history.sweep({ keptMs, remove: () => Promise.reject(new Error('away')) });
    await expect(away).rejects.toThrow('away');
    expect(await database.drizzle.select().from(artifacts).where(eq(artifacts.home, home))).toHaveLength(1);
    expect(await sweep()).toBe(1);
    expect(await isThere(artifact)).toBe(false);
  });

  test('a run’s own are told from others', async () => {
    const artifact = await put();
    const id = await refer(artifact);
    expect(await history.isOf(id, artifact.digest)).toBe(true);
    expect(await history.isOf(id, `sha256:${'1'.repeat(64)}`)).toBe(false);
    expect(await history.isOf('another', artifact.digest)).toBe(false);
  });
}
