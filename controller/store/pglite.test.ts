import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeObjectStore } from '../../test/conformance/objects.ts';
import { describeLocks } from '../../test/conformance/locks.ts';
import { describeLongLogs } from '../../test/conformance/store-logs.ts';
import { describeApprovalLooks } from '../../test/conformance/store-approvals.ts';
import { describeStepCache } from '../../test/conformance/store-cache.ts';
import { describeRuns } from '../../test/conformance/store-runs.ts';
import { describeHistory } from '../../test/conformance/store.ts';
import { runRow, transition } from '../../test/fixtures/history.ts';
import { startReplica } from '../../test/fixtures/replica-process.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from './open.ts';
import type { Store } from './types.ts';

const home = 'laptop';
let directory: string;
let store: Store;

function open(name: string): Promise<Store> {
  return openStore({ dataDir: join(directory, name) }, { clock: systemClock, home });
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-store-'));
  store = await open('shared');
}, 60_000);

afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

describeObjectStore('PGlite', () => store.objects);
describeHistory('PGlite', () => store);
describeRuns('PGlite', () => store);
describeLongLogs('PGlite', () => store);
describeStepCache('PGlite', () => store);
describeApprovalLooks('PGlite', () => store);
describeLocks('PGlite', () => store);

test('a data directory in use is refused, with the process that has it', async () => {
  const refused = open('shared');
  await expect(refused).rejects.toMatchObject({ name: 'DataDirectoryInUse', pid: process.pid });
  await expect(refused).rejects.toThrow(/in use by process \d+.*(stop|choose|remove)/is);
});

test('after kill -9 in the middle of writing, nothing acknowledged is lost, and its runs are free', async () => {
  const dataDir = join(directory, 'killed');
  const child = await startReplica({ dataDir }, home);
  await expect(open('killed')).rejects.toMatchObject({ name: 'DataDirectoryInUse', pid: child.pid });
  child.send({ do: 'insert' });
  const acknowledged: unknown[] = [];
  while (acknowledged.length < 200) acknowledged.push(await child.read());
  child.kill('SIGKILL');
  await child.exited;

  const reopened = await open('killed');
  const rows = await reopened.runs.load(acknowledged as string[]);
  expect(rows).toHaveLength(200);
  const claims = await reopened.runs.claim(200);
  expect(claims).toHaveLength(200);
  await reopened.close();
}, 60_000);

test('a first start that was killed half-way is begun again', async () => {
  const unfinished = join(directory, 'half', 'postgres.new');
  await mkdir(unfinished, { recursive: true });
  await writeFile(join(unfinished, 'PG_VERSION'), '');
  const opened = await open('half');
  await opened.ping();
  await opened.close();
  expect((await readdir(join(directory, 'half'))).toSorted()).toEqual(['postgres']);
}, 60_000);

test('after a restart, runs that were owned are claimed at once and old fences are void', async () => {
  const first = await open('restarted');
  const run = runRow('r1');
  await first.runs.create(run);
  const [claim] = await first.runs.claim(1);
  await first.close();
  const second = await open('restarted');
  const [next] = await second.runs.claim(1);
  expect(next).toEqual({ id: 'r1', fence: (claim?.fence ?? 0) + 1 });
  await expect(second.runs.commit(transition(run), claim?.fence ?? 0)).rejects.toMatchObject({ name: 'FenceLost' });
  expect(second.isLeader()).toBe(true);
  await second.promotions.commit(
    { project: 'p', name: 'e', uid: 'u' },
    { promotions: [], activate: [], names: [], events: [] },
    1,
  );
  await second.close();
}, 60_000);

test('after a restart, looks at approvals of what waits are there, those of what has ended are not', async () => {
  const first = await open('looked');
  const [waits, ended] = [runRow('waits'), runRow('ended', { phase: 'Failed', outcome: 'Failed', finishedAt: 5 })];
  for (const run of [waits, ended]) {
    await first.runs.create(run);
    await first.approvals.put(run.id, { policy: null, entries: { aa: false } }, 0);
  }
  await first.close();
  const second = await open('looked');
  expect(await second.approvals.get('waits')).toMatchObject({ look: { entries: { aa: false } } });
  expect(await second.approvals.get('ended')).toBeNull();
  await second.close();
}, 60_000);

test('a data directory that is a file is an error, not a crash', async () => {
  await writeFile(join(directory, 'file'), '');
  await expect(open('file')).rejects.toThrow(/EEXIST|ENOTDIR/);
});
