import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRepository, type ScratchRepository, scratchGitEnvironment } from '../../test/fixtures/repository.ts';
import { openRepository, type Repository, type RepositoryOptions } from './repository.ts';

const grace = { name: 'Grace', email: 'grace@example.com' };
const linus = { name: 'Linus Ünïcode', email: 'linus@example.com' };
let directory: string;
let origin: ScratchRepository;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-test-'));
  origin = await createRepository(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function open(options: Partial<RepositoryOptions> = {}): Promise<Repository> {
  return openRepository({
    directory: join(directory, 'mirror'),
    url: origin.url,
    branches: ['main'],
    tags: ['*', '*/*'],
    credentials: null,
    home: 'laptop',
    env: scratchGitEnvironment(directory),
    ...options,
  });
}

async function commits(repository: Repository): Promise<Record<string, string>> {
  return Object.fromEntries((await repository.fetch()).map(({ ref, commit }) => [ref, commit]));
}

describe('fetching', () => {
  test('lists the tracked branches and tags with their people, tags peeled', async () => {
    const first = await origin.commit({ 'a.txt': 'one' }, 'First\n\nWith a body', { author: grace });
    await origin.tag('light');
    await origin.tag('team/v1.0.0', { annotated: true, message: 'Release', tagger: linus });
    expect(await (await open()).fetch()).toEqual([
      {
        ref: 'refs/heads/main',
        commit: first,
        target: 'commit',
        tagger: null,
        author: grace,
        message: 'First\n\nWith a body',
      },
      {
        ref: 'refs/tags/light',
        commit: first,
        target: 'commit',
        tagger: null,
        author: grace,
        message: 'First\n\nWith a body',
      },
      {
        ref: 'refs/tags/team/v1.0.0',
        commit: first,
        target: 'commit',
        tagger: linus,
        author: grace,
        message: 'Release',
      },
    ]);
  });

  test('shows a tag that was moved, a tag that was deleted and a branch that was pushed by force', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await origin.tag('v1');
    await origin.tag('v2');
    const second = await origin.commit({ a: '2' }, 'second');
    const repository = await open();
    expect(await commits(repository)).toEqual({
      'refs/heads/main': second,
      'refs/tags/v1': first,
      'refs/tags/v2': first,
    });
    await origin.moveTag('v1', { annotated: true });
    await origin.deleteTag('v2');
    await origin.rewind(1);
    expect(await commits(repository)).toEqual({ 'refs/heads/main': first, 'refs/tags/v1': second });
    expect(await repository.isAncestor(second, first)).toBe(false);
    expect(await repository.tree(second)).toHaveLength(1);
  });
});
