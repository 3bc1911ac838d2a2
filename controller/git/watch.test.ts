import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRepository, type ScratchRepository } from '../../test/fixtures/repository.ts';
import { watchLocal } from './watch.ts';

let directory: string;
let origin: ScratchRepository;
let stop: () => void = () => {};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-test-'));
  origin = await createRepository(directory);
  await origin.commit({ a: '1' }, 'first');
});
afterEach(async () => {
  stop();
  await rm(directory, { recursive: true, force: true });
});

/** Watches `url`, does something, and waits until that was noticed. A change that is not noticed is a timeout. */
async function noticed(url: string, act: () => Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stop = watchLocal(url, resolve);
  await act();
  await promise;
  stop();
}

test('notices a pushed commit, a tag, a tag in a new folder, a moved tag and a deleted one', async () => {
  await noticed(origin.url, () => origin.commit({ a: '2' }, 'second'));
  await noticed(origin.url, () => origin.tag('v1'));
  await noticed(origin.url, () => origin.tag('team/deep/v1'));
  await noticed(origin.url, () => origin.moveTag('v1', { annotated: true }));
  await noticed(origin.url, () => origin.deleteTag('v1'));
});

test('notices what changes only in packed-refs', async () => {
  await origin.tag('v1');
  await origin.git(['pack-refs', '--all'], 'bare');
  await noticed(origin.url, () => origin.git(['tag', '-d', 'v1'], 'bare'));
});

test('notices commits in a working copy and in a worktree of it', async () => {
  await noticed(origin.work, () => origin.commit({ a: '2' }, 'second', { push: false }));
  const worktree = join(directory, 'worktree');
  await origin.git(['worktree', 'add', '-q', '-b', 'other', worktree]);
  await noticed(worktree, () => origin.git(['-C', worktree, 'commit', '-q', '--allow-empty', '-m', 'there']));
  await noticed(`file://${worktree}`, () => origin.commit({ a: '3' }, 'in the main copy', { push: false }));
});

test('goes on noticing after each change, one folder deeper each time', async () => {
  let seen = Promise.withResolvers<void>();
  stop = watchLocal(origin.url, () => seen.resolve());
  for (const name of ['a/v1', 'a/b/v1', 'a/b/c/v1']) {
    seen = Promise.withResolvers();
    await origin.tag(name);
    await seen.promise;
  }
});

test('notices that a repository which was away is back', async () => {
  await rename(origin.url, `${origin.url}.away`);
  await noticed(origin.url, () => rename(`${origin.url}.away`, origin.url));
});

test('leaves remote repositories alone, and refuses what is none', () => {
  let calls = 0;
  watchLocal('https://example.com/team.git', () => calls++)();
  watchLocal('git@example.com:team.git', () => calls++)();
  expect(calls).toBe(0);
  expect(() => watchLocal('ext::sh -c true', () => {})).toThrow('remote helper');
});
