import type { AttemptKey, ResolvedBody } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { Executor, ExecutorSink, FileStore, SecretReader } from '../seams/executor.ts';
import type { AddressPolicy } from './http/addresses.ts';
import { HttpExecutor } from './http/executor.ts';
import { ProcessExecutor } from './process/executor.ts';
import { TemplateExecutor } from './template/executor.ts';

export interface ExecutorsOptions extends AddressPolicy {
  /** Directory of the folders of process attempts, `<data>/attempts`. */
  root: string;
  files: FileStore;
  secrets: SecretReader;
  sink: ExecutorSink;
  clock: Clock;
  /** The signal of the lease as it is now: what runs in this controller when it aborts is aborted, its result discarded. */
  lost: () => AbortSignal;
  /** The controller's environment; steps get PATH, LANG and TMPDIR of it. */
  env: Readonly<Record<string, string | undefined>>;
  /** Told when the disk or the store fails while a process is followed; it is tried again. */
  troubled(key: AttemptKey, error: unknown): void;
}

/** Every kind of step that has attempts, each run by its own executor; together they are one. */
export function createExecutors(options: ExecutorsOptions): Executor {
  const { root, files, secrets, sink, clock, lost, env } = options;
  const host = {
    PATH: env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    LANG: env['LANG'] ?? 'C.UTF-8',
    TMPDIR: env['TMPDIR'] ?? '/tmp',
  };
  const byKind: Record<ResolvedBody['kind'], Executor> = {
    run: new ProcessExecutor({ root, files, secrets, sink, clock, host, troubled: options.troubled }),
    http: new HttpExecutor({
      secrets,
      sink,
      clock,
      lost,
      allowLoopback: options.allowLoopback,
      allowPrivate: options.allowPrivate,
    }),
    template: new TemplateExecutor({ files, sink, clock, lost }),
  };
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
