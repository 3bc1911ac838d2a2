import { hostname, networkInterfaces } from 'node:os';
import { createTokenAccess } from '../api/access-token.ts';
import { hostsOf } from '../api/hosts.ts';
import { type ArtifactSettings, defaultArtifacts, openArtifacts } from './artifacts/open.ts';
import { openDataDirectory } from './data-directory.ts';
import { createExecutors } from './executors/index.ts';
import { createSecretDirectory } from './executors/secrets.ts';
import type { Home } from './home.ts';
import type { ControllerOptions } from './start.ts';
import type { Governance } from './seams/governance.ts';
import { databaseHost } from './root-cause.ts';
import { openStore } from './store/open.ts';

/** Namespace of sources, environments and promotions on a laptop. */
export const project = 'default';
/** Where environment files are, from the root of the repository. */
const environmentsPath = 'environments';

export interface LaptopHomeOptions extends Pick<ControllerOptions, 'clock' | 'log' | 'env' | 'listen'> {
  dataDir: string;
  /** Postgres to use instead of the embedded one. */
  databaseUrl: string | null;
  /** Default: a folder of the data directory, 1 GiB each, 30 days. */
  artifacts?: ArtifactSettings;
}

/** A namespace is a name and one person writes everything: nobody has to be asked. */
export const laptopGovernance: Governance = {
  admits: async () => ({ ok: true }),
  watchNamespaces: () => () => {},
  approvalsPolicy: async () => ({ state: 'Unneeded' }),
  identityTable: async () => null,
  editorsOf: async () => [],
};

/** One directory and one user: everything the controller needs without a cluster. @throws when directory or database cannot be had */
export async function openLaptopHome(options: LaptopHomeOptions): Promise<Home & { token: string }> {
  const { clock, log, env } = options;
  const data = await openDataDirectory(options.dataDir);
  const store = await openStore(options.databaseUrl ? { databaseUrl: options.databaseUrl } : { dataDir: data.path }, {
    clock,
    home: data.home,
    log: (message, fields) => log.info(fields ?? {}, message),
  });
  const secrets = createSecretDirectory(data.secrets);
  const settings = options.artifacts ?? { ...defaultArtifacts, location: { kind: 'directory', path: data.artifacts } };
  const artifacts = openArtifacts(settings, {
    home: data.home,
    spools: data.artifacts,
    clock,
    note: (noted) => store.artifacts.note(noted),
  });
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return {
    kind: 'laptop',
    token: data.token,
    store,
    databaseHost: options.databaseUrl ? databaseHost(options.databaseUrl) : null,
    secrets,
    artifacts: { store: artifacts, keptMs: settings.keptMs },
    podArtifacts: null,
    repositories: data.repositories,
    environmentsPath,
    project,
    namespaces: null,
    governance: laptopGovernance,
    access: createTokenAccess({
      token: data.token,
      caller: { user: 'local', groups: ['*'] },
      objects: store.objects,
      allowedHosts: hostsOf(options.listen.host, { name: hostname(), addresses }),
    }),
    deletionGuard: null,
    retention: null,
    createExecutor: (sink, lost) =>
      createExecutors({
        root: data.attempts,
        files: store.versions,
        artifacts: { store: artifacts, maxBytes: settings.maxBytes },
        secrets,
        sink,
        clock,
        lost,
        env,
        troubled: (key, error) => log.warn({ err: error, ...key }, 'following a process failed; it is tried again'),
        allowLoopback: true,
        allowPrivate: true,
      }),
    notReady: () => [],
    announce: (url) => (url === null ? data.retract() : data.announce(url)),
    close: () => store.close(),
  };
}
