import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRepository, type ScratchRepository, scratchGitEnvironment } from '../../test/fixtures/repository.ts';
import {
  BranchMissing,
  GitError,
  LimitExceeded,
  ObjectMissing,
  RepositoryUnreachable,
  UnsupportedUrl,
} from './errors.ts';
import { openRepository, type Repository, type RepositoryOptions } from './repository.ts';

const ada = { name: 'Ada Dev', email: 'ada@example.com' };
const grace = { name: 'Grace', email: 'grace@example.com' };
const linus = { name: 'Linus Ünïcode', email: 'linus@example.com' };
const unknown = '0123456789012345678901234567890123456789';
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
    const commit = await origin.commit({ 'a.txt': 'one' }, 'First\n\nWith a body', { author: grace });
    await origin.tag('light');
    await origin.tag('team/v1.0.0', { annotated: true, message: 'Release', tagger: linus });
    const plain = { commit, target: 'commit', tagger: null, author: grace, message: 'First\n\nWith a body' };
    const repository = await open();
    expect(await repository.fetch()).toEqual([
      { ...plain, ref: 'refs/heads/main' },
      { ...plain, ref: 'refs/tags/light' },
      { ...plain, ref: 'refs/tags/team/v1.0.0', tagger: linus, message: 'Release' },
    ]);
    expect(await repository.resolveTag('team/v1.0.0')).toMatchObject({ commit, tagger: linus });
    expect(await repository.resolveTag('team')).toBeNull();
    expect(await repository.resolveTag('*')).toBeNull();
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
  });

  test('keeps what was fetched once, when its tag is gone and the mirror was packed many times', async () => {
    await origin.commit({ a: '0' }, 'first');
    await origin.commit({ a: 'lost' }, 'lost');
    const lost = await origin.tag('v1');
    const repository = await open();
    await repository.fetch();
    await origin.deleteTag('v1');
    await origin.rewind(1);
    for (let i = 0; i < 25; i++) {
      await origin.commit({ a: String(i) }, `${i}`);
      await repository.fetch();
    }
    const packs = (await readdir(join(directory, 'mirror/objects/pack'))).filter((name) => name.endsWith('.pack'));
    expect(packs.length).toBeLessThan(10);
    const [entry] = await repository.tree(lost);
    expect(Buffer.from((await repository.read([entry?.id ?? ''])).get(entry?.id ?? '') ?? []).toString()).toBe('lost');
  });

  test('brings the tracked branches and the tags of the globs, nothing else', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await origin.tag('v1');
    await origin.tag('w1');
    await origin.tag('team/v1');
    await origin.branch('release');
    const release = await origin.commit({ a: '2' }, 'second');
    await origin.branch('secret');
    const secret = await origin.commit({ a: '3' }, 'third');
    const repository = await open({ branches: ['main', 'release'], tags: ['v*'] });
    expect(await commits(repository)).toEqual({
      'refs/heads/main': first,
      'refs/heads/release': release,
      'refs/tags/v1': first,
    });
    await expect(repository.tree(secret)).rejects.toThrow(ObjectMissing);
    expect(await repository.commitInfo(secret)).toBeNull();
  });

  test('a tag may become a folder of tags, and a packed ref is a ref', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await origin.tag('team');
    const repository = await open();
    await origin.git(['pack-refs', '--all'], 'bare');
    expect(await commits(repository)).toEqual({ 'refs/heads/main': first, 'refs/tags/team': first });
    await origin.deleteTag('team');
    await origin.tag('team/v1', { annotated: true });
    expect(await commits(repository)).toEqual({ 'refs/heads/main': first, 'refs/tags/team/v1': first });
  });

  test('tags of a tag are peeled to the commit; tags of a file or a folder say so', async () => {
    const commit = await origin.commit({ 'a/b': '1' }, 'first', { author: grace });
    await origin.tag('one', { annotated: true });
    await origin.tag('two', { annotated: true, commit: 'one', tagger: linus, message: 'outer' });
    await origin.git(['tag', '-a', '-m', 'x', 'folder', 'HEAD:a']);
    await origin.git(['tag', 'file', 'HEAD:a/b']);
    await origin.push();
    const refs = new Map((await (await open()).fetch()).map((ref) => [ref.ref, ref]));
    expect(refs.get('refs/tags/two')).toMatchObject({
      commit,
      target: 'commit',
      tagger: linus,
      author: grace,
      message: 'outer',
    });
    expect(refs.get('refs/tags/folder')).toMatchObject({ target: 'tree', author: ada });
    expect(refs.get('refs/tags/file')).toMatchObject({ target: 'blob', tagger: null });
  });

  test('two calls at once both see what was pushed before them', async () => {
    const repository = await open();
    const first = await origin.commit({ a: '1' }, 'first');
    const results = await Promise.all([commits(repository), commits(repository), commits(repository)]);
    expect(results).toEqual([1, 2, 3].map(() => ({ 'refs/heads/main': first })));
  });

  test('a lock left behind by a killed controller is in nobody’s way', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await (await open()).fetch();
    for (const lock of ['packed-refs.lock', 'HEAD.lock', 'config.lock', 'refs/heads/main.lock'])
      await writeFile(join(directory, 'mirror', lock), '');
    await origin.rewind(0);
    expect(await commits(await open())).toEqual({ 'refs/heads/main': first });
  });

  test('reads a shallow repository as far as it goes', async () => {
    for (const a of ['1', '2', '3']) await origin.commit({ a }, a);
    const shallow = join(directory, 'shallow.git');
    await origin.git(['clone', '-q', '--bare', '--depth', '2', `file://${origin.url}`, shallow]);
    const repository = await open({ url: shallow });
    const tip = (await commits(repository))['refs/heads/main'] ?? '';
    expect(await repository.tree(tip)).toHaveLength(1);
    expect(await repository.people(null, tip)).toEqual([ada]);
  });
});

describe('what can be wrong with a repository', () => {
  test('a machine too slow to read a commit is no judgement of the commit', async () => {
    const commit = await origin.commit({ a: '1' }, 'first');
    const [entry] = await (async () => {
      const repository = await open();
      await repository.fetch();
      return repository.tree(commit);
    })();
    const env = scratchGitEnvironment(directory);
    const slowGit = `#!/bin/sh\ncase " $* " in *" cat-file "*|*" ls-tree "*) exec sleep 60 ;; esac\nPATH='${env['PATH']}' exec git "$@"\n`;
    await writeFile(join(directory, 'git'), slowGit, { mode: 0o755 });
    const slow = await open({
      env: { ...env, PATH: `${directory}:${env['PATH']}` },
      limits: { timeoutMs: 2_000 },
    });
    const failures = await Promise.allSettled([slow.tree(commit), slow.read([entry?.id ?? ''])]);
    for (const failure of failures) {
      expect(failure).toMatchObject({
        status: 'rejected',
        reason: { message: expect.stringContaining('longer than 2 s') },
      });
      expect(failure).not.toMatchObject({ reason: expect.any(LimitExceeded) });
    }
  });

  test('a branch that is not there, or a repository without commits, is BranchMissing', async () => {
    const repository = await open();
    await expect(repository.fetch()).rejects.toThrow(/no branch main/);
    await origin.commit({ a: '1' }, 'first');
    expect(Object.keys(await commits(repository))).toEqual(['refs/heads/main']);
    await expect((await open({ branches: ['nope'] })).fetch()).rejects.toThrow(BranchMissing);
    await expect(open({ branches: ['--upload-pack=id'] })).rejects.toThrow(BranchMissing);
    await expect(open({ branches: ['a:refs/heads/main'] })).rejects.toThrow(BranchMissing);
  });

  test('another tracked branch that was deleted is left out, and is back when it is back', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await origin.branch('release');
    await origin.commit({ a: '2' }, 'second');
    const repository = await open({ branches: ['main', 'release', 'never'] });
    expect(Object.keys(await commits(repository))).toEqual(['refs/heads/main', 'refs/heads/release']);
    await origin.deleteBranch('release');
    expect(await commits(repository)).toEqual({ 'refs/heads/main': first });
    await origin.push();
    expect(Object.keys(await commits(repository))).toEqual(['refs/heads/main', 'refs/heads/release']);
  });

  test('one that vanishes is RepositoryUnreachable; what was fetched stays readable', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    const repository = await open();
    await repository.fetch();
    await rename(origin.url, `${origin.url}.away`);
    await expect(repository.fetch()).rejects.toThrow(RepositoryUnreachable);
    await expect(repository.fetch()).rejects.toThrow(/Check the URL/);
    await expect(repository.defaultBranch()).rejects.toThrow(RepositoryUnreachable);
    expect(await repository.tree(first)).toHaveLength(1);
    await rename(`${origin.url}.away`, origin.url);
    expect(await commits(repository)).toEqual({ 'refs/heads/main': first });
  });

  test('one that belongs to another user is refused with the command that trusts it', async ({ skip }) => {
    if (process.getuid?.() !== 0) {
      skip('only root can give a folder to another user');
      return;
    }
    await origin.commit({ a: '1' }, 'first');
    await chown(origin.url, 4711, 4711);
    const error = await (await open()).fetch().catch((caught: unknown) => caught);
    if (Array.isArray(error)) {
      skip('this git reads repositories of other users');
      return;
    }
    expect(error).toBeInstanceOf(RepositoryUnreachable);
    expect(String(error)).toContain(`git config --global --add safe.directory '${origin.url}'`);
  });

  test('more than the limit on size is LimitExceeded and leaves nothing behind', async () => {
    await origin.commit({ big: await noise(3_000_000) }, 'big');
    const repository = await open({ limits: { maxBytes: 1_000_000 } });
    await expect(repository.fetch()).rejects.toThrow(LimitExceeded);
    await expect(repository.fetch()).rejects.toThrow(/1000000 bytes/);
    expect(await readdir(join(directory, 'mirror/objects/pack'))).toEqual([]);
    await origin.rewind(0);
    await expect((await open({ limits: { maxBytes: 8_000_000 } })).fetch()).resolves.toHaveLength(1);
    await expect((await open({ limits: { maxBytes: 1_000_000 } })).fetch()).rejects.toThrow(/has reached the limit/);
  });

  test('a commit that fsck refuses is not fetched, and the message says which check', async () => {
    await origin.commit({ a: '1' }, 'first');
    const tree = await origin.git(['rev-parse', 'HEAD^{tree}']);
    const file = join(directory, 'commit');
    await writeFile(
      file,
      `tree ${tree}\nauthor <x@y> 1 +0000\ncommitter A <x@y> 99999999999999999999999 +0000\n\nbad\n`,
    );
    const bad = await origin.git(['hash-object', '-t', 'commit', '-w', '--literally', file], 'bare');
    await origin.git(['update-ref', 'refs/heads/main', bad], 'bare');
    await expect((await open()).fetch()).rejects.toThrow(/fsck error|badDateOverflow|missingNameBeforeEmail/);
  });

  test('a mirror that lost files heals; a damaged one is named, to be deleted', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    const repository = await open();
    await repository.fetch();
    const packs = join(directory, 'mirror/objects/pack');
    for (const name of await readdir(packs)) await rm(join(packs, name));
    expect(await commits(repository)).toEqual({ 'refs/heads/main': first });
    for (const name of await readdir(packs)) {
      await chmod(join(packs, name), 0o600);
      await writeFile(join(packs, name), 'garbage');
    }
    await expect(repository.fetch()).rejects.toThrow(`its mirror ${join(directory, 'mirror')} is damaged`);
    await expect(repository.tree(first)).rejects.toThrow(GitError);
    await rm(join(directory, 'mirror'), { recursive: true });
    expect(await commits(await open())).toEqual({ 'refs/heads/main': first });
  });

  test('a folder that cannot be made is named', async () => {
    await writeFile(join(directory, 'file'), '');
    await expect(open({ directory: join(directory, 'file/mirror') })).rejects.toThrow(GitError);
  });

  test('the user’s own settings do not change what is read', async () => {
    const commit = await origin.commit({ a: '1' }, 'Sübject', { author: linus });
    const config = join(directory, 'gitconfig');
    const settings =
      '[log]\n\tshowSignature = true\n[i18n]\n\tlogOutputEncoding = latin1\n[color]\n\tui = always\n[core]\n\tquotePath = true\n';
    await writeFile(config, settings);
    const repository = await open({ env: { ...scratchGitEnvironment(directory), GIT_CONFIG_GLOBAL: config } });
    expect(await repository.fetch()).toMatchObject([{ commit, author: linus, message: 'Sübject' }]);
    expect(await repository.people(null, commit)).toEqual([linus]);
  });

  test('a URL that would run a program runs none', async () => {
    const marker = join(directory, 'ran');
    for (const url of [
      `ext::sh -c "touch ${marker}"`,
      `--upload-pack=touch ${marker}`,
      `ssh://-oProxyCommand=touch ${marker}/x`,
    ])
      await expect(open({ url })).rejects.toThrow(UnsupportedUrl);
    await expect(stat(marker)).rejects.toThrow('ENOENT');
    await expect(open({ home: 'cluster' })).rejects.toThrow(/only works on a laptop/);
  });

  test('hooks of the user and of the mirror do not run', async () => {
    await origin.commit({ a: '1' }, 'first');
    const marker = join(directory, 'ran');
    const hooks = join(directory, 'hooks');
    await origin.git(['init', '-q', hooks]);
    await writeFile(join(hooks, 'reference-transaction'), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
    const config = join(directory, 'gitconfig');
    await writeFile(config, `[core]\n\thooksPath = ${hooks}\n`);
    await (await open({ env: { ...scratchGitEnvironment(directory), GIT_CONFIG_GLOBAL: config } })).fetch();
    await expect(stat(marker)).rejects.toThrow('ENOENT');
  });

  test('a machine without git is told so', async () => {
    const error = await open({ env: { PATH: '/nonexistent' } }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(GitError);
    expect(String(error)).toContain('Install git');
  });
});

describe('reading a commit', () => {
  test('lists files with mode, size and id; symlinks and submodules are told by their mode', async () => {
    const submodule = await origin.commit({ 'workflows/a.yaml': 'a: 1\n' }, 'first');
    const commit = await origin.commit(
      {
        'workflows/run.sh': { executable: '#!/bin/sh\n' },
        'workflows/link': { symlink: '/etc/passwd' },
        'workflows/vendored': { submodule },
        'workflows/ünï cödé\n\t"x".yaml': 'x',
        'workflows2/b.yaml': 'b',
        'README.md': 'hello',
      },
      'second',
    );
    const repository = await open();
    await repository.fetch();
    const entries = await repository.tree(commit, './workflows/');
    expect(entries.map(({ path, mode, size }) => `${mode} ${size} ${path}`)).toEqual([
      '100644 5 workflows/a.yaml',
      '120000 11 workflows/link',
      '100755 10 workflows/run.sh',
      `160000 0 workflows/vendored`,
      '100644 1 workflows/ünï cödé\n\t"x".yaml',
    ]);
    expect(entries[3]?.id).toBe(submodule);
    expect((await repository.tree(commit)).length).toBe(7);
    expect((await repository.tree(commit, 'README.md')).map(({ path }) => path)).toEqual(['README.md']);
    for (const path of ['nothing', '..', '*', ':(top)workflows', '-r'])
      expect(await repository.tree(commit, path)).toEqual([]);
  });

  test('reads bytes as they are, also of an empty file, also twice', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const commit = await origin.commit({ 'a.bin': bytes, 'b.empty': '', 'c.txt': 'line\n' }, 'first');
    const repository = await open();
    await repository.fetch();
    const ids = (await repository.tree(commit)).map(({ id }) => id);
    const files = await repository.read([...ids, ...ids]);
    expect(ids.map((id) => Buffer.from(files.get(id) ?? []).toString('latin1'))).toEqual([
      Buffer.from(bytes).toString('latin1'),
      '',
      'line\n',
    ]);
    expect(await repository.read([])).toEqual(new Map());
  });

  test('reads 5 MiB, refuses a byte more, and shows the size before', async () => {
    const limit = 5 * 1024 * 1024;
    const commit = await origin.commit({ most: 'x'.repeat(limit), over: 'x'.repeat(limit + 1) }, 'big');
    const repository = await open();
    await repository.fetch();
    const [most, over] = await repository.tree(commit);
    expect((await repository.read([most?.id ?? ''])).get(most?.id ?? '')?.length).toBe(limit);
    expect(over?.size).toBe(limit + 1);
    await expect(repository.read([over?.id ?? ''])).rejects.toThrow(LimitExceeded);
  });

  test('refuses more than 64 MiB in all', async () => {
    const size = 5 * 1024 * 1024;
    const files = Object.fromEntries(Array.from({ length: 13 }, (_, i) => [`f${i}`, String(i).padEnd(size, 'x')]));
    const commit = await origin.commit(files, 'big');
    const repository = await open();
    await repository.fetch();
    await expect(repository.read((await repository.tree(commit)).map(({ id }) => id))).rejects.toThrow(LimitExceeded);
  });

  test('ids that are none, or of nothing, are ObjectMissing', async () => {
    const commit = await origin.commit({ a: '1' }, 'first');
    const repository = await open();
    await repository.fetch();
    for (const id of [unknown, commit, 'HEAD', '--batch-all-objects', '']) {
      await expect(repository.read([id])).rejects.toThrow(ObjectMissing);
    }
    for (const id of [unknown, 'main', '--help']) await expect(repository.tree(id)).rejects.toThrow(ObjectMissing);
    await expect(repository.commitInfo('--help')).rejects.toThrow(ObjectMissing);
  });
});

describe('history', () => {
  test('tells ancestors, also across a merge, and knows nothing of what was never fetched', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await origin.branch('side');
    const side = await origin.commit({ b: '1' }, 'side');
    await origin.branch('main');
    const main = await origin.commit({ a: '2' }, 'second');
    await origin.git(['merge', '-q', '--no-ff', '-m', 'merge', 'side']);
    await origin.push();
    const repository = await open();
    const merge = (await commits(repository))['refs/heads/main'] ?? '';
    for (const commit of [first, side, main, merge]) expect(await repository.isAncestor(commit, merge)).toBe(true);
    expect(await repository.isAncestor(side, main)).toBe(false);
    expect(await repository.isAncestor(merge, first)).toBe(false);
    expect(await repository.isAncestor(unknown, merge)).toBe(false);
    expect(await repository.isAncestor(merge, unknown)).toBe(false);
    expect((await repository.commitInfo(merge))?.parents).toEqual([main, side]);
  });

  test('names everybody behind a change once: authors, committers, tagger', async () => {
    const first = await origin.commit({ a: '1' }, 'first', { author: ada });
    await origin.commit({ a: '2' }, 'second', { author: grace });
    const third = await origin.commit({ a: '3' }, 'third', { author: grace, committer: linus });
    const tagger = { name: 'Tagger', email: 'tagger@example.com' };
    await origin.tag('v1', { annotated: true, tagger });
    const repository = await open();
    await repository.fetch();
    const sorted = async (...args: Parameters<Repository['people']>) =>
      (await repository.people(...args)).map(({ name }) => name).toSorted();
    expect(await sorted(first, third)).toEqual(['Grace', 'Linus Ünïcode']);
    expect(await sorted(first, third, 'v1')).toEqual(['Grace', 'Linus Ünïcode', 'Tagger']);
    expect(await sorted(null, third)).toEqual(['Ada Dev', 'Grace', 'Linus Ünïcode']);
    expect(await sorted(unknown, third)).toEqual(['Ada Dev', 'Grace', 'Linus Ünïcode']);
    expect(await sorted(third, third)).toEqual([]);
  });

  test('tells a commit’s people, instants and message', async () => {
    const commit = await origin.commit({ a: '1' }, 'Subject\n\nBody', { author: grace, committer: linus });
    const repository = await open();
    await repository.fetch();
    const at = Date.UTC(2026, 0, 5, 12, 1, 0);
    expect(await repository.commitInfo(commit)).toEqual({
      commit,
      parents: [],
      author: grace,
      committer: linus,
      authoredAt: at,
      committedAt: at,
      message: 'Subject\n\nBody',
    });
  });

  test('knows the default branch; a detached HEAD is none', async () => {
    const first = await origin.commit({ a: '1' }, 'first');
    await origin.git(['push', '-q', 'origin', `${first}:refs/heads/trunk`]);
    await origin.git(['symbolic-ref', 'HEAD', 'refs/heads/trunk'], 'bare');
    expect(await (await open({ branches: [] })).defaultBranch()).toBe('trunk');
    await origin.git(['checkout', '-q', '--detach']);
    expect(await (await open({ url: origin.work, branches: [] })).defaultBranch()).toBeNull();
  });

  test('reads a working copy by path and by file URL', async () => {
    const first = await origin.commit({ a: '1' }, 'first', { push: false });
    for (const url of [origin.work, `file://${origin.work}`])
      expect(await commits(await open({ url, directory: `${directory}/m2` }))).toEqual({ 'refs/heads/main': first });
  });
});

/** Bytes that do not compress. */
async function noise(length: number): Promise<Uint8Array> {
  const { stdout } = await promisify(execFile)('openssl', ['rand', String(length)], {
    encoding: 'buffer',
    maxBuffer: length + 1,
  });
  return stdout;
}
