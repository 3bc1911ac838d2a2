import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowSource } from '../../crds/workflow-source.ts';
import type { Credentials } from '../git/credentials.ts';
import { AuthenticationFailed } from '../git/errors.ts';
import { openRepository, type Repository } from '../git/repository.ts';
import { canonicalUrl } from '../git/url.ts';
import type { SecretReader } from '../seams/executor.ts';

export interface RepositoriesOptions {
  /** Folder of the bare mirrors, one a source. */
  directory: string;
  home: 'laptop' | 'cluster';
  secrets: SecretReader;
  /** What git, ssh and credential helpers may see of the controller's environment. */
  env: Readonly<Record<string, string | undefined>>;
}

/** The mirrors of the sources, opened when first needed and opened anew when what they are opened with changes. */
export interface Repositories {
  /** `branches`: every branch that is tracked or that a tag must be on, the source's own among them. */
  open(source: WorkflowSource, branches: string[]): Promise<Repository>;
  /** The mirror as last opened; null before the first fetch. */
  get(source: WorkflowSource): Repository | null;
  /** Lets go of every mirror of a source, on disk as well, but the one with the key `keep`. */
  drop(uid: string, keep: string | null): Promise<void>;
  /** Removes the mirrors of sources that went while nobody looked. */
  sweep(sources: WorkflowSource[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * What a source's refs, contents and mirror are kept by: another repository under the same source has other tags, and its
 * v1.0.0 is not a moved one.
 */
export function sourceKey({ metadata, spec }: WorkflowSource): string {
  return `${metadata.uid}-${createHash('sha256').update(canonicalUrl(spec.url)).digest('hex').slice(0, 16)}`;
}

const keyForm = /-[0-9a-f]{16}$/;
const credentialKeys = ['identity', 'known_hosts', 'username', 'password', 'ca.crt'] as const;

export function createRepositories(options: RepositoriesOptions): Repositories {
  const opened = new Map<string, { settings: string; repository: Repository; fetched: boolean }>();

  async function credentialsOf(source: WorkflowSource): Promise<Credentials | null> {
    const secret = source.spec.secretRef?.name;
    if (!secret) return null;
    const credentials: Credentials = {};
    for (const key of credentialKeys) {
      const value = await options.secrets.read(source.metadata.namespace, secret, key);
      if (value !== null) credentials[key] = value;
    }
    if (Object.keys(credentials).length > 0) return credentials;
    const where = `Secret ${secret} in namespace ${source.metadata.namespace}`;
    throw new AuthenticationFailed(
      `There is no ${where}, or it has none of the keys ${credentialKeys.join(', ')}; create it, labelled windlass.dev/use=allowed.`,
    );
  }

  async function close(key: string): Promise<void> {
    const { repository } = opened.get(key) ?? {};
    opened.delete(key);
    await repository?.close();
  }

  async function remove(isUnwanted: (key: string) => boolean): Promise<void> {
    await Promise.all([...opened.keys()].filter(isUnwanted).map(close));
    const kept = await readdir(options.directory).catch(() => []);
    const unwanted = kept.filter(isUnwanted);
    await Promise.all(unwanted.map((key) => rm(join(options.directory, key), { recursive: true, force: true })));
  }

  return {
    async open(source, branches) {
      const key = sourceKey(source);
      const credentials = await credentialsOf(source);
      const wanted = {
        url: source.spec.url,
        // The source's own branch first: it is the one that must exist.
        branches: [...new Set([source.spec.branch, ...branches.toSorted()])],
        tags: source.spec.tags ?? ['*', '*/*'],
      };
      // Credentials may be rotated at any time; only their hash is kept.
      const settings = createHash('sha256')
        .update(JSON.stringify([wanted, credentials]))
        .digest('hex');
      const current = opened.get(key);
      if (current?.settings === settings) return current.repository;
      await close(key);
      const repository = await openRepository({
        ...wanted,
        directory: join(options.directory, key),
        credentials,
        home: options.home,
        env: options.env,
      });
      const entry = { settings, fetched: current?.fetched ?? false };
      const noted: Repository = {
        ...repository,
        async fetch() {
          const refs = await repository.fetch();
          entry.fetched = true;
          return refs;
        },
      };
      opened.set(key, Object.assign(entry, { repository: noted }));
      return noted;
    },
    get(source) {
      const entry = opened.get(sourceKey(source));
      return entry?.fetched ? entry.repository : null;
    },
    drop: (uid, keep) => remove((key) => key.startsWith(`${uid}-`) && key !== keep),
    async sweep(sources) {
      const known = new Set(sources.map(sourceKey));
      await remove((key) => keyForm.test(key) && !known.has(key));
    },
    async close() {
      await Promise.all([...opened.keys()].map(close));
    },
  };
}
