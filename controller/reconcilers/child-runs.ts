import type { Logger } from 'pino';
import { canonicalJson, sha256Hex } from '../core/digest.ts';
import { newRun } from '../core/run/create.ts';
import { reopenRun } from '../core/run/retry.ts';
import {
  type AttemptKey,
  type AttemptResult,
  isFinished,
  pausedAbove,
  type ResolvedBody,
  type RunRow,
  wholeStep,
} from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { Executor, ExecutorSink, StartAction } from '../seams/executor.ts';
import type { RunResult, Store } from '../store/types.ts';
import type { AppliedVersions } from './applied-versions.ts';
import { pinVersion } from './pin.ts';
import type { PlanCache } from './plans.ts';

export interface ChildRunsDependencies {
  store: Store;
  plans: PlanCache;
  applied: AppliedVersions;
  sink: Pick<ExecutorSink, 'ended'>;
  clock: Clock;
  log: Logger;
  /** A child was recorded: somebody may claim it. */
  onRecorded(): void;
}

/** Runs the attempts of steps that start a run: rows of their own, claimed and decided like any run's. */
export interface ChildRuns extends Executor {
  /** A run of this replica has ended; of those that have no parent nothing is known here. */
  runEnded(run: RunRow): void;
  /**
   * Brings a pause of a run to its children, and the end of one. Children that somebody paused by themselves stay so.
   * @throws when the database is away
   */
  follow(runId: string, desired: RunRow['desired']): Promise<void>;
  open(): void;
}

/** A run has at most so many runs above it. */
const deepest = 10;
/** Ends of children that another replica has are looked for so often. */
const pollMs = 2000;
const idsAtOnce = 1000;
const stoppedAbove = 'the step that started it was stopped';

type Body = Extract<ResolvedBody, { kind: 'workflow' }>;

export function createChildRuns(deps: ChildRunsDependencies): ChildRuns {
  const { store, plans, sink, clock, log } = deps;
  /** Attempts whose children have not ended as far as is known here, by the child's id; and the other way round. */
  const live = new Map<string, { key: AttemptKey; name: string; stopping: boolean }>();
  const idOf = new Map<string, string>();
  const ofRun = new Map<string, Set<string>>();
  /** Starts under way, by attempt: what they make is seen only once they are over. */
  const starting = new Map<string, Promise<void>>();
  let cancel = () => {};
  let polling: Promise<void> | null = null;
  let closed = false;

  /** One at a time for each attempt. */
  function start(action: StartAction): Promise<void> {
    const name = attemptName(action.key);
    const present = starting.get(name);
    if (present) return present;
    const begun = begin(action).finally(() => starting.delete(name));
    starting.set(name, begun);
    return begun;
  }

  async function begin(action: StartAction): Promise<void> {
    const { key, body } = action;
    if (body.kind !== 'workflow') throw new TypeError(`a ${body.kind} step is no child run`);
    const latest = await latestOf(key);
    const own = latest?.parent?.attempt === key.attempt ? latest : null;
    if (own && isFinished(own.phase)) return end(key, resultOf(own, own.name, false), endOf(own));
    const found = own ?? (await resume(key, body, latest));
    const child = found ?? (await make(action, body));
    if ('refused' in child) return end(key, refused(child.refused), clock.now());
    if (!own) deps.onRecorded();
    if (live.get(child.id)?.key.attempt !== key.attempt) keep(child.id, { key, name: child.name, stopping: false });
    // It may have ended since it was looked at, and then nobody tells.
    if (found) await look([child.id]);
  }

  /** The child of this attempt, else of the last one before it that has any. A child that goes on keeps its first attempt's id. */
  async function latestOf(key: AttemptKey): Promise<RunRow | null> {
    for (let { attempt } = key; attempt > 0; attempt--) {
      const run = await store.runs.get(childId({ ...key, attempt }));
      if (run) return run;
    }
    return null;
  }

  /**
   * Makes the child of the attempt before go on as its next execution, keeping what succeeded. Null: there is none to go on
   * with, or something was done in between: a fallback, or a compensation that has undone it.
   * @throws when it goes on as that of another attempt
   */
  async function resume(key: AttemptKey, body: Body, latest: RunRow | null): Promise<RunRow | null> {
    if (latest) refuseLate(key, latest);
    if (!body.resumes || latest?.workflow !== body.name || latest.parent?.attempt !== key.attempt - 1) return null;
    if (!isFinished(latest.phase) || hasEndedWell(latest)) return null;
    const plan = await plans.get(latest.digest);
    const checked = plan.checkInputs(body.inputs);
    if (!checked.ok || canonicalJson(checked.inputs) !== canonicalJson(latest.inputs)) return null;
    const [rows] = await store.runs.load([latest.id]);
    if (rows?.run.execution !== latest.execution) return ofThis(key, rows?.run);
    const reopened = reopenRun(plan, rows, { from: null, onlyFailed: false }, clock.now());
    if (!reopened.ok) return null;
    const { transition } = reopened;
    await store.runs.reopen({ ...transition, run: { ...transition.run, parent: key } });
    return ofThis(key, await store.runs.get(latest.id));
  }

  async function make(action: StartAction, body: Body): Promise<{ refused: string } | RunRow> {
    const { key, namespace } = action;
    const id = childId(key);
    const parent = await store.runs.get(key.runId);
    if (!parent) throw new Error(`the run ${key.runId}, whose step starts a run, is not recorded`);
    if (parent.depth >= deepest) {
      return { refused: `a run has at most ${deepest} runs above it, and this one would have more` };
    }
    const above = await ancestorNamed(parent, body.name);
    if (above !== null) {
      return { refused: `workflow ${body.name} would start itself: run ${above} of it is above this step` };
    }
    const pin = await pinVersion(deps, namespace, body.name);
    if ('waits' in pin) return { refused: pin.waits.message };
    const checked = (await plans.get(pin.digest)).checkInputs(body.inputs);
    if (!checked.ok) return { refused: `inputs of workflow ${body.name}: ${checked.problems.join('; ')}` };
    const row = newRun({
      id,
      namespace,
      name: childName(action.runName, key, id),
      workflow: body.name,
      digest: pin.digest,
      version: pin.version,
      environment: pin.environment,
      environmentUid: pin.environmentUid,
      values: pin.values,
      inputs: checked.inputs,
      // Of the attempt: made again after a crash, it is the same run.
      createdAt: action.startedAt,
      priority: body.priority,
      parent: key,
      root: parent.root,
      rootName: parent.rootName,
      depth: parent.depth + 1,
    });
    await store.runs.create(row);
    return row;
  }

  /** The name of a run of this workflow among a run and those above it; null: there is none. */
  async function ancestorNamed(from: RunRow, workflow: string): Promise<string | null> {
    for (let run: RunRow | null = from; run; run = run.parent ? await store.runs.get(run.parent.runId) : null) {
      if (run.workflow === workflow) return run.name;
    }
    return null;
  }

  function keep(id: string, known: { key: AttemptKey; name: string; stopping: boolean }): void {
    const before = live.get(id);
    if (before) drop(before.key);
    live.set(id, known);
    idOf.set(attemptName(known.key), id);
    const { runId } = known.key;
    ofRun.set(runId, (ofRun.get(runId) ?? new Set()).add(id));
  }

  function drop(key: AttemptKey): void {
    const id = idOf.get(attemptName(key));
    if (id === undefined) return;
    idOf.delete(attemptName(key));
    live.delete(id);
    const siblings = ofRun.get(key.runId);
    siblings?.delete(id);
    if (siblings?.size === 0) ofRun.delete(key.runId);
  }

  function end(key: AttemptKey, result: AttemptResult, at: number): void {
    drop(key);
    sink.ended(key, result, at);
  }

  function report(id: string, run: Omit<RunResult, 'id'>): void {
    const known = live.get(id);
    // What is told late may be the end of an earlier execution.
    if (known?.key.attempt !== run.parent?.attempt) return;
    if (known) end(known.key, resultOf(run, known.name, known.stopping), endOf(run));
  }

  async function look(ids: string[]): Promise<void> {
    for (let i = 0; i < ids.length; i += idsAtOnce) {
      for (const run of await store.runs.results(ids.slice(i, i + idsAtOnce))) report(run.id, run);
    }
  }

  function tick(): void {
    if (live.size > 0) {
      polling ??= look([...live.keys()])
        .catch((error: unknown) => log.warn({ err: error }, 'child runs could not be looked at; it is tried again'))
        .finally(() => (polling = null));
    }
    if (!closed) cancel = clock.at(clock.now() + pollMs, tick);
  }

  return {
    kinds: ['workflow'],
    start,
    async stop({ key }) {
      // One that failed may have made it all the same, if only its answer was lost.
      await starting.get(attemptName(key))?.catch(() => {});
      const [present, parent] = await Promise.all([latestOf(key), store.runs.get(key.runId)]);
      if (present?.parent?.attempt !== key.attempt) return end(key, { outcome: 'Stopped' }, clock.now());
      const { id } = present;
      if (isFinished(present.phase)) return end(key, resultOf(present, present.name, true), endOf(present));
      keep(id, { key, name: present.name, stopping: true });
      const force = parent?.forced ?? false;
      await store.runs.changeSpec(id, (spec) =>
        spec.desired === 'Cancelled' && spec.force === force
          ? null
          : { ...spec, desired: 'Cancelled', reason: stoppedAbove, force: spec.force || force },
      );
      await look([id]);
    },
    forget(key) {
      drop(key);
      return Promise.resolve();
    },
    sweep: () => Promise.resolve(),
    async close() {
      closed = true;
      cancel();
      await polling;
    },
    runEnded(run) {
      if (run.parent !== null) report(run.id, run);
    },
    async follow(runId, desired) {
      for (const id of ofRun.get(runId) ?? []) {
        await store.runs.changeSpec(id, (spec) => {
          if (desired === 'Paused' && spec.desired === 'Running') {
            return { ...spec, desired: 'Paused', reason: pausedAbove };
          }
          const paused = spec.desired === 'Paused' && spec.reason === pausedAbove;
          return desired === 'Running' && paused ? { ...spec, desired: 'Running', reason: null } : null;
        });
      }
    },
    open: tick,
  };
}

function attemptName({ runId, step, item, attempt }: AttemptKey): string {
  return `${runId}/${step}/${item}/${attempt}`;
}

/**
 * A child that goes on, be it that another replica has let it: it is the one of this attempt, and there must be no other.
 * @throws when it is not; it is looked at anew then, by whoever owns the run
 */
function ofThis(key: AttemptKey, run: RunRow | null | undefined): RunRow {
  if (run?.parent?.attempt === key.attempt) return run;
  throw new Error(`the child run of ${attemptName(key)} was changed while it was to go on`);
}

/** @throws when the child is that of a later attempt: this one is over, and whoever starts it lost the run while it asked */
function refuseLate(key: AttemptKey, { parent }: RunRow): void {
  if (parent && parent.attempt > key.attempt) throw new Error(`${attemptName(key)} is over: its child run went on`);
}

/** Made of the attempt alone, so that whoever starts it finds the same run. Formed like a UID. */
export function childId(key: AttemptKey): string {
  const hex = sha256Hex(new TextEncoder().encode(`child ${attemptName(key)}`));
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}

/** A name as objects have them, short enough for a name within a name within a name. */
function childName(parent: string, key: AttemptKey, id: string): string {
  const words = [parent, key.step.replaceAll('_', '-'), ...(key.item === wholeStep ? [] : [String(key.item)])];
  return `${words
    .join('-')
    .slice(0, 57)
    .replace(/[^a-z0-9]+$/, '')}-${id.slice(0, 5)}`;
}

function refused(message: string): AttemptResult {
  return { outcome: 'Failed', error: { type: 'child', message, retryable: false } };
}

function endOf({ finishedAt }: Pick<RunResult, 'finishedAt'>): number {
  return finishedAt ?? 0;
}

function hasEndedWell({ phase }: Pick<RunRow, 'phase'>): boolean {
  return phase === 'Succeeded' || phase === 'Degraded';
}

function resultOf(
  { phase, outputs, error }: Pick<RunResult, 'phase' | 'outputs' | 'error'>,
  name: string,
  stopping: boolean,
): AttemptResult {
  if (hasEndedWell({ phase })) {
    return { outcome: 'Succeeded', outputs: { values: outputs ?? {} } };
  }
  if (phase === 'Cancelled' && stopping) return { outcome: 'Stopped' };
  const what = phase === 'Failed' ? 'failed' : phase === 'TimedOut' ? 'timed out' : 'was cancelled';
  const message = `the run ${name} ${what}${error === null ? '' : `: ${error.message}`}`;
  // What was of no use to try again in the child is of none here. Its time, though, it has again.
  const retryable = phase === 'TimedOut' || (phase === 'Failed' && (error?.retryable ?? true));
  return { outcome: 'Failed', error: { type: 'child', message, retryable } };
}

/** One executor of all kinds: child runs, and what runs outside of the database. */
export function withChildRuns(outside: Executor, children: Executor): Executor {
  const of = (kind: ResolvedBody['kind']) => (kind === 'workflow' ? children : outside);
  return {
    kinds: [...outside.kinds, ...children.kinds],
    start: (action) => of(action.body.kind).start(action),
    stop: (action) => of(action.kind).stop(action),
    async forget(key) {
      await children.forget(key);
      await outside.forget(key);
    },
    sweep: (open) => outside.sweep(open),
    async close() {
      await children.close();
      await outside.close();
    },
  };
}
