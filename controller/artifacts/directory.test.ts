import { randomBytes } from 'node:crypto';
import { mkdtemp, mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeArtifactStore } from '../../test/conformance/artifacts.ts';
import { systemClock } from '../runtime/clock.ts';
import type { ArtifactStore } from '../seams/artifacts.ts';
import { createArtifactDirectory } from './directory.ts';

let root: string;
let store: ArtifactStore;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-artifacts-'));
  store = createArtifactDirectory(join(root, 'kept'), systemClock);
});
afterAll(() => rm(root, { recursive: true, force: true }));

describeArtifactStore('directory', () => store, 6 * 1024 * 1024);

test('no folder grows large, and nothing half-written stays', async () => {
  const fresh = join(root, 'fresh');
  const own = createArtifactDirectory(fresh, systemClock);
  const { digest } = await own.put(Readable.from([randomBytes(10)]), 10);
  await expect(own.put(Readable.from([randomBytes(10)]), 5)).rejects.toThrow('more than 5 bytes');
  const hex = digest.slice('sha256:'.length);
  const found = await stat(join(fresh, hex.slice(0, 2), hex.slice(2, 4), hex));
  expect(found.mode & 0o777).toBe(0o600);
  expect(await readdir(join(fresh, 'incoming'))).toEqual([]);
});

test('what a killed controller was writing is removed a day later', async () => {
  const fresh = join(root, 'abandoned');
  await mkdir(join(fresh, 'incoming'), { recursive: true });
  await writeFile(join(fresh, 'incoming', 'old'), 'x');
  await writeFile(join(fresh, 'incoming', 'new'), 'x');
  await utimes(join(fresh, 'incoming', 'old'), 0, 0);
  await createArtifactDirectory(fresh, systemClock).put(Readable.from([randomBytes(10)]), 10);
  expect(await readdir(join(fresh, 'incoming'))).toEqual(['new']);
});
