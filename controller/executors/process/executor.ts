import { join } from 'node:path';
import type { AttemptKey, AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import type { Executor, ExecutorSink, FileStore, SecretReader, StartAction, StopAction } from '../../seams/executor.ts';
import { storedLogBytes } from '../../seams/limits.ts';
import type { ArtifactOptions } from '../artifacts/transfer.ts';
import { containerOutputBytes } from '../outputs.ts';
import { readSecrets } from '../secrets.ts';
import { ArtifactsMissing, artifactsFor, withArtifacts } from './artifacts.ts';
import { AttemptFolder, attemptHash, attemptHashes, type Launcher } from './attempt-folder.ts';
import {
  containerCommand,
  containerResult,
  engineHelp,
  engineEnvironment,
  findEngine,
  noEngine,
  removeContainer,
} from './container.ts';
import { type HostEnvironment, stepEnvironment } from './environment.ts';
import { type LaunchEnd, launch, refusalOf } from './launcher.ts';
import { LogTail } from './log-tail.ts';
import { Carriers, signal, startOf } from './processes.ts';
import { lost, readResult } from './result.ts';
import { Spawner } from './spawner.ts';
import { VersionFiles } from './version-files.ts';

const mebibyte = 1024 * 1024;
/** How often a running attempt's log is looked at, and an adopted one's life. */
const tickMs = 100;
/** A launcher that has begun and not yet said who it is counts as alive for this long. */
const beginningMs = 10_000;
/** What the command left behind and still holds the log gets TERM, and this much later KILL. */
const leftoverMs = 2000;
/** After the world failed while an attempt was followed. */
const retryMs = 1000;

export interface ProcessExecutorOptions {
  /** Directory of the attempts' folders, `<data>/attempts`. */
  root: string;
  files: FileStore;
  artifacts: ArtifactOptions;
  secrets: SecretReader;
  sink: ExecutorSink;
  clock: Clock;
  /** What a step gets of the machine's own environment. */
  host: HostEnvironment;
  /** The controller's own environment, of which a container engine gets what it needs; steps do not. */
  env: Readonly<Record<string, string | undefined>>;
  /** Most bytes of one log that are stored while it grows (4 MiB), and that are kept in all (100 MiB). */
  log?: { storedBytes: number; fileBytes: number };
  /** Told when the world (disk, store) fails while an attempt is followed; once, until it goes on. It is tried again. */
  troubled(key: AttemptKey, error: unknown): void;
}

type LocalBody = Extract<ResolvedBody, { kind: 'run' | 'container' }>;

/** An attempt that this executor follows. */
interface Live {
  key: AttemptKey;
  hash: string;
  folder: AttemptFolder;
  /** Settles once it has begun, was adopted or has ended; rejects when the world failed. */
  begun: Promise<void>;
  /** Told to stop, whether it still runs or not. */
  stopped: boolean;
  /** It still ran when it was told to stop: how it ends is not its own doing. */
  interrupted: boolean;
  /** Its end is committed already: nobody will ask for its folder to be removed again. */
  forgotten: boolean;
  graceMs: number;
  /** Its launcher's, which is also that of its process group; null while there is none to be signalled. */
  pid: number | null;
  /** Aborted when it was reported or let go of. */
  over: AbortController;
}

/** Runs scripts as local processes that outlive the controller. Design 2, "Side effects". */
export class ProcessExecutor implements Executor {
  readonly kinds = ['run', 'container'] as const;
  readonly #options: ProcessExecutorOptions;
  readonly #limits: { storedBytes: number; fileBytes: number };
  readonly #files: VersionFiles;
  readonly #carriers = new Carriers();
  readonly #spawner: Spawner;
  readonly #live = new Map<string, Live>();
  #closed = false;

  constructor(options: ProcessExecutorOptions) {
    this.#options = options;
    this.#limits = options.log ?? { storedBytes: storedLogBytes, fileBytes: 100 * mebibyte };
    this.#spawner = new Spawner(options.clock);
    this.#files = new VersionFiles(join(options.root, 'files'), options.files);
  }

  async start(action: StartAction): Promise<void> {
    const { body } = action;
    if (body.kind !== 'run' && body.kind !== 'container')
      throw new TypeError(`a process cannot run a step of kind ${body.kind}`);
    const present = this.#live.get(attemptHash(action.key));
    await (present ? present.begun : this.#enter(action.key, (live) => this.#begin(live, action, body)));
  }

  async stop({ key, graceMs }: StopAction): Promise<void> {
    const present = this.#live.get(attemptHash(key));
    if (present) {
      this.#end(present, graceMs);
      const begun = await present.begun.then(
        () => true,
        () => false,
      );
      // A start that failed on the way was let go of; what it may have begun is found on disk.
      if (begun) return;
    }
    await this.#enter(key, async (live) => {
      this.#end(live, graceMs);
      await live.folder.create();
      await this.#adopt(live);
    });
  }

  /**
   * Ends what an attempt left behind and removes its folder; of one that still runs, once it has ended. For attempts whose
   * end is committed: started again after this, it would run again.
   */
  async forget(key: AttemptKey): Promise<void> {
    const hash = attemptHash(key);
    const live = this.#live.get(hash);
    if (live) live.forgotten = true;
    else await this.#remove(new AttemptFolder(this.#options.root, hash), hash);
  }

  async sweep(open: () => Promise<AttemptKey[]>): Promise<void> {
    const { root } = this.#options;
    const found = await attemptHashes(root);
    const kept = new Set((await open()).map(attemptHash));
    const over = found.filter((hash) => !kept.has(hash) && !this.#live.has(hash));
    await Promise.all(over.map((hash) => this.#remove(new AttemptFolder(root, hash), hash)));
    const left = (await attemptHashes(root)).map((hash) => new AttemptFolder(root, hash).filesDirectory());
    await this.#files.sweep(new Set(left.filter((directory) => directory !== null)));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#live.values()];
    this.#live.clear();
    for (const live of all) live.over.abort();
    await Promise.allSettled(all.map((live) => live.begun));
    this.#spawner.close();
  }

  #enter(key: AttemptKey, begin: (live: Live) => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the process executor is closed'));
    const hash = attemptHash(key);
    const live: Live = {
      key,
      hash,
      folder: new AttemptFolder(this.#options.root, hash),
      begun: Promise.resolve(),
      stopped: false,
      interrupted: false,
      forgotten: false,
      graceMs: 0,
      pid: null,
      over: new AbortController(),
    };
    this.#live.set(hash, live);
    live.begun = begin(live).catch((error: unknown) => {
      this.#live.delete(hash);
      throw error;
    });
    return live.begun;
  }

  async #begin(live: Live, action: StartAction, body: LocalBody): Promise<void> {
    const fresh = await live.folder.create();
    if (!fresh && (await live.folder.launcher()).is !== 'none') return this.#adopt(live);
    const secrets = await readSecrets(this.#options.secrets, action.namespace, body.secrets);
    if ('error' in secrets) {
      if (fresh) await live.folder.remove();
      return this.#report(live, { outcome: 'Failed', error: secrets.error });
    }
    const engine = body.kind === 'container' ? await findEngine(this.#options.host.PATH) : null;
    if (body.kind === 'container' && engine === null) {
      if (fresh) await live.folder.remove();
      return this.#report(live, refused(noEngine));
    }
    const masks = Object.values(secrets.values);
    const files = await this.#files.ensure(action.digest);
    try {
      await live.folder.prepare(files, masks, artifactsFor(this.#options.artifacts, action.artifacts));
    } catch (error) {
      if (!(error instanceof ArtifactsMissing)) throw error;
      if (fresh) await live.folder.remove();
      return this.#report(live, { outcome: 'Failed', error: error.error });
    }
    if (engine !== null) await live.folder.prepareContainer(engine);
    if (live.stopped) return this.#adopt(live);
    // The lease may have been given up meanwhile: whoever owns the run now starts it.
    if (live.over.signal.aborted) return;
    const at = { host: this.#options.host, hash: live.hash, folder: live.folder, files: files.directory };
    const env = stepEnvironment(action, body, secrets.values, at);
    try {
      const { pid, end } = await launch(this.#spawner, {
        workDirectory: live.folder.workDirectory,
        ...(body.kind === 'container'
          ? {
              env: { ...this.#engineEnv(), ...secrets.values, WINDLASS_ATTEMPT: live.hash },
              command: containerCommand(engine ?? '', body, { ...at, env }),
            }
          : { env, command: [...body.shell, body.script] }),
        logBytes: this.#limits.fileBytes,
      });
      this.#detach(live, this.#follow(live, pid, end, this.#tail(live, masks, 0), masks));
    } catch (error) {
      const message = refusalOf(error);
      if (message === null) throw new Error(`cannot start a process for step ${action.key.step}`, { cause: error });
      this.#report(live, refused(message));
    }
  }

  /** Takes over what another controller, or another start, has begun; never begins anything itself. */
  async #adopt(live: Live): Promise<void> {
    const launcher = await live.folder.launcher();
    // Told to stop before anything began: from here on nobody may begin it.
    if (live.stopped && launcher.is !== 'known' && (await live.folder.renounce())) return this.#reportNotBegun(live);
    this.#detach(live, this.#followAdopted(live));
  }

  async #followAdopted(live: Live): Promise<void> {
    const launcher = await this.#awaitLauncher(live);
    if (launcher === null) return;
    if (launcher.is === 'renounced') return this.#reportNotBegun(live);
    const masks = await live.folder.masks();
    const tail = this.#tail(live, masks, await this.#options.sink.log.resumeAt(live.key));
    // Dead for long, its pid may be another's by now: nothing is sent to it.
    const alive = (await startOf(launcher.pid)) === launcher.start;
    await this.#follow(live, alive ? launcher.pid : null, this.#untilGone(live, launcher), tail, masks);
  }

  /** Waits until it is known who runs the attempt, or that nobody ever will. Null when it was let go of meanwhile. */
  async #awaitLauncher(live: Live): Promise<Extract<Launcher, { is: 'known' | 'renounced' }> | null> {
    const { clock } = this.#options;
    const from = clock.now();
    while (!live.over.signal.aborted) {
      const launcher = await live.folder.launcher();
      if (launcher.is === 'known' || launcher.is === 'renounced') return launcher;
      if (live.stopped || clock.now() - (launcher.is === 'beginning' ? launcher.since : from) >= beginningMs) {
        if (await live.folder.renounce()) return { is: 'renounced' };
        // Dead while it wrote who it is: nobody carries the attempt any more.
        const nobody = (await this.#carriers.find(live.hash)).length === 0;
        if (nobody && (await live.folder.launcher()).is === 'beginning') return { is: 'renounced' };
      }
      await pause(clock, tickMs, live.over.signal);
    }
    return null;
  }

  async #untilGone(live: Live, launcher: Extract<Launcher, { is: 'known' }>): Promise<LaunchEnd> {
    while (!live.over.signal.aborted && (await startOf(launcher.pid)) === launcher.start) {
      await pause(this.#options.clock, tickMs, live.over.signal);
    }
    return 'gone';
  }

  /** Hands on the log while the attempt runs, then its end. `pid`: null when it is known to be dead. */
  async #follow(
    live: Live,
    pid: number | null,
    end: Promise<LaunchEnd>,
    tail: LogTail,
    masks: readonly string[],
  ): Promise<void> {
    live.pid = pid;
    if (live.stopped && pid !== null) this.#terminate(live, pid);
    const woken = new AbortController();
    const ended = end.then((how) => {
      woken.abort();
      return how;
    });
    const wake = AbortSignal.any([live.over.signal, woken.signal]);
    let leftSince: number | null = null;
    try {
      while (!wake.aborted) {
        await pause(this.#options.clock, tickMs, wake);
        if (wake.aborted) break;
        await tail.advance();
        leftSince = await this.#endLeftovers(live, leftSince);
      }
      if (live.over.signal.aborted) return;
      if ((await ended) !== 'gone') return await this.#followAdopted(live);
      if (live.pid !== null) signal(-live.pid, 'SIGKILL');
      live.pid = null;
      if (live.stopped) await this.#killCarriers(live.hash);
      const engine = live.folder.engine();
      if (engine !== null && (live.stopped || live.folder.exitCode() === null))
        await this.#removeContainer(engine, live.hash);
      const lastLine = await tail.finish(engine === null ? undefined : engineHelp);
      if (live.interrupted || live.folder.wasStopped()) return this.#report(live, { outcome: 'Stopped' });
      const result = await readResult(live.folder, masks, lastLine, engine === null ? undefined : containerOutputBytes);
      const whole =
        engine === null ? await withArtifacts(this.#options.artifacts, live.folder, result) : containerResult(result);
      this.#report(live, whole, live.folder.endedAt());
    } finally {
      await tail.close();
    }
  }

  /**
   * The command has ended but something it started still holds the log: in a container it would have ended with it.
   * Asked politely first, as killing the group takes the end of the log with it.
   */
  async #endLeftovers(live: Live, since: number | null): Promise<number | null> {
    if (live.pid === null || live.folder.exitCode() === null) return null;
    const now = this.#options.clock.now();
    if (since === null) return now;
    const name = now - since >= leftoverMs ? 'SIGKILL' : 'SIGTERM';
    for (const pid of await this.#carriers.find(live.hash)) signal(pid, name);
    return since;
  }

  #end(live: Live, graceMs: number): void {
    const first = !live.stopped;
    const sooner = !first && graceMs < live.graceMs;
    live.stopped = true;
    live.graceMs = graceMs;
    if (live.pid === null) return;
    if (first) this.#terminate(live, live.pid);
    else if (sooner) this.#killAfterGrace(live, live.pid);
  }

  #terminate(live: Live, pid: number): void {
    const { folder } = live;
    // One that has ended by itself keeps its own end; only what it left behind is ended.
    if (folder.endedAt() === null) {
      live.interrupted = true;
      folder.markStopped();
    }
    signal(-pid, 'SIGTERM');
    this.#killAfterGrace(live, pid);
  }

  #killAfterGrace(live: Live, pid: number): void {
    const { clock } = this.#options;
    const killed = pause(clock, live.graceMs, live.over.signal).then(async () => {
      if (live.over.signal.aborted || live.pid !== pid) return;
      const engine = live.folder.engine();
      if (engine !== null) await this.#removeContainer(engine, live.hash);
      signal(-pid, 'SIGKILL');
      await this.#killCarriers(live.hash);
    });
    // Looking for carriers failed (no /proc): they are looked for again when the launcher has gone.
    killed.catch(() => {});
  }

  /** Until there are none: one may start another while this looks. */
  async #killCarriers(hash: string): Promise<void> {
    for (let round = 0; round < 20; round++) {
      const pids = await this.#carriers.find(hash);
      if (pids.length === 0) return;
      for (const pid of pids) signal(pid, 'SIGKILL');
    }
  }

  async #remove(folder: AttemptFolder, hash: string): Promise<void> {
    // Attempts of other kinds have none: looking for processes would cost each of them more than it took to run.
    if (!folder.exists()) return;
    const engine = folder.engine();
    if (engine !== null) await this.#removeContainer(engine, hash);
    await this.#killCarriers(hash);
    await folder.remove();
  }

  #removeContainer(engine: string, hash: string): Promise<void> {
    return removeContainer(engine, hash, this.#engineEnv());
  }

  #engineEnv(): Record<string, string> {
    return { ...engineEnvironment(this.#options.env), ...this.#options.host };
  }

  #tail(live: Live, secrets: readonly string[], from: number): LogTail {
    const { clock, sink, artifacts } = this.#options;
    const { storedBytes: limit, fileBytes } = this.#limits;
    const of = { path: live.folder.log, key: live.key, secrets, from, limit, fileBytes, released: live.over.signal };
    return new LogTail({ ...of, sink: sink.log, artifacts: artifacts.store, clock });
  }

  /** Follows in the background. When the world fails on the way (disk, store), what is there is taken over anew. */
  #detach(live: Live, following: Promise<void>, failures = 0): void {
    following.catch(async (error: unknown) => {
      // The power went while a file of the folder was written: what it said is nowhere else.
      if (error instanceof SyntaxError) return this.#report(live, lost());
      if (failures === 0 && !live.over.signal.aborted) this.#options.troubled(live.key, error);
      await pause(this.#options.clock, retryMs, live.over.signal);
      if (!live.over.signal.aborted) this.#detach(live, this.#followAdopted(live), failures + 1);
    });
  }

  /** Nobody ran it and nobody will. */
  #reportNotBegun(live: Live): void {
    this.#report(live, live.stopped ? { outcome: 'Stopped' } : lost());
  }

  /** `at`: when it ended, if that is known better than by now. */
  #report(live: Live, result: AttemptResult, at: Instant | null = null): void {
    if (live.over.signal.aborted) return;
    live.over.abort();
    this.#live.delete(live.hash);
    const { clock, sink } = this.#options;
    sink.ended(live.key, result, at ?? clock.now());
    // A folder that cannot be removed takes place and does no other harm.
    if (live.forgotten) this.#remove(live.folder, live.hash).catch(() => {});
  }
}

/** It cannot begin as it is: the message says what to change. */
function refused(message: string): AttemptResult {
  return { outcome: 'Failed', error: { type: 'environment', message, retryable: false } };
}
