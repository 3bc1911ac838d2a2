import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { WorkflowSource } from '../../crds/workflow-source.ts';
import type { Credentials } from '../git/credentials.ts';
import { openRepository, type Repository } from '../git/repository.ts';
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
  get(sourceId: string): Repository | null;
  forget(sourceId: string): Promise<void>;
  close(): Promise<void>;
}

const credentialKeys = ['identity', 'known_hosts', 'username', 'password', 'ca.crt'] as const;

export function createRepositories(options: RepositoriesOptions): Repositories {
  const opened = new Map<string, { settings: string; repository: Repository }>();

  async function credentialsOf(source: WorkflowSource): Promise<Credentials | null> {
    const secret = source.spec.secretRef?.name;
    if (!secret) return null;
    const credentials: Credentials = {};
    for (const key of credentialKeys) {
      const value = await options.secrets.read(source.metadata.namespace, secret, key);
      if (value !== null) credentials[key] = value;
    }
    return credentials;
  }

  async function forget(sourceId: string): Promise<void> {
    const { repository } = opened.get(sourceId) ?? {};
    opened.delete(sourceId);
    await repository?.close();
  }

  return {
    async open(source, branches) {
      const { uid } = source.metadata;
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
      const current = opened.get(uid);
      if (current?.settings === settings) return current.repository;
      await forget(uid);
      const repository = await openRepository({
        ...wanted,
        directory: join(options.directory, uid),
        credentials,
        home: options.home,
        env: options.env,
      });
      opened.set(uid, { settings, repository });
      return repository;
    },
    get: (sourceId) => opened.get(sourceId)?.repository ?? null,
    forget,
    async close() {
      await Promise.all([...opened.keys()].map(forget));
    },
  };
}
