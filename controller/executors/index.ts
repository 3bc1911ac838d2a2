import type { AttemptKey, ResolvedBody } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { Executor, ExecutorSink, FileStore, SecretReader } from '../seams/executor.ts';
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
  /** Directory of the folders of process attempts, `<data>/attempts`. */
  root: string;
  /** The controller's environment; steps get PATH, LANG and TMPDIR of it. */
  env: Readonly<Record<string, string | undefined>>;
  /** Told when the disk or the store fails while a process is followed; it is tried again. */
  troubled(key: AttemptKey, error: unknown): void;
}

export interface ClusterExecutorsOptions
  extends InControllerOptions,
    Pick<PodExecutorOptions, 'client' | 'namespaces' | 'defaultImage' | 'allowPrivileged' | 'onUnseen'> {
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
  return together({
    run: new ProcessExecutor({ root, files, secrets, sink, clock, host, troubled: options.troubled }),
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
  const { client, namespaces, defaultImage, allowPrivileged, onUnseen } = options;
  return together({
    run: new PodExecutor({
      client,
      files,
      secrets,
      sink,
      clock,
      namespaces,
      defaultImage,
      allowPrivileged,
      lost,
      onUnseen,
    }),
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

function together(byKind: Record<ResolvedBody['kind'], Executor>): Executor {
  const all = Object.values(byKind);
  return {
    kinds: all.flatMap((executor) => executor.kinds),
    start: (action) => byKind[action.body.kind].start(action),
    stop: (action) => byKind[action.kind].stop(action),
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
