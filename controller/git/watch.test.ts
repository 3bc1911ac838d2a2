import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createRepository, type ScratchRepository } from '../../test/fixtures/repository.ts';
import { watchLocal } from './watch.ts';

let directory: string;
let origin: ScratchRepository;
let stop: () => void = () => {};

beforeEach(async () => {
  // Stops the look once a second, so that only the file system can tell.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  directory = await mkdtemp(join(tmpdir(), 'windlass-test-'));
  origin = await createRepository(directory);
  await origin.commit({ a: '1' }, 'first');
});
afterEach(async () => {
  vi.useRealTimers();
  stop();
  await rm(directory, { recursive: true, force: true });
});

/** Watches `url`, does something, and waits until that was noticed. A change that is not noticed is a timeout. */
async function noticed(url: string, act: () => Promise<unknown>): Promise<true> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stop = watchLocal(url, resolve);
  await act();
  await promise;
  stop();
  return true;
}

test('notices a pushed commit, a tag, a tag in a new folder, a moved tag and a deleted one', async () => {
  expect(await noticed(origin.url, () => origin.commit({ a: '2' }, 'second'))).toBe(true);
  expect(await noticed(origin.url, () => origin.tag('v1'))).toBe(true);
  expect(await noticed(origin.url, () => origin.tag('team/deep/v1'))).toBe(true);
  expect(await noticed(origin.url, () => origin.moveTag('v1', { annotated: true }))).toBe(true);
  expect(await noticed(origin.url, () => origin.deleteTag('v1'))).toBe(true);
});

test('notices what changes only in packed-refs', async () => {
  await origin.tag('v1');
  await origin.git(['pack-refs', '--all'], 'bare');
  expect(await noticed(origin.url, () => origin.git(['tag', '-d', 'v1'], 'bare'))).toBe(true);
});

test('notices commits in a working copy and in a worktree of it', async () => {
  expect(await noticed(origin.work, () => origin.commit({ a: '2' }, 'second', { push: false }))).toBe(true);
  const worktree = join(directory, 'worktree');
  await origin.git(['worktree', 'add', '-q', '-b', 'other', worktree]);
  expect(
    await noticed(worktree, () => origin.git(['-C', worktree, 'commit', '-q', '--allow-empty', '-m', 'there'])),
  ).toBe(true);
  expect(
    await noticed(`file://${worktree}`, () => origin.commit({ a: '3' }, 'in the main copy', { push: false })),
  ).toBe(true);
});

test('goes on noticing after each change, one folder deeper each time', async () => {
  let seen = Promise.withResolvers<void>();
  stop = watchLocal(origin.url, () => seen.resolve());
  for (const name of ['a/v1', 'a/b/v1', 'a/b/c/v1']) {
    seen = Promise.withResolvers();
    await origin.tag(name);
    await expect(seen.promise).resolves.toBeUndefined();
  }
});

test('goes on noticing when a folder of tags went and came back at once', async () => {
  await origin.tag('team/v1');
  let seen = Promise.withResolvers<void>();
  stop = watchLocal(origin.url, () => seen.resolve());
  await origin.tag('team/v2', { push: false });
  await origin.git(['push', '-q', origin.url, ':refs/tags/team/v1', 'refs/tags/team/v2']);
  await seen.promise;
  for (const name of ['team/v3', 'team/v4']) {
    seen = Promise.withResolvers();
    await origin.tag(name);
    await expect(seen.promise).resolves.toBeUndefined();
  }
});

test('notices that a repository which was away is back, and that it goes and comes again', async () => {
  vi.useRealTimers();
  await rename(origin.url, `${origin.url}.away`);
  let seen = Promise.withResolvers<void>();
  stop = watchLocal(origin.url, () => seen.resolve());
  await rename(`${origin.url}.away`, origin.url);
  await seen.promise;
  seen = Promise.withResolvers();
  await rename(origin.url, `${origin.url}.away`);
  await seen.promise;
  seen = Promise.withResolvers();
  await rename(`${origin.url}.away`, origin.url);
  await seen.promise;
  seen = Promise.withResolvers();
  await origin.tag('v1');
  await expect(seen.promise).resolves.toBeUndefined();
});

test('leaves remote repositories alone, and refuses what is none', () => {
  let calls = 0;
  watchLocal('https://example.com/team.git', () => calls++)();
  watchLocal('git@example.com:team.git', () => calls++)();
  expect(calls).toBe(0);
  expect(() => watchLocal('ext::sh -c true', () => {})).toThrow('remote helper');
});
