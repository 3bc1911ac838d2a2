import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Invocation, invoke, windlass } from '../test/fixtures/cli.ts';
import { createRepository, type ScratchRepository } from '../test/fixtures/repository.ts';
import { smallestWorkflow } from './announce.ts';

/** Where this machine is reached besides loopback, if anywhere. */
const elsewhere = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .flatMap(({ family, internal, address }) => (family === 'IPv4' && !internal ? [address] : []));

let root = '';
let home = '';
let repository: ScratchRepository;

/** Everything of these tests is served from one data directory, as making another takes seconds. */
const up = (...argv: string[]) => invoke(['up', '--port', '0', ...argv], { cwd: home });
const ready = (serving: Invocation) => serving.printed('Ctrl-C stops');

async function stop(serving: Invocation): Promise<number> {
  serving.interrupt();
  return await serving.exitCode;
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-up-'));
  home = join(root, 'home');
  await mkdir(home);
  await writeFile(join(root, 'file'), '');
  await promisify(execFile)('git', ['init', '-q', join(root, 'empty')]);
  repository = await createRepository(root, 'trunk');
  await repository.commit({ 'README.md': 'nothing yet' }, 'first');
});

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

describe('up, one start after the other', () => {
  test('a repository without workflows is served, and the smallest workflow shown, which works', async () => {
    const serving = up('--repo', repository.url);
    await ready(serving);
    expect(serving.stdout()).toContain(`serves ${repository.url}, branch trunk, at http://127.0.0.1:`);
    expect(serving.stdout()).toContain('to be committed to trunk as workflows/hello.yaml');
    expect(serving.stdout()).toContain(smallestWorkflow.replace(/^(?=.)/gm, '    '));
    expect((await stat(join(home, '.windlass'))).mode & 0o077).toBe(0);
    expect(await readFile(join(home, '.windlass/.gitignore'), 'utf8')).toBe('*\n');

    await repository.commit({ 'workflows/hello.yaml': smallestWorkflow }, 'hello');
    await serving.printed(/Promotion default\/dev-\S+: Promoted/);
    const run = await windlass(['run', 'hello', '--wait'], { cwd: home });
    expect(run.code).toBe(0);
    await serving.printed(/WorkflowRun dev\/hello-\w+: RunSucceeded/);

    const { code, stderr } = await windlass(['up', '--port', '0'], { cwd: home });
    expect(stderr).toContain('is in use by process');
    expect(code).toBe(1);
    const token = (await readFile(join(home, '.windlass/token'), 'utf8')).trim();
    expect(await stop(serving)).toBe(0);
    expect(serving.stdout() + serving.stderr()).not.toContain(token);
    expect((await windlass(['get', 'runs'], { cwd: home })).code).toBe(5);
  });

  test('a second start goes on with the same repository, also when that is gone', async () => {
    await rename(repository.url, `${repository.url}.gone`);
    const serving = up();
    await ready(serving);
    expect(serving.stderr()).toMatch(/Cannot read .* What was read before is served meanwhile/);
    expect(serving.stdout()).toMatch(/dev +hello +dev/);
    expect((await windlass(['run', 'hello', '--wait'], { cwd: home })).code).toBe(0);
    expect(await stop(serving)).toBe(0);
    await rename(`${repository.url}.gone`, repository.url);
  });

  test.each(['0.0.0.0', ...elsewhere.slice(0, 1)])(
    '--host %s answers where it says, and commands find it',
    async (host) => {
      const serving = up('--host', host);
      await ready(serving);
      const [, name, port] = /, at http:\/\/(\S+):(\d+)$/m.exec(serving.stdout()) ?? [];
      expect(name).toBe(host === '0.0.0.0' ? '127.0.0.1' : host);
      expect(serving.stderr()).not.toContain('progress is no longer shown');
      expect(await windlass(['get', 'runs'], { cwd: home })).toMatchObject({ code: 0 });
      for (const address of host === '0.0.0.0' ? elsewhere : [host]) {
        expect((await fetch(`http://${address}:${port}/healthz`)).status, address).toBe(200);
      }
      expect(await stop(serving)).toBe(0);
    },
  );

  test('what a mistake in the repository is, is told', async () => {
    await repository.commit({ 'workflows/hello.yaml': smallestWorkflow.replace('steps', 'stepz') }, 'mistake');
    const serving = up();
    await serving.printed(/workflows\/hello\.yaml:6:3: error: unknown field "stepz"/);
    expect(await stop(serving)).toBe(0);
  });

  test('a second Ctrl-C ends at once what the first leaves time for', async () => {
    const serving = up('--log-level', 'silent');
    await ready(serving);
    await repository.commit({ 'workflows/hello.yaml': smallestWorkflow.replace('echo', 'sleep 5; echo') }, 'slow');
    await serving.printed(/Promotion default\/dev-\S+: Promoted/);
    await windlass(['run', 'hello', '--name', 'slow-one'], { cwd: home });
    await serving.printed('dev/slow-one: RunStarted');
    serving.interrupt();
    await serving.printed('stopping');
    serving.interrupt();
    expect(await serving.exitCode).toBe(130);
    expect(serving.stdout()).toMatch(/\nended\n$/);
    expect((await stat(join(home, '.windlass/lock'))).isFile()).toBe(true);
    // Here, unlike in a process of its own, the controller goes on stopping.
    while (await exists(join(home, '.windlass/lock'))) await new Promise((resolve) => setTimeout(resolve, 100));
  });
});

describe('up that cannot', () => {
  const broken = (argv: string[], env: Record<string, string> = {}) => windlass(['up', ...argv], { cwd: root, env });

  test('a repository without a commit', async () => {
    const { code, stderr } = await broken(['--repo', join(root, 'empty'), '--data', 'of-empty']);
    expect(stderr).toContain('commit once first');
    expect(code).toBe(1);
  });

  test('a taken port', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const { code, stderr } = await broken(['--repo', repository.url, '--port', String(port), '--data', 'taken']);
    expect(stderr).toContain(`Cannot listen on 127.0.0.1:${port}: the port is taken`);
    expect(code).toBe(1);
    await new Promise((resolve) => other.close(resolve));
  });

  test.each([
    [['--port', 'x'], {}, 2, 'from 0 to 65535'],
    [['--host', '[::1]'], {}, 2, 'an address or a name such as'],
    [['--host', ''], {}, 2, 'an address or a name such as'],
    [['--max-steps-per-namespace', '0'], {}, 2, 'from 1 to 999999'],
    [['--log-level', 'loud'], {}, 2, 'Allowed choices'],
    [[], { DATABASE_URL: 'mysql://x' }, 2, 'must be a URL that begins with postgres://'],
    [[], { WINDLASS_LOG_LEVEL: 'loud' }, 2, 'WINDLASS_LOG_LEVEL must be one of'],
    [['--repo', 'ftp://example.com/x'], {}, 1, 'has the scheme ftp, which is not allowed'],
    [['--repo', 'https://a:b@example.com/x'], {}, 1, 'contains a password'],
    [['--repo', '.', '--data', 'file/data'], {}, 1, 'file/data cannot be used'],
    [
      ['--repo', '.'],
      { DATABASE_URL: 'postgres://u:geheim@127.0.0.1:1/x' },
      1,
      'The database of DATABASE_URL cannot be used',
    ],
  ])('%j with %j ends with %i', async (argv, env, code, message) => {
    const ended = await broken(argv, env);
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toContain('geheim');
    expect(ended.stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
    expect(ended.code).toBe(code);
  });
});
