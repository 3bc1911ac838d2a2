import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  findSshd,
  serveHttps,
  serveSilence,
  serveSsh,
  type SilentServer,
  type HttpsGitServer,
  type SshGitServer,
} from '../../test/fixtures/git-servers.ts';
import { createRepository, type ScratchRepository, scratchGitEnvironment } from '../../test/fixtures/repository.ts';
import type { Credentials } from './credentials.ts';
import { AuthenticationFailed, HostKeyUnknown, LimitExceeded, RepositoryUnreachable } from './errors.ts';
import { openRepository, type Repository, type RepositoryOptions } from './repository.ts';

let directory: string;
let origin: ScratchRepository;
let tip: string;
let mirrors = 0;
const opened: Repository[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-test-'));
  origin = await createRepository(directory);
  tip = await origin.commit({ 'a.txt': 'one' }, 'first');
});
afterEach(async () => {
  for (const repository of opened.splice(0)) await repository.close();
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function open(
  url: string,
  credentials: Credentials | null,
  more: Partial<RepositoryOptions> = {},
): Promise<Repository> {
  const repository = await openRepository({
    directory: newest(),
    url,
    branches: ['main'],
    tags: [],
    credentials,
    home: 'cluster',
    env: scratchGitEnvironment(directory),
    ...more,
  });
  opened.push(repository);
  return repository;
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.fail('was expected to fail'),
    (error: unknown) => error as Error,
  );
}

/** Everything an error would show when logged. */
function printed(error: unknown): string {
  return error instanceof Error ? `${error.message}\n${error.stack}\n${printed(error.cause)}` : String(error);
}

/** A folder with every character that a shell, ssh or git could take for something else. */
function newest(next = true): string {
  if (next) mirrors++;
  return join(directory, `mirror %d's "own" $(id) ${mirrors}`);
}

/** Credentials that are still on disk. */
async function secretFolders(): Promise<string[]> {
  return (await readdir(newest(false))).filter((name) => name.startsWith('credentials-'));
}

describe('https', () => {
  const account = { username: 'bot', password: "s3cr3t' $(id) ü" };
  let server: HttpsGitServer;
  let elsewhere: HttpsGitServer;
  beforeAll(async () => {
    server = await serveHttps(directory, directory, { account });
    elsewhere = await serveHttps(directory, directory, { redirectTo: server.url.replace('localhost', '127.0.0.1') });
  });
  afterAll(async () => {
    await server.close();
    await elsewhere.close();
  });

  test('fetches and asks for the default branch with username and password', async () => {
    const repository = await open(`${server.url}/origin.git`, { ...account, 'ca.crt': server.ca });
    expect((await repository.fetch()).map(({ ref, commit }) => [ref, commit])).toEqual([['refs/heads/main', tip]]);
    expect(await repository.defaultBranch()).toBe('main');
    expect(await secretFolders()).toEqual([]);
  });

  test.each([
    ['none', null],
    ['a wrong password', { username: 'bot', password: 'wr0ng-pässword' }],
  ])('with %s it is AuthenticationFailed, without the secret in the message', async (_name, given) => {
    const repository = await open(`${server.url}/origin.git`, { ...given, 'ca.crt': server.ca });
    const error = await failure(repository.fetch());
    expect(error).toBeInstanceOf(AuthenticationFailed);
    expect(error.message).toContain('secretRef');
    expect(printed(error)).not.toMatch(/wr0ng|d3IwbmctcMOkc3N3b3Jk/);
    expect(await secretFolders()).toEqual([]);
  });

  test('a certificate nobody vouches for is refused, and ca.crt is named', async () => {
    const error = await failure((await open(`${server.url}/origin.git`, account)).fetch());
    expect(error).toBeInstanceOf(RepositoryUnreachable);
    expect(error.message).toContain('ca.crt');
  });

  test('a repository that is not there is RepositoryUnreachable', async () => {
    const error = await failure((await open(`${server.url}/nothing.git`, { ...account, 'ca.crt': server.ca })).fetch());
    expect(error).toBeInstanceOf(RepositoryUnreachable);
    expect(error.message).toContain('/nothing.git');
  });

  test('a redirect to another origin gets no credentials', async () => {
    const repository = await open(`${elsewhere.url}/origin.git`, { ...account, 'ca.crt': server.ca + elsewhere.ca });
    server.seen.length = 0;
    expect(await failure(repository.fetch())).toBeInstanceOf(AuthenticationFailed);
    expect(server.seen.length).toBeGreaterThan(0);
    expect(server.seen.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });
});

describe('a server that takes the connection and says nothing', () => {
  let silence: SilentServer;
  beforeAll(async () => {
    silence = await serveSilence();
  });
  afterAll(() => silence.close());

  test.each([
    ['https', () => `https://127.0.0.1:${silence.port}/x.git`],
    ['ssh', () => `ssh://git@127.0.0.1:${silence.port}/x.git`],
  ])('ends %s after the limit on time', async (_name, url) => {
    const credentials = { identity: 'key', known_hosts: 'host ssh-ed25519 AAAA', username: 'a', password: 'b' };
    const repository = await open(url(), credentials, { limits: { timeoutMs: 300 } });
    const error = await failure(repository.fetch());
    expect(error).toBeInstanceOf(LimitExceeded);
    expect(error.message).toContain('0.3 s');
    await silence.hungUp();
    expect(await secretFolders()).toEqual([]);
  });

  test('is let go of at once by close', async () => {
    const repository = await open(`https://127.0.0.1:${silence.port}/x.git`, null);
    const fetching = failure(repository.fetch());
    await repository.close();
    expect(await fetching).toBeInstanceOf(Error);
    await expect(repository.fetch()).rejects.toThrow('closed');
  });
});

describe('ssh', () => {
  const sshd = findSshd();
  let server: SshGitServer | null = null;
  let absent = 'no sshd on this machine: install openssh-server';
  beforeAll(async () => {
    if (sshd === null) return;
    server = await serveSsh(join(directory, 'sshd'), sshd).catch((error: unknown) => {
      absent = `sshd does not start here: ${String(error)}`;
      return null;
    });
  });
  afterAll(() => server?.close());

  test('in a cluster, identity and known_hosts are required, and the message names the missing key', async () => {
    const identity = await failure((await open('git@localhost:x.git', { known_hosts: 'x' })).fetch());
    expect(identity).toBeInstanceOf(AuthenticationFailed);
    expect(identity.message).toContain('identity');
    const host = await failure((await open('git@localhost:x.git', { identity: 'x' })).fetch());
    expect(host).toBeInstanceOf(HostKeyUnknown);
    expect(host.message).toContain('known_hosts');
  });

  function address(running: SshGitServer): string {
    return `ssh://${running.user}@127.0.0.1:${running.port}${origin.url}`;
  }

  test('fetches with identity and known_hosts', async ({ skip }) => {
    if (server === null) {
      skip(absent);
      return;
    }
    const repository = await open(address(server), {
      identity: server.identity.trimEnd(),
      known_hosts: server.knownHosts,
    });
    expect((await repository.fetch()).map(({ commit }) => commit)).toEqual([tip]);
    expect(await secretFolders()).toEqual([]);
  });

  test('a server that is not in known_hosts, or has another key there, is HostKeyUnknown', async ({ skip }) => {
    if (server === null) {
      skip(absent);
      return;
    }
    const { identity, knownHosts } = server;
    const unknown = await open(address(server), {
      identity,
      known_hosts: knownHosts.replace('127.0.0.1', '127.0.0.2'),
    });
    expect(await failure(unknown.fetch())).toBeInstanceOf(HostKeyUnknown);
    const other = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGuzoAtMgTiX7CH0Hg4Kb6qtxhuAmDqeFwM4Tgs9wTgi';
    const changed = await open(address(server), { identity, known_hosts: `[127.0.0.1]:${server.port} ${other}\n` });
    const error = await failure(changed.fetch());
    expect(error).toBeInstanceOf(HostKeyUnknown);
    expect(error.message).toContain('is not the one in known_hosts');
  });

  test.for(['stranger', 'broken'])('a %s key is AuthenticationFailed', async (kind, { skip }) => {
    if (server === null) {
      skip(absent);
      return;
    }
    const identity = kind === 'stranger' ? server.stranger : 'not a key';
    const error = await failure((await open(address(server), { identity, known_hosts: server.knownHosts })).fetch());
    expect(error).toBeInstanceOf(AuthenticationFailed);
    expect(error.message).toContain('identity');
    expect(error.message).not.toContain(server.stranger.slice(80, 120));
  });
});
