import { mkdir } from 'node:fs/promises';
import type { Person } from '../core/promotion/types.ts';
import type { Instant } from '../core/time.ts';
import { parseBatch } from './cat-file.ts';
import { type Credentials, prepareCredentials } from './credentials.ts';
import { BranchMissing, GitError, LimitExceeded, ObjectMissing, lastLines, remoteError } from './errors.ts';
import { mirrorEnvironment, type ProcessEnvironment, remoteEnvironment } from './environment.ts';
import { packBytes, removeLeftovers } from './mirror.ts';
import { createGitProcesses, type GitCommand, type GitResult } from './process.ts';
import {
  type FetchedRef,
  isObjectId,
  isRefName,
  matchesGlob,
  parseRefs,
  refFormat,
  tagRefspecs,
  clip,
} from './refs.ts';
import { maxReadBytes, normalizePath, parseTree, type TreeEntry } from './tree.ts';
import { type Home, parseRepositoryUrl } from './url.ts';

export interface RepositoryOptions {
  /** The mirror: a bare repository that belongs to this source and process alone. Made when missing. */
  directory: string;
  url: string;
  /** Tracked branches; the first is the source's own and must exist. */
  branches: readonly string[];
  /** Globs over tag names: `*` within a path segment, `**` across. */
  tags: readonly string[];
  credentials: Credentials | null;
  home: Home;
  /** The controller's environment: PATH, proxies, and on a laptop what ssh and credential helpers need are taken from it. */
  env: ProcessEnvironment;
  limits?: Partial<Limits>;
}

export interface Limits {
  /** Ms for one git command. Default 60,000. */
  timeoutMs: number;
  /** Bytes of the whole mirror. Default 1 GiB. */
  maxBytes: number;
}

export interface CommitInfo {
  commit: string;
  parents: string[];
  author: Person;
  committer: Person;
  authoredAt: Instant;
  committedAt: Instant;
  /** At most 4,096 characters. */
  message: string;
}

/** A source's repository, read through a mirror. Every method may throw a GitError. */
export interface Repository {
  /**
   * Brings the mirror up to date and lists the tracked branches and tags, by name. A tracked branch other than the first
   * that is not there is left out. Calls wait for each other.
   * @throws BranchMissing, RepositoryUnreachable, AuthenticationFailed, HostKeyUnknown, LimitExceeded
   */
  fetch(): Promise<FetchedRef[]>;
  /** All files below a path (default: all), as far as the last fetch brought them. Empty when the path is not there. @throws ObjectMissing, LimitExceeded */
  tree(commit: string, path?: string): Promise<TreeEntry[]>;
  /** Contents by id. @throws ObjectMissing; LimitExceeded beyond 5 MiB for a file (see TreeEntry.size) or 64 MiB in all. */
  read(ids: readonly string[]): Promise<Map<string, Uint8Array>>;
  /** Whether `ancestor` is `descendant` or reachable from it. False for commits that were never fetched. */
  isAncestor(ancestor: string, descendant: string): Promise<boolean>;
  /** Names of the fetched tags whose commit is `commit` or reachable from it. */
  tagsOn(commit: string): Promise<string[]>;
  /** Authors and committers of `from..to` (of all history when `from` is null or unknown), and the tagger of `tag`; each once. */
  people(from: string | null, to: string, tag?: string): Promise<Person[]>;
  commitInfo(commit: string): Promise<CommitInfo | null>;
  /** The branch that the remote's HEAD names; null when it names none. Asks the remote. */
  defaultBranch(): Promise<string | null>;
  /** A tag as last fetched. */
  resolveTag(name: string): Promise<FetchedRef | null>;
  /** Ends running git commands. */
  close(): Promise<void>;
}

const defaults: Limits = { timeoutMs: 60_000, maxBytes: 1024 ** 3 };
const maxPacks = 20;

/**
 * Opens (and makes) the mirror of a repository; asks the remote nothing.
 * @throws UnsupportedUrl, GitError
 */
export async function openRepository(options: RepositoryOptions): Promise<Repository> {
  const { directory, branches, tags, home } = options;
  const limits = { ...defaults, ...options.limits };
  const url = parseRepositoryUrl(options.url, home);
  const processes = createGitProcesses();

  for (const branch of branches)
    if (!isRefName(branch))
      throw new BranchMissing(`${JSON.stringify(branch)} cannot be the name of a branch. Correct it in the source.`);

  /** A command on the mirror. */
  function git(args: readonly string[], more: Partial<GitCommand> = {}): Promise<GitResult> {
    return processes.run({
      args: ['--git-dir', directory, ...args],
      env: mirrorEnvironment(options.env),
      timeoutMs: limits.timeoutMs,
      maxOutputBytes: maxReadBytes,
      ...more,
    });
  }

  /** Same, when anything but success is a failure. */
  async function local(args: readonly string[], more?: Partial<GitCommand>): Promise<GitResult> {
    const result = await git(args, more);
    if (result.exceeded)
      throw new LimitExceeded(`git ${args[0]} took too long or printed too much for ${options.url}.`);
    if (result.code !== 0) throw localError(args, result);
    return result;
  }

  /** A command that talks to the remote. */
  async function remote(args: readonly string[], more: Partial<GitCommand> = {}): Promise<GitResult> {
    const credentials = await prepareCredentials({ url, credentials: options.credentials, home, directory });
    try {
      const result = await git([...credentials.config.flatMap((setting) => ['-c', setting]), ...args], {
        ...more,
        env: { ...remoteEnvironment(options.env, home, url), ...credentials.env },
      });
      const stderr = credentials.mask(result.stderr);
      if (result.exceeded === 'time')
        throw new LimitExceeded(
          `${options.url} did not finish within ${limits.timeoutMs / 1000} s. Check that it is up; a large repository needs a narrower branch and tags.`,
          { cause: new Error(lastLines(stderr)) },
        );
      if (result.exceeded)
        throw new LimitExceeded(
          `The repository ${options.url} is over the limit of ${limits.maxBytes} bytes. Track fewer branches and tags, or remove large files from its history.`,
          { cause: new Error(lastLines(stderr)) },
        );
      return { ...result, stderr };
    } finally {
      await credentials.dispose();
    }
  }

  async function fetchRefs(names: readonly string[]): Promise<void> {
    const refspecs = [...names.map((name) => `+refs/heads/${name}:refs/heads/${name}`), ...tagRefspecs(tags)];
    if (refspecs.length === 0) return;
    const left = limits.maxBytes - (await packBytes(directory)).bytes;
    if (left <= 0)
      throw new LimitExceeded(
        `The mirror of ${options.url} has reached the limit of ${limits.maxBytes} bytes. Track fewer branches and tags.`,
      );
    const args = [
      'fetch',
      '--prune',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-recurse-submodules',
      '--update-shallow',
      '--quiet',
    ];
    const result = await remote([...fetchConfig, ...args, '--', url.url, ...refspecs], { maxFileBytes: left });
    if (result.code === 0) return;
    const missing = /couldn't find remote ref refs\/heads\/(.+)/.exec(result.stderr)?.[1];
    if (missing === undefined || !names.includes(missing))
      throw remoteError({ url: options.url, directory, stderr: result.stderr });
    await local(['update-ref', '-d', `refs/heads/${missing}`]);
    if (missing === branches[0])
      throw new BranchMissing(
        `${options.url} has no branch ${missing}. Push it, or name another in the source's spec.branch.`,
      );
    await fetchRefs(names.filter((name) => name !== missing));
  }

  async function listRefs(patterns: readonly string[]): Promise<FetchedRef[]> {
    if (patterns.length === 0) return [];
    const { stdout } = await local(['for-each-ref', `--format=${refFormat}`, ...patterns]);
    return Promise.all(
      parseRefs(stdout).map(async ({ nested, ...ref }) => {
        if (!nested) return ref;
        const info = await commitInfo(ref.ref);
        return info ? { ...ref, commit: info.commit, author: info.author } : { ...ref, target: 'blob' as const };
      }),
    );
  }

  async function fetch(): Promise<FetchedRef[]> {
    try {
      await fetchRefs(branches);
    } catch (cause) {
      await removeLeftovers(directory);
      throw cause;
    }
    if ((await packBytes(directory)).packs > maxPacks)
      await local(['repack', '-a', '-d', '-k', '--quiet', '--no-write-bitmap-index']);
    const refs = await listRefs([...branches.map((name) => `refs/heads/${name}`), 'refs/tags']);
    return refs.filter(
      ({ ref }) =>
        (ref.startsWith('refs/heads/') && branches.includes(ref.slice(11))) ||
        (ref.startsWith('refs/tags/') && tags.some((glob) => matchesGlob(glob, ref.slice(10)))),
    );
  }

  /** Size belongs to a commit for ever and is its judgement; time belongs to the machine, and the next look may have more. */
  function demandWithin({ exceeded }: GitResult, tooLarge: string): void {
    if (exceeded === 'time')
      throw new GitError(`Reading the mirror of ${options.url} took longer than ${limits.timeoutMs / 1000} s.`);
    if (exceeded) throw new LimitExceeded(tooLarge);
  }

  async function tree(commit: string, path?: string): Promise<TreeEntry[]> {
    const below = normalizePath(path);
    if (below === null) return [];
    const result = await git([
      'ls-tree',
      '-r',
      '-l',
      '-z',
      '--full-tree',
      objectId(commit),
      '--',
      ...(below ? [below] : []),
    ]);
    demandWithin(result, `The file list of commit ${commit} is too large. Keep workflows in a folder of their own.`);
    if (result.code !== 0) throw localError(['ls-tree'], result);
    return parseTree(result.stdout);
  }

  async function read(ids: readonly string[]): Promise<Map<string, Uint8Array>> {
    if (ids.length === 0) return new Map();
    const unique = [...new Set(ids)].map(objectId);
    const result = await git(['cat-file', '--batch', '--buffer'], { stdin: `${unique.join('\n')}\n` });
    demandWithin(
      result,
      `The files asked for are over ${maxReadBytes} bytes in all. Keep large files out of the path.`,
    );
    if (result.code !== 0) throw localError(['cat-file'], result);
    return parseBatch(unique, result);
  }

  async function isAncestor(ancestor: string, descendant: string): Promise<boolean> {
    const result = await git(['merge-base', '--is-ancestor', objectId(ancestor), objectId(descendant)]);
    if (result.exceeded) throw new LimitExceeded(`The history of ${options.url} took too long to walk.`);
    if (result.code === 0 || result.code === 1) return result.code === 0;
    const error = localError(['merge-base'], result);
    if (error instanceof ObjectMissing) return false;
    throw error;
  }

  async function tagsOn(commit: string): Promise<string[]> {
    const { stdout } = await local([
      'for-each-ref',
      `--merged=${objectId(commit)}`,
      '--format=%(refname)',
      'refs/tags',
    ]);
    const prefix = 'refs/tags/'.length;
    return stdout
      .toString('utf8')
      .split('\n')
      .filter(Boolean)
      .map((ref) => ref.slice(prefix));
  }

  async function people(from: string | null, to: string, tag?: string): Promise<Person[]> {
    const known = from !== null && (await commitInfo(from)) !== null;
    const range = known ? [objectId(to), `^${objectId(from)}`] : [objectId(to)];
    const { stdout } = await local([
      'log',
      '-z',
      '--encoding=UTF-8',
      '--format=%an%x00%ae%x00%cn%x00%ce',
      ...range,
      '--',
    ]);
    const values = stdout.toString('utf8').split('\0');
    const found = new Map<string, Person>();
    for (let i = 0; i + 1 < values.length; i += 2) add({ name: values[i] ?? '', email: values[i + 1] ?? '' });
    const tagger = tag === undefined ? null : (await resolveTag(tag))?.tagger;
    if (tagger) add(tagger);
    return [...found.values()];

    function add(person: Person): void {
      found.set(`${person.name}\0${person.email}`, person);
    }
  }

  /** Also takes a full ref name, from inside. */
  async function commitInfo(commit: string): Promise<CommitInfo | null> {
    const format = '--format=%H%x00%P%x00%an%x00%ae%x00%cn%x00%ce%x00%at%x00%ct%x00%B';
    const revision = commit.startsWith('refs/') ? commit : objectId(commit);
    const { code, stdout } = await git(['show', '-s', '--encoding=UTF-8', format, `${revision}^{commit}`, '--']);
    if (code !== 0) return null;
    const [id = '', parents = '', an = '', ae = '', cn = '', ce = '', at, ct, ...message] = stdout
      .toString('utf8')
      .split('\0');
    return {
      commit: id,
      parents: parents.split(' ').filter((parent) => parent !== ''),
      author: { name: an, email: ae },
      committer: { name: cn, email: ce },
      authoredAt: Number(at) * 1000,
      committedAt: Number(ct) * 1000,
      message: clip(message.join('').trim(), 4096),
    };
  }

  async function defaultBranch(): Promise<string | null> {
    const result = await remote(['ls-remote', '--symref', '--', url.url, 'HEAD']);
    if (result.code !== 0) throw remoteError({ url: options.url, directory, stderr: result.stderr });
    return /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(result.stdout.toString('utf8'))?.[1] ?? null;
  }

  async function resolveTag(name: string): Promise<FetchedRef | null> {
    if (!isRefName(name)) return null;
    return (await listRefs([`refs/tags/${name}`])).find(({ ref }) => ref === `refs/tags/${name}`) ?? null;
  }

  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new GitError(`Cannot make the folder ${directory} for the mirror of ${options.url}: ${String(cause)}`, {
      cause,
    });
  });
  await removeLeftovers(directory);
  await local(['init', '--bare', '--quiet', '--template=', '--initial-branch=main', directory]);

  let queue: Promise<unknown> = Promise.resolve();
  return {
    fetch() {
      const next = queue.then(fetch, fetch);
      queue = next.catch(() => {});
      return next;
    },
    tree,
    read,
    isAncestor,
    tagsOn,
    people,
    commitInfo,
    defaultBranch,
    resolveTag,
    close: processes.close,
  };
}

/** A pack for every fetch, so that the limit on one file is the limit on what comes in; packs are joined by `fetch`. */
const fetchConfig = [
  'fetch.fsckObjects=true',
  'fetch.fsck.badTimezone=ignore',
  'fetch.fsck.missingSpaceBeforeDate=ignore',
  'fetch.fsck.zeroPaddedFilemode=ignore',
  'fetch.unpackLimit=1',
  'transfer.unpackLimit=1',
  'gc.auto=0',
  'maintenance.auto=false',
  'submodule.recurse=false',
].flatMap((setting) => ['-c', setting]);

/** Guards every place where a commit or blob becomes an argument. */
function objectId(id: string): string {
  if (!isObjectId(id)) throw new ObjectMissing(`${JSON.stringify(id.slice(0, 80))} is not the id of a commit or file.`);
  return id;
}

function localError(args: readonly string[], { code, stderr }: GitResult): GitError {
  const said = lastLines(stderr);
  if (/not a (tree|valid) object|bad object|not a valid (object|commit) name|bad revision/i.test(said))
    return new ObjectMissing(`The commit is not in the fetched repository. Fetch again. (${said})`);
  return new GitError(
    `git ${args[0]} ended with ${code ?? 'a signal'}: ${said}. The mirror can be deleted; it is fetched anew.`,
  );
}
