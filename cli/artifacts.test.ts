import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Page, RunArtifact } from '../api/client.ts';
import type { Laptop } from '../controller/start-laptop.ts';
import { windlass } from '../test/fixtures/cli.ts';
import { startQuietLaptop } from '../test/fixtures/laptop.ts';
import { createRepository, type ScratchRepository } from '../test/fixtures/repository.ts';

const workflow = JSON.stringify({
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'Workflow',
  metadata: { name: 'build' },
  spec: {
    steps: [
      {
        name: 'make',
        run: 'mkdir -p dist/css; printf "<p>" > dist/index.html; : > dist/css/a; printf "r\\303\\251sum\\303\\251" > report.txt',
        artifacts: { out: { site: 'dist', report: 'report.txt' } },
      },
      {
        name: 'check',
        needs: ['make'],
        run: 'cat public/index.html report > all',
        artifacts: { in: { public: 'make.site', report: 'make.report' }, out: { all: 'all' } },
      },
      {
        name: 'each',
        forEach: { items: ['a', 'b'] },
        run: 'printf "$ITEM" > part',
        env: { ITEM: '${{ item }}' },
        artifacts: { out: { part: 'part' } },
      },
    ],
  },
});

let root = '';
let repository: ScratchRepository;
let laptop: Laptop;
let cwd: string;
let run: string;

const cli = (...argv: string[]) => windlass(argv, { cwd, env: { HOME: root } });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-cli-artifacts-'));
  repository = await createRepository(root);
  await repository.commit({ 'workflows/build.yaml': workflow }, 'first');
  laptop = await startQuietLaptop(root, repository.url);
  cwd = root;
  let ended = { code: 3, stdout: '', stderr: '' };
  // Until the workflow has been promoted there is none.
  while (ended.code === 3) ended = await cli('run', 'build', '--wait', '-o', 'json');
  expect(ended).toMatchObject({ code: 0 });
  run = (JSON.parse(ended.stdout) as { name: string }).name;
}, 60_000);

beforeEach(async () => {
  cwd = await mkdtemp(join(root, 'somewhere-'));
});

afterAll(async () => {
  await laptop?.controller.stop(0);
  await rm(root, { recursive: true, force: true });
});

test('what the steps of a run have kept is listed', async () => {
  const { stdout } = await cli('get', 'artifacts', run);
  expect(
    stdout
      .replaceAll(/sha256:[0-9a-f]{12}/g, 'DIGEST')
      .replaceAll(/ {2,}/g, '  ')
      .split('\n'),
  ).toEqual([
    'STEP  ITEM  NAME  KIND  SIZE  DIGEST',
    'check  -  all  file  11 B  DIGEST',
    'make  -  report  file  8 B  DIGEST',
    'make  -  site  folder  3.1 kB  DIGEST',
    'each  0 a  part  file  1 B  DIGEST',
    'each  1 b  part  file  1 B  DIGEST',
    '',
  ]);
  const { items } = JSON.parse((await cli('get', 'artifacts', run, '-o', 'json')).stdout) as Page<RunArtifact>;
  expect(items).toHaveLength(5);
  expect((await cli('get', 'artifacts')).stderr).toContain('windlass get artifacts RUN');
});

test('a file is written under its name, whole, and never over another', async () => {
  const first = await cli('artifact', 'download', run, 'check', 'all');
  expect(first).toMatchObject({ code: 0, stdout: '' });
  expect(await readFile(join(cwd, 'all'), 'utf8')).toBe('<p>résumé');
  await writeFile(join(cwd, 'all'), 'mine');
  const second = await cli('artifact', 'download', run, 'check', 'all');
  expect(second.code).toBe(2);
  expect(second.stderr).toContain('name a file with -o');
  expect(await readFile(join(cwd, 'all'), 'utf8')).toBe('mine');
  expect(await cli('artifact', 'download', run, 'check', 'all', '-o', 'all')).toMatchObject({ code: 0 });
  expect(await readFile(join(cwd, 'all'), 'utf8')).toBe('<p>résumé');
  expect(await readdir(cwd)).toEqual(['all']);
});

test('a folder is written as an archive', async () => {
  expect((await cli('artifact', 'download', run, 'make', 'site')).stderr).toMatch(/bytes written to .*site\.tar\n$/);
  execFileSync('tar', ['xf', 'site.tar'], { cwd });
  expect(await readFile(join(cwd, 'index.html'), 'utf8')).toBe('<p>');
});

test('standard output, and one item of a forEach', async () => {
  expect(await cli('artifact', 'download', run, 'make', 'report', '-o', '-')).toMatchObject({
    code: 0,
    stdout: 'résumé',
    stderr: '',
  });
  const item = await cli('artifact', 'download', run, 'each', 'part', '--item', '1', '-o', '-');
  expect(item.stdout).toBe('b');
});

test('a pipe or a device takes it, and stays what it is', async () => {
  const pipe = join(cwd, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const [taken, told] = await Promise.all([
    readFile(pipe, 'utf8'),
    cli('artifact', 'download', run, 'make', 'report', '-o', 'pipe'),
  ]);
  expect([taken, told.code]).toEqual(['résumé', 0]);
  expect((await stat(pipe)).isFIFO()).toBe(true);
  expect(await readdir(cwd)).toEqual(['pipe']);
});

test.each([
  [['artifact', 'download', 'RUN', 'make', 'nothing'], 3, 'There are: report, site'],
  [['artifact', 'download', 'RUN', 'each', 'part'], 3, 'kept per item: say --item 0..1'],
  [['artifact', 'download', 'nobody', 'make', 'site'], 3, 'there is no run nobody'],
  [['artifact', 'download', 'RUN', 'make', 'report', '-o', 'no/where'], 1, 'cannot be written (ENOENT)'],
  [['artifact', 'download', 'RUN', 'make'], 2, "missing required argument 'name'"],
  [['artifact', 'download', 'RUN', 'make', 'report', '--item', 'x'], 2, 'whole number'],
  [['get', 'artifacts', 'RUN', '--workflow', 'x'], 2, 'means nothing for artifacts'],
])('%j ends with %i', async (argv, code, message) => {
  const ended = await cli(...argv.map((arg) => (arg === 'RUN' ? run : arg)));
  expect([ended.code, ended.stderr]).toEqual([code, expect.stringContaining(message)]);
  expect(await readdir(cwd)).toEqual([]);
});
