import type { Logger } from 'pino';
import type { Environment } from '../../crds/environment.ts';
import type { WorkflowSource, WorkflowSourceStatus } from '../../crds/workflow-source.ts';
import { type Diagnostic, formatDiagnostic } from '../core/diagnostic.ts';
import { parseDuration } from '../core/duration.ts';
import { refusedTags } from '../core/promotion/refused.ts';
import { invalidEnvironments, projectSourceStatus, type SourceStanding } from '../core/source-status.ts';
import type { Instant } from '../core/time.ts';
import { BranchMissing, UnsupportedUrl } from '../git/errors.ts';
import type { FetchedRef } from '../git/refs.ts';
import { watchLocal } from '../git/watch.ts';
import { createLoop, type Loop, type Requeue } from '../runtime/loop.ts';
import type { Clock } from '../seams/clock.ts';
import { FenceLost } from '../seams/lease.ts';
import type { RefRow, Store } from '../store/types.ts';
import { applyEnvironmentFiles } from './environment-files.ts';
import { keyOf, requestedAt, splitKey } from './keys.ts';
import type { Metrics } from './metrics.ts';
import { mistakesIn } from './mistakes.ts';
import { type Repositories, sourceKey } from './repositories.ts';
import type { KindStatusWriter } from './statuses.ts';
import { tagFacts } from './tags.ts';

export interface SourceReconcilerDependencies {
  store: Store;
  repositories: Repositories;
  statuses: KindStatusWriter<WorkflowSourceStatus>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Folder of environment files read from the branch's tip; null where Environments are applied by people. */
  environmentsPath: string | null;
  /** Called when what a source holds may have changed. */
  onFetched(project: string, source: string): void;
}

export interface SourceReconciler {
  loop: Loop;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const defaultInterval = '1m';
/** Of the mistakes in environment files; the status has them all. */
const maxProblemsTold = 10;

/** Fetches every source at its interval, when asked, and when a local repository is pushed to. */
export function createSourceReconciler(deps: SourceReconcilerDependencies): SourceReconciler {
  const { store, repositories, statuses, clock, log, metrics } = deps;
  const loop = createLoop({
    name: 'workflowsource',
    clock,
    concurrency: 4,
    reconcile,
    observe: metrics.reconciled('workflowsource', log),
  });
  const stops: (() => void)[] = [];
  /** Watches on local repositories, by source uid. */
  const watches = new Map<string, { url: string; stop: () => void }>();
  /** What is known to be all that is kept of a source, by its uid. */
  const keys = new Map<string, string>();
  /** Keys of the loop that are reconciled now, with the sources that were deleted meanwhile. */
  const running = new Map<string, WorkflowSource[]>();
  let leaving: Promise<unknown> = Promise.resolve();

  async function reconcile(key: string): Promise<Requeue> {
    const deleted: WorkflowSource[] = [];
    running.set(key, deleted);
    try {
      return await look(key);
    } finally {
      running.delete(key);
      // What was fetched after they went.
      for (const source of deleted) await letGo(source);
    }
  }

  async function look(key: string): Promise<Requeue> {
    if (!store.isLeader()) return { requeueAt: null };
    const [namespace, name] = splitKey(key);
    const source = await store.objects.get('WorkflowSource', namespace, name);
    if (!source) return { requeueAt: null };
    statuses.known(source.metadata, source.status);
    if (source.spec.suspend) {
      writeStatus(source, { type: 'Suspended' }, { refused: [], commit: null });
      return { requeueAt: null };
    }
    const mistakes = mistakesIn(source);
    if (mistakes.length === 0) return await fetch(key, source);
    const message = mistakes.join('\n');
    writeStatus(source, { type: 'Invalid', message });
    deps.onFetched(namespace, name);
    return { requeueAt: null };
  }

  async function fetch(key: string, source: WorkflowSource): Promise<Requeue> {
    const { namespace, name, uid } = source.metadata;
    const begun = clock.monotonic();
    try {
      watchPushes(key, source);
      const environments = await environmentsOf(source);
      if (keys.get(uid) !== sourceKey(source)) keys.delete(uid);
      const repository = await repositories.open(source, environments.flatMap(trackedBranches));
      const fetched = await repository.fetch();
      const refs = await store.refs.record(sourceKey(source), fetched.filter(isCommit), clock.now());
      await dropEarlier(source);
      metrics.fetched(name, (clock.monotonic() - begun) / 1000, true);
      const problems =
        deps.environmentsPath === null
          ? []
          : await applyEnvironmentFiles(deps, source, deps.environmentsPath, repository);
      if (problems.length > 0) await tellProblems(source, tip(refs, source), problems);
      deps.onFetched(namespace, name);
      const ranges = environments.flatMap(({ spec }) => spec.track.tag?.semver ?? []);
      const tags = await tagFacts(repository, refs, source.spec.branch);
      const commit = tip(refs, source);
      const message = `${source.spec.branch} is at ${commit?.slice(0, 12) ?? 'no commit'}.`;
      const standing: SourceStanding =
        problems.length > 0
          ? { type: 'InvalidEnvironments', message: problems.map(formatDiagnostic).join('\n') }
          : { type: 'Fetched', message };
      const refused = [...fetched.filter((ref) => !isCommit(ref)).map(notACommit), ...refusedTags(tags, ranges)];
      writeStatus(source, standing, { refused, commit });
      return { requeueAt: nextFetch(source) };
    } catch (error) {
      // Whoever leads now fetches by itself, and says how that went.
      if (error instanceof FenceLost) return { requeueAt: null };
      metrics.fetched(name, (clock.monotonic() - begun) / 1000, false);
      const reason = error instanceof Error ? error.name : 'Unknown';
      const message = error instanceof Error ? error.message : String(error);
      const forUser = error instanceof UnsupportedUrl || error instanceof BranchMissing;
      writeStatus(source, { type: 'NotFetched', reason, message, stalled: forUser });
      deps.onFetched(namespace, name);
      // The user must act: the spec's change or the interval brings it back, not a backoff.
      if (forUser) return { requeueAt: nextFetch(source) };
      throw error;
    }
  }

  /** Once for a commit, however often it is fetched. */
  async function tellProblems(source: WorkflowSource, commit: string | null, problems: Diagnostic[]): Promise<void> {
    const { metadata, spec, status } = source;
    const before = status?.conditions?.find(({ type }) => type === 'Ready')?.reason;
    if (before === invalidEnvironments && status?.commit === commit) return;
    const shown = problems.slice(0, maxProblemsTold).map(formatDiagnostic);
    if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`);
    const message = `Commit ${commit?.slice(0, 12) ?? ''} of ${spec.branch} changes no environment:\n${shown.join('\n')}`;
    const { namespace, name } = metadata;
    await store.events.append([
      {
        kind: 'WorkflowSource',
        namespace,
        name,
        type: 'Warning',
        reason: invalidEnvironments,
        message,
        at: clock.now(),
      },
    ]);
  }

  /** What was fetched from the url that the source had before. */
  async function dropEarlier(source: WorkflowSource): Promise<void> {
    const { uid } = source.metadata;
    const key = sourceKey(source);
    if (keys.get(uid) === key) return;
    await store.refs.drop(uid, key);
    await repositories.drop(uid, key);
    keys.set(uid, key);
  }

  async function environmentsOf(source: WorkflowSource): Promise<Environment[]> {
    const all = await store.objects.list('Environment', { namespace: source.metadata.namespace });
    return all.filter((environment) => environment.spec.source.name === source.metadata.name);
  }

  function nextFetch(source: WorkflowSource): Instant {
    return clock.now() + parseDuration(source.spec.interval ?? defaultInterval);
  }

  /** `found`: what there is in it; left out: what there was. */
  function writeStatus(
    { metadata, status }: WorkflowSource,
    standing: SourceStanding,
    found: { refused: NonNullable<WorkflowSourceStatus['refused']>; commit: string | null } = {
      refused: status?.refused ?? [],
      commit: status?.commit ?? null,
    },
  ): void {
    const { generation, annotations } = metadata;
    const view = { generation, conditions: status?.conditions, handled: annotations[requestedAt], ...found };
    statuses.offer(metadata, projectSourceStatus(standing, view, clock.now()));
  }

  /** @throws UnsupportedUrl */
  function watchPushes(key: string, source: WorkflowSource): void {
    const { uid } = source.metadata;
    const watch = watches.get(uid);
    if (watch?.url === source.spec.url) return;
    watch?.stop();
    watches.set(uid, { url: source.spec.url, stop: watchLocal(source.spec.url, () => loop.enqueue(key)) });
  }

  function gone(source: WorkflowSource): void {
    running.get(keyOf(source))?.push(source);
    deps.onFetched(source.metadata.namespace, source.metadata.name);
    leaving = Promise.all([leaving, letGo(source)]);
  }

  async function letGo({ metadata: { uid } }: WorkflowSource): Promise<void> {
    watches.get(uid)?.stop();
    watches.delete(uid);
    keys.delete(uid);
    statuses.forgetId(uid);
    try {
      await repositories.drop(uid, null);
      if (store.isLeader()) await store.refs.drop(uid, null);
    } catch (error) {
      log.warn({ err: error, source: uid }, 'what was fetched from a deleted source stays');
    }
  }

  return {
    loop,
    async start() {
      const generations = new Map<string, string>();
      await repositories.sweep(await store.objects.list('WorkflowSource'));
      stops.push(
        await store.objects.watch('WorkflowSource', ({ type, object }) => {
          const key = keyOf(object);
          if (type === 'Deleted') {
            generations.delete(key);
            gone(object);
            return;
          }
          // Our own status writes come back here; only a new spec or a request is news.
          const seen = `${object.metadata.uid} ${object.metadata.generation} ${object.metadata.annotations[requestedAt] ?? ''}`;
          if (generations.get(key) === seen) return;
          generations.set(key, seen);
          loop.enqueue(key);
        }),
        await store.objects.watch('Environment', ({ object }) => {
          // A new Environment may track a branch that was not fetched yet.
          const key = `${object.metadata.namespace}/${object.spec.source.name}`;
          const seen = `${object.metadata.uid} ${object.metadata.generation}`;
          if (generations.get(`env ${keyOf(object)}`) === seen) return;
          generations.set(`env ${keyOf(object)}`, seen);
          loop.enqueue(key);
        }),
        store.onLeadership((leader) => {
          if (leader) for (const key of generations.keys()) if (!key.startsWith('env ')) loop.enqueue(key);
        }),
      );
    },
    async stop() {
      for (const stop of stops) stop();
      for (const { stop } of watches.values()) stop();
      await loop.stop();
      await leaving;
    },
  };
}

function isCommit(ref: FetchedRef): boolean {
  return ref.target === 'commit';
}

function notACommit({ ref, commit, target }: FetchedRef) {
  const message = `This tag names a ${target}, which no version can come from. Tag a commit instead.`;
  return { ref: ref.slice('refs/tags/'.length), commit, reason: 'NotACommit', message };
}

function trackedBranches(environment: Environment): string[] {
  const { branch, tag } = environment.spec.track;
  return [branch, tag?.from].filter((name) => name !== undefined);
}

function tip(refs: RefRow[], source: WorkflowSource): string | null {
  return refs.find((row) => row.ref === `refs/heads/${source.spec.branch}` && !row.deleted)?.commit ?? null;
}
