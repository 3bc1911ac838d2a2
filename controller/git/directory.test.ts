import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDirectory } from './directory.ts';
import { LimitExceeded, ObjectMissing } from './errors.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-test-'));
  await mkdir(join(root, 'workflows/prompts'), { recursive: true });
  await mkdir(join(root, '.git'));
  await mkdir(join(root, 'vendored/.git'), { recursive: true });
  await writeFile(join(root, '.git/config'), '');
  await writeFile(join(root, 'vendored/x'), '');
  await writeFile(join(root, 'README.md'), 'hello');
  await writeFile(join(root, 'workflows/a.yaml'), 'a: 1\n');
  await writeFile(join(root, 'workflows/run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(root, 'workflows/prompts/p.md'), 'p');
  await symlink('../README.md', join(root, 'workflows/link.yaml'));
  await symlink('workflows', join(root, 'also'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test('lists files with the modes that git would give them, by path', async () => {
  const entries = await openDirectory(root).tree();
  expect(entries.map(({ path, mode, size }) => `${mode} ${size} ${path}`)).toEqual([
    '100644 5 README.md',
    '120000 9 also',
    '160000 0 vendored',
    '100644 5 workflows/a.yaml',
    '120000 12 workflows/link.yaml',
    '100644 1 workflows/prompts/p.md',
    '100755 10 workflows/run.sh',
  ]);
});

test.each([
  ['workflows/prompts', ['workflows/prompts/p.md']],
  ['./workflows//prompts/', ['workflows/prompts/p.md']],
  ['README.md', ['README.md']],
  ['nothing', []],
  ['..', []],
  ['also/prompts', []],
])('below %s are %j', async (path, expected) => {
  expect((await openDirectory(root).tree(path)).map((entry) => entry.path)).toEqual(expected);
});

test('reads files, and of a symlink its target', async () => {
  const directory = openDirectory(root);
  const files = await directory.read(['workflows/a.yaml', 'workflows/link.yaml']);
  expect([...files].map(([id, bytes]) => [id, Buffer.from(bytes).toString()])).toEqual([
    ['workflows/a.yaml', 'a: 1\n'],
    ['workflows/link.yaml', '../README.md'],
  ]);
});

test.each(['nothing', 'workflows', '../x', '/etc/passwd', 'also/a.yaml', 'vendored', ''])(
  'refuses to read %j',
  async (id) => {
    await expect(openDirectory(root).read([id])).rejects.toThrow(ObjectMissing);
  },
);

test('refuses a file over 5 MiB', async () => {
  await writeFile(join(root, 'big'), '');
  await truncate(join(root, 'big'), 5 * 1024 * 1024 + 1);
  await expect(openDirectory(root).read(['big'])).rejects.toThrow(LimitExceeded);
});
