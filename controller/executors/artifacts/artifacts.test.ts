import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { type Header, pack } from 'tar-stream';
import { afterAll, expect, test } from 'vitest';
import { collect } from './collect.ts';
import { place } from './place.ts';
import { ArtifactRefused } from './refused.ts';

const root = mkdtempSync(join(tmpdir(), 'windlass-collect-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let directories = 0;
function freshDirectory(files: Record<string, string | Uint8Array> = {}): string {
  const directory = join(root, `work-${++directories}`);
  mkdirSync(directory);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return directory;
}

async function kept(directory: string, path: string): Promise<{ bytes: Buffer; folder: boolean }> {
  const { content, folder } = await collect(directory, path);
  return { bytes: await buffer(content), folder };
}

function refOf(bytes: Uint8Array, folder: boolean) {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { digest, bytes: bytes.byteLength, folder };
}

/** Everything below a directory: path → content; folders end in a slash. */
function treeOf(directory: string): Record<string, string> {
  const paths = readdirSync(directory, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    paths.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(directory.length + 1);
      return entry.isDirectory() ? [`${name}/`, ''] : [name, readFileSync(path, 'utf8')];
    }),
  );
}

test('a file is kept as it is and put elsewhere under another name', async () => {
  const { bytes, folder } = await kept(freshDirectory({ 'a/orders.json': '[1]' }), './a/orders.json');
  expect([bytes.toString(), folder]).toEqual(['[1]', false]);
  const to = freshDirectory();
  await place(to, 'in/all.json', refOf(bytes, folder), Readable.from([bytes]));
  expect(treeOf(to)).toEqual({ 'in/': '', 'in/all.json': '[1]' });
});

test('an empty file is an artifact, too', async () => {
  expect((await kept(freshDirectory({ nothing: '' }), 'nothing')).bytes.byteLength).toBe(0);
});

const name = fc.stringMatching(/^[a-zA-Z0-9 äé.-]{1,12}$/).filter((n) => n !== '.' && n !== '..');

test('a folder comes back with everything in it, whatever it is called', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(
        name.map((n) => `d${n}/f${n}`),
        fc.string(),
        { maxKeys: 6 },
      ),
      fc.dictionary(
        name.map((n) => `top${n}`),
        fc.string(),
        { maxKeys: 6 },
      ),
      async (deep, flat) => {
        const from = freshDirectory();
        mkdirSync(join(from, 'out/empty'), { recursive: true });
        for (const [path, content] of Object.entries({ ...deep, ...flat })) {
          mkdirSync(dirname(join(from, 'out', path)), { recursive: true });
          writeFileSync(join(from, 'out', path), content);
        }
        const { bytes, folder } = await kept(from, 'out');
        const to = freshDirectory();
        await place(to, 'got/it', refOf(bytes, folder), Readable.from([bytes]));
        expect(treeOf(join(to, 'got/it'))).toEqual(treeOf(join(from, 'out')));
      },
    ),
    { numRuns: 40 },
  );
});

test('the archive of a folder depends on names, contents and executable bits alone', async () => {
  const files = { 'out/b': 'b', 'out/a/x': 'x', 'out/a-': '-', 'out/run.sh': 'echo' };
  const one = freshDirectory(files);
  const other = freshDirectory(Object.fromEntries(Object.entries(files).toReversed()));
  utimesSync(join(other, 'out/b'), 1000, 1000);
  chmodSync(join(other, 'out/b'), 0o600);
  for (const directory of [one, other]) chmodSync(join(directory, 'out/run.sh'), 0o755);
  const [first, second] = [await kept(one, 'out'), await kept(other, 'out')];
  expect(first.bytes.equals(second.bytes)).toBe(true);
  chmodSync(join(other, 'out/run.sh'), 0o644);
  expect((await kept(other, 'out')).bytes.equals(first.bytes)).toBe(false);
  // Anybody's tar reads it.
  const listed = execFileSync('tar', ['tvf', '-'], {
    input: first.bytes,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], TZ: 'UTC' },
  });
  expect(
    listed
      .split('\n')
      .map((line) => line.replaceAll(/ +/g, ' '))
      .filter(Boolean),
  ).toEqual([
    'drwxr-xr-x 0/0 0 1970-01-01 00:00 a/',
    '-rw-r--r-- 0/0 1 1970-01-01 00:00 a/x',
    '-rw-r--r-- 0/0 1 1970-01-01 00:00 a-',
    '-rw-r--r-- 0/0 1 1970-01-01 00:00 b',
    '-rwxr-xr-x 0/0 4 1970-01-01 00:00 run.sh',
  ]);
});

test('executable files stay so', async () => {
  const from = freshDirectory({ 'out/run.sh': 'echo' });
  chmodSync(join(from, 'out/run.sh'), 0o755);
  const { bytes, folder } = await kept(from, 'out');
  const to = freshDirectory();
  await place(to, 'bin', refOf(bytes, folder), Readable.from([bytes]));
  expect(statSync(join(to, 'bin/run.sh')).mode & 0o111).toBe(0o111);
});

test('a link within the folder is replaced by what it leads to', async () => {
  const from = freshDirectory({ 'out/lib/a.js': 'a', 'out/bin/x': 'x' });
  symlinkSync('../lib/a.js', join(from, 'out/bin/a'));
  symlinkSync('lib', join(from, 'out/same'));
  const { bytes, folder } = await kept(from, 'out');
  const to = freshDirectory();
  await place(to, 'got', refOf(bytes, folder), Readable.from([bytes]));
  expect(treeOf(join(to, 'got'))).toEqual({
    'bin/': '',
    'bin/a': 'a',
    'bin/x': 'x',
    'lib/': '',
    'lib/a.js': 'a',
    'same/': '',
    'same/a.js': 'a',
  });
});

test.each<[string, (work: string) => string, RegExp]>([
  ['nothing is there', () => 'missing', /left nothing at missing: write it there/],
  ['a file stands where a folder should', () => 'file/below', /left nothing/],
  ['it is above the work directory', () => '../secret', /not below the work directory/],
  ['it is absolute', () => '/etc/passwd', /not below the work directory/],
  ['it is a link out', (work) => (symlinkSync('/etc/passwd', join(work, 'l')), 'l'), /outside of the work directory/],
  ['a folder on its way is a link out', (work) => (symlinkSync('/etc', join(work, 'e')), 'e/passwd'), /outside/],
  ['it is a link to nothing', (work) => (symlinkSync('nowhere', join(work, 'n')), 'n'), /left nothing/],
  [
    'a link in the folder leads out of it',
    (work) => (symlinkSync('../file', join(work, 'd/up')), 'd'),
    /d?up in it leads out of the folder/,
  ],
  [
    'a link in the folder leads nowhere',
    (work) => (symlinkSync('no', join(work, 'd/no')), 'd'),
    /no in it leads nowhere/,
  ],
  [
    'a link in the folder leads to itself from within',
    (work) => (symlinkSync('.', join(work, 'd/me')), 'd'),
    /leads to a folder that it lies in|leads out/,
  ],
  [
    'it is a pipe',
    (work) => (execFileSync('sh', ['-c', 'mkfifo "$0"', join(work, 'p')]), 'p'),
    /neither a file nor a folder/,
  ],
  [
    'a pipe is in the folder',
    (work) => (execFileSync('sh', ['-c', 'mkfifo "$0"', join(work, 'd/p')]), 'd'),
    /p in it is neither/,
  ],
])('what cannot be kept: %s', async (_, path, message) => {
  const work = freshDirectory({ file: 'x', 'd/x': 'x' });
  const asked = path(work);
  const refusal = await kept(work, asked).then(
    () => null,
    (error: unknown) => error,
  );
  expect(refusal).toBeInstanceOf(ArtifactRefused);
  expect((refusal as Error).message).toMatch(message);
});

async function archiveOf(headers: (Partial<Header> & Pick<Header, 'name'>)[]): Promise<Buffer> {
  const archive = pack();
  for (const header of headers) archive.entry(header, header.type === 'file' ? 'evil' : '');
  archive.finalize();
  return buffer(Readable.from(archive));
}

test.each<[string, (Partial<Header> & Pick<Header, 'name'>)[]]>([
  ['a link', [{ name: 'a', type: 'symlink', linkname: '/etc' }]],
  [
    'a link and a file through it',
    [
      { name: 'a', type: 'symlink', linkname: '/tmp' },
      { name: 'a/b', type: 'file', size: 4 },
    ],
  ],
  ['a hard link', [{ name: 'a', type: 'link', linkname: '/etc/passwd' }]],
  ['a device', [{ name: 'a', type: 'character-device' }]],
  ['a name above', [{ name: '../a', type: 'file', size: 4 }]],
  ['a name that climbs', [{ name: 'a/../../b', type: 'file', size: 4 }]],
  ['an absolute name', [{ name: '/tmp/windlass-evil', type: 'file', size: 4 }]],
])('an archive with %s is refused, and nothing is written outside', async (_, headers) => {
  const bytes = await archiveOf(headers);
  const around = freshDirectory();
  const work = join(around, 'work');
  mkdirSync(work);
  await expect(place(work, 'in', refOf(bytes, true), Readable.from([bytes]))).rejects.toThrow(ArtifactRefused);
  expect(Object.keys(treeOf(around)).filter((path) => !path.startsWith('work/'))).toEqual([]);
});

test('content that is not what its digest says is refused', async () => {
  const bytes = Buffer.from('right');
  const placed = place(freshDirectory(), 'a', refOf(bytes, false), Readable.from([Buffer.from('wrong')]));
  await expect(placed).rejects.toThrow(/damaged/);
});

test('an archive that breaks off or is none is refused', async () => {
  const bytes = await archiveOf([{ name: 'a', type: 'file', size: 4 }]);
  const half = bytes.subarray(0, 514);
  for (const wrong of [half, Buffer.from('no archive at all'.repeat(100))]) {
    const placed = place(freshDirectory(), 'a', refOf(wrong, true), Readable.from([wrong]));
    await expect(placed).rejects.toThrow(ArtifactRefused);
  }
});

test('a connection that breaks off is an error of the world', async () => {
  const cut = Readable.from(
    (function* () {
      yield Buffer.alloc(512);
      throw Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    })(),
  );
  const placed = place(freshDirectory(), 'a', refOf(Buffer.from('x'), true), cut);
  await expect(placed).rejects.toThrow('reset');
});

test('a place that is taken is said', async () => {
  const bytes = Buffer.from('x');
  for (const path of ['d', 'file/below']) {
    const placed = place(freshDirectory({ file: 'x', 'd/x': 'x' }), path, refOf(bytes, false), Readable.from([bytes]));
    await expect(placed).rejects.toThrow(/something else is there/);
  }
});
