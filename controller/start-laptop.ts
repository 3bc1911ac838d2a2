import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { WorkflowSource, WorkflowSourceSpec } from '../crds/workflow-source.ts';
import { AddressUnavailable } from '../api/listen.ts';
import { RepositoryUnreachable } from './git/errors.ts';
import { openRepository } from './git/repository.ts';
import { parseRepositoryUrl } from './git/url.ts';
import { DataDirectoryInUse } from './store/errors.ts';
import { type LaptopHomeOptions, openLaptopHome, project } from './home-laptop.ts';
import { type ControllerOptions, type RunningController, startController } from './start.ts';

/** The one source that `up` makes. */
export const laptopSource = { namespace: project, name: 'repo' };
const defaultPath = 'workflows';

export interface LaptopOptions extends ControllerOptions, LaptopHomeOptions {
  /** A path or URL; null: what was served from this data before, else the repository around `cwd`. */
  repo: string | null;
  /** Null: as before, else the branch of the repository's HEAD. */
  branch: string | null;
  /** Folder of the workflows; null: as before, else `workflows`. */
  path: string | null;
  cwd: string;
}

export interface Laptop {
  controller: RunningController;
  /** Bearer token of the API. */
  token: string;
  source: { url: string; branch: string; path: string };
  /** What the user should know though it is no failure; null for nothing. */
  warning: string | null;
}

/** The controller cannot start; the message is a sentence that says why and what to do. */
export class CannotStart extends Error {
  override name = 'CannotStart';
}

/** Starts a controller whose one source is a git repository. @throws CannotStart, UnsupportedUrl, GitError */
export async function startLaptop(options: LaptopOptions): Promise<Laptop> {
  const asked = options.repo === null ? null : canonicalUrl(options.repo);
  const { controller, token } = await openLaptop(options).catch((cause: unknown) => {
    throw new CannotStart(explain(cause, options), { cause });
  });
  try {
    const { objects } = controller.store;
    const before = await objects.get('WorkflowSource', laptopSource.namespace, laptopSource.name);
    const { spec, warning } = await chooseSource(options, asked, before);
    await objects.apply({ kind: 'WorkflowSource', metadata: laptopSource, spec });
    return { controller, token, source: { ...spec, path: spec.path ?? defaultPath }, warning };
  } catch (error) {
    await controller.stop(0);
    throw error;
  }
}

/** A controller in its home on this machine, without a source. @throws as what it opens does */
export async function openLaptop(
  options: ControllerOptions & LaptopHomeOptions,
): Promise<{ controller: RunningController; token: string }> {
  const home = await openLaptopHome(options);
  return { controller: await startController(home, options), token: home.token };
}

async function chooseSource(
  options: LaptopOptions,
  asked: string | null,
  before: WorkflowSource | null,
): Promise<{ spec: WorkflowSourceSpec; warning: string | null }> {
  const url = asked ?? before?.spec.url ?? (await enclosingRepository(options.cwd));
  if (url === null) {
    throw new CannotStart(
      `${options.cwd} is not in a git repository. Name one with --repo PATH_OR_URL, or make one here with git init.`,
    );
  }
  const kept = before?.spec.url === url ? before.spec : null;
  const { branch, warning } = await chooseBranch(options, url, kept);
  const path = options.path ?? kept?.path ?? defaultPath;
  return { spec: { ...kept, url, branch, path }, warning };
}

async function chooseBranch(
  options: LaptopOptions,
  url: string,
  kept: WorkflowSourceSpec | null,
): Promise<{ branch: string; warning: string | null }> {
  // Kept, so that checking out another branch in a working copy does not change what is promoted.
  const known = options.branch ?? kept?.branch;
  try {
    const head = await headBranch(url, options);
    if (known !== undefined) return { branch: known, warning: null };
    if (head !== null) return { branch: head, warning: null };
  } catch (error) {
    if (!(error instanceof RepositoryUnreachable) || known === undefined || kept === null) throw error;
    return { branch: known, warning: `${error.message} What was read before is served meanwhile.` };
  }
  throw new CannotStart(
    `The HEAD of ${url} names no branch. If the repository is empty, commit once first; if HEAD is detached, name a branch with --branch.`,
  );
}

/** Asks the repository, by way of a mirror of the moment. */
async function headBranch(url: string, options: LaptopOptions): Promise<string | null> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-head-'));
  try {
    const repository = await openRepository({
      directory: join(directory, 'mirror.git'),
      url,
      branches: [],
      tags: [],
      credentials: null,
      home: 'laptop',
      env: options.env,
    });
    try {
      return await repository.defaultBranch();
    } finally {
      await repository.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A path is made absolute: the next start may be elsewhere. @throws UnsupportedUrl */
function canonicalUrl(url: string): string {
  const parsed = parseRepositoryUrl(url, 'laptop');
  return parsed.kind === 'local' ? parsed.path : url;
}

async function enclosingRepository(from: string): Promise<string | null> {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = await stat(join(folder, '.git')).catch(() => null);
    if (found !== null) return folder;
    if (dirname(folder) === folder) return null;
  }
}

function explain(cause: unknown, { dataDir, databaseUrl }: LaptopOptions): string {
  if (cause instanceof AddressUnavailable || cause instanceof DataDirectoryInUse) return sentence(cause.message);
  const why = deepest(cause);
  if ((cause as NodeJS.ErrnoException).syscall !== undefined && (cause as NodeJS.ErrnoException).path !== undefined) {
    return `The data directory ${dataDir} cannot be used: ${why}. Choose another with --data.`;
  }
  return databaseUrl === null
    ? `The embedded database in ${dataDir} cannot be opened: ${why}. Choose another directory with --data.`
    : `The database of DATABASE_URL cannot be used: ${why}. Correct DATABASE_URL, or unset it to use the embedded one.`;
}

/** The driver's own words, below whatever wrapped them. */
function deepest(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  const { code, message } = last as { code?: string; message?: string };
  return (message || code || String(last)).replace(/\.$/, '');
}

function sentence(text: string): string {
  return text.endsWith('.') ? text : `${text}.`;
}
