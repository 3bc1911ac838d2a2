import type { AttemptKey, ResolvedBody } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { Executor, ExecutorSink, FileStore, SecretReader } from '../seams/executor.ts';
import type { ArtifactOptions } from './artifacts/transfer.ts';
import type { AddressPolicy } from './http/addresses.ts';
import { HttpExecutor } from './http/executor.ts';
import { PodExecutor, type PodExecutorOptions } from './pod/executor.ts';
import { ProcessExecutor } from './process/executor.ts';
import { TemplateExecutor } from './template/executor.ts';

interface InControllerOptions {
  files: FileStore;
  secrets: SecretReader;
  sink: ExecutorSink;
  clock: Clock;
  /** The signal of the lease as it is now: what runs in this controller when it aborts is aborted, its result discarded. */
  lost: () => AbortSignal;
}

export interface ExecutorsOptions extends InControllerOptions, AddressPolicy {
  artifacts: ArtifactOptions;
  /** Directory of the folders of process attempts, `<data>/attempts`. */
  root: string;
  /** The controller's environment; steps get PATH, LANG and TMPDIR of it. */
  env: Readonly<Record<string, string | undefined>>;
  /** Told when the disk or the store fails while a process is followed; it is tried again. */
  troubled(key: AttemptKey, error: unknown): void;
}

export interface ClusterExecutorsOptions
  extends InControllerOptions,
    Pick<PodExecutorOptions, 'client' | 'namespaces' | 'defaultImage' | 'allowPrivileged' | 'artifacts' | 'onUnseen'> {
  /** Namespaces whose http steps may reach private addresses; none reaches the controller's own machine. */
  allowPrivateHttp: ReadonlySet<string>;
}

/** Every kind of step that has attempts, each run by its own executor on this machine; together they are one. */
export function createExecutors(options: ExecutorsOptions): Executor {
  const { root, files, secrets, sink, clock, lost, env } = options;
  const host = {
    PATH: env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    LANG: env['LANG'] ?? 'C.UTF-8',
    TMPDIR: env['TMPDIR'] ?? '/tmp',
  };
  const local = new ProcessExecutor({
    root,
    files,
    artifacts: options.artifacts,
    secrets,
    sink,
    clock,
    host,
    env,
    troubled: options.troubled,
  });
  return together({
    run: local,
    container: local,
    http: new HttpExecutor({
      secrets,
      sink,
      clock,
      lost,
      allowLoopback: options.allowLoopback,
      allowPrivate: () => options.allowPrivate,
    }),
    template: new TemplateExecutor({ files, sink, clock, lost }),
  });
}

/** The same in a cluster, where scripts run as Pods. */
export function createClusterExecutors(options: ClusterExecutorsOptions): Executor {
  const { files, secrets, sink, clock, lost, allowPrivateHttp } = options;
  const { client, namespaces, defaultImage, allowPrivileged, artifacts, onUnseen } = options;
  const pods = new PodExecutor({
    client,
    files,
    secrets,
    sink,
    clock,
    namespaces,
    defaultImage,
    allowPrivileged,
    artifacts,
    lost,
    onUnseen,
  });
  return together({
    run: pods,
    container: pods,
    http: new HttpExecutor({
      secrets,
      sink,
      clock,
      lost,
      allowLoopback: false,
      allowPrivate: (namespace) => allowPrivateHttp.has(namespace),
    }),
    template: new TemplateExecutor({ files, sink, clock, lost }),
  });
}

/** The kinds that are run outside of the database; a child run is a row of it. */
type OutsideKind = Exclude<ResolvedBody['kind'], 'workflow'>;

function together(byKind: Record<OutsideKind, Executor>): Executor {
  const all = [...new Set(Object.values(byKind))];
  const of = (kind: ResolvedBody['kind']): Executor => {
    if (kind === 'workflow') throw new TypeError('child runs are not for these executors');
    return byKind[kind];
  };
  return {
    kinds: all.flatMap((executor) => executor.kinds),
    start: (action) => of(action.body.kind).start(action),
    stop: (action) => of(action.kind).stop(action),
    async forget(key) {
      for (const executor of all) await executor.forget(key);
    },
    async sweep(open) {
      for (const executor of all) await executor.sweep(open);
    },
    async close() {
      await Promise.all(all.map((executor) => executor.close()));
    },
  };
}
