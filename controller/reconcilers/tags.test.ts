import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRepository, type ScratchRepository, scratchGitEnvironment } from '../../test/fixtures/repository.ts';
import { openRepository, type Repository } from '../git/repository.ts';
import type { RefRow } from '../store/types.ts';
import { tagFacts } from './tags.ts';

let directory: string;
let origin: ScratchRepository;
let repository: Repository;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-tags-'));
  origin = await createRepository(directory);
  repository = await openRepository({
    directory: join(directory, 'mirror'),
    url: origin.url,
    branches: ['main'],
    tags: ['*'],
    credentials: null,
    home: 'laptop',
    env: scratchGitEnvironment(directory),
  });
});
afterEach(async () => {
  await repository.close();
  await rm(directory, { recursive: true, force: true });
});

function row(ref: string, commit: string, changes: Partial<RefRow> = {}): RefRow {
  const author = { name: 'Ada Dev', email: 'ada@example.com' };
  return {
    sourceId: 's',
    ref,
    commit,
    tagger: null,
    author,
    message: '',
    firstSeenAt: 0,
    movedTo: null,
    deleted: false,
    ...changes,
  };
}

test('a tag is on its branch by the commit it was first seen at, also after it was moved', async () => {
  const first = await origin.commit({ a: '1' }, 'first');
  await origin.tag('v1.0.0');
  await origin.branch('side');
  const aside = await origin.commit({ a: '2' }, 'aside');
  await origin.tag('v2.0.0');
  await repository.fetch();
  const facts = await tagFacts(
    repository,
    [
      row('refs/heads/main', first),
      row('refs/tags/v1.0.0', first),
      row('refs/tags/v2.0.0', aside),
      row('refs/tags/v0.1.0', first, { movedTo: aside }),
      row('refs/tags/v0.2.0', aside, { movedTo: first }),
      row('refs/tags/v0.3.0', first, { deleted: true }),
    ],
    'main',
  );
  expect(Object.fromEntries(facts.map((fact) => [fact.name, fact.onBranch]))).toEqual({
    'v1.0.0': true,
    'v2.0.0': false,
    'v0.1.0': true,
    'v0.2.0': false,
    'v0.3.0': false,
  });
});

test('thousands of deleted tags cost no git command, and moved ones never more than one at a time', async () => {
  const tip = await origin.commit({ a: '1' }, 'first');
  await repository.fetch();
  let running = 0;
  let most = 0;
  let asked = 0;
  const counting: Repository = {
    ...repository,
    async isAncestor(ancestor, descendant) {
      asked++;
      most = Math.max(most, ++running);
      try {
        return await repository.isAncestor(ancestor, descendant);
      } finally {
        running--;
      }
    },
  };
  const deleted = Array.from({ length: 2000 }, (_, i) => row(`refs/tags/v0.0.${i}`, tip, { deleted: true }));
  const moved = Array.from({ length: 5 }, (_, i) => row(`refs/tags/v1.0.${i}`, tip, { movedTo: 'f'.repeat(40) }));
  const facts = await tagFacts(counting, [row('refs/heads/main', tip), ...deleted, ...moved], 'main');
  expect(facts).toHaveLength(2005);
  expect({ asked, most }).toEqual({ asked: 5, most: 1 });
});
