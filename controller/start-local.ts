import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '../crds/json.ts';
import { decideAdmission } from './core/admission/decide.ts';
import { type LockClaim, nodeOf } from './core/admission/types.ts';
import { createArtifactDirectory } from './artifacts/directory.ts';
import { defaultArtifacts } from './artifacts/open.ts';
import { buildPlan } from './core/plan/build.ts';
import type { Plan } from './core/plan/types.ts';
import { newRun } from './core/run/create.ts';
import { decideRun } from './core/run/decide.ts';
import { hydrate } from './core/run/hydrate.ts';
import {
  type AttemptKey,
  isFinished,
  type RunAction,
  type RunObservation,
  type RunRow,
  type StepRow,
  wholeStep,
} from './core/run/types.ts';
import type { Snapshot } from './core/snapshot.ts';
import { createExecutors } from './executors/index.ts';
import { createSecretDirectory } from './executors/secrets.ts';
import type { StoredArtifact } from './seams/artifacts.ts';
import type { Clock } from './seams/clock.ts';
import type { Executor, StartAction } from './seams/executor.ts';

export interface LocalRunOptions {
  snapshot: Snapshot;
  /** Contents of its files, by sha256. */
  blobs: ReadonlyMap<string, Uint8Array>;
  namespace: string;
  inputs: JsonObject;
  /** What `environment.NAME` is. */
  values: JsonObject;
  /** Every step that asks for approval gets it. */
  approve: boolean;
  /** `<directory>/<namespace>/<name>/<key>`; need not be there. */
  secretsDirectory: string;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** After every decision. */
  onChange(run: LocalRun): void;
  /** `unit`: the step, or `step[item]` of a forEach. */
  onOutput(unit: string, attempt: number, text: string): void;
  /** Cancels the run; its finally steps still run. */
  cancel: AbortSignal;
  /** Ends everything at once; the run is returned as it stood. */
  end: AbortSignal;
  /** Told of attempts that were ended and not seen to be gone within some seconds. What they have stays, in `directory`. */
  onLeft(attempts: { unit: string; attempt: number }[], directory: string): void;
}

/** How long what is ended is waited for: it is killed at once, so what takes longer may never go. */
const goneWithinMs = 5000;

/** A run as it stands: its row, and a row for each step that has left Pending. */
export interface LocalRun {
  run: RunRow;
  /** In the order of the file. */
  steps: { name: string; row: StepRow | null }[];
}

/** The inputs do not fit the workflow's. */
export class InputsRefused extends Error {
  override name = 'InputsRefused';
}

/**
 * Runs a workflow in this process: the same decisions and executors as a controller's, with nothing kept. What its
 * processes leave is removed at the end, unless one of them cannot be ended.
 * @throws InputsRefused; whatever keeps an attempt from being started
 */
export async function runLocally(options: LocalRunOptions): Promise<LocalRun> {
  const root = await mkdtemp(join(tmpdir(), 'windlass-run-'));
  let inUse = false;
  try {
    return await runIn(root, {
      ...options,
      onLeft(attempts, directory) {
        inUse = true;
        options.onLeft(attempts, directory);
      },
    });
  } finally {
    if (!inUse) await rm(root, { recursive: true, force: true });
  }
}

async function runIn(root: string, options: LocalRunOptions): Promise<LocalRun> {
  const { clock, snapshot } = options;
  const plan = buildPlan(snapshot);
  const rows = firstRows(plan, options);
  let state = hydrate(plan, { run: rows.run, steps: [], attempts: [] });
  const observations: RunObservation[] = [specOf(plan, options)];
  let bell = Promise.withResolvers<void>();
  /** Attempts begun that have not ended. */
  const live = new Map<string, StartAction>();
  // Nothing is shared with anybody: there is no lease.
  const neverLost = new AbortController().signal;
  const observe = (observation: RunObservation) => {
    observations.push(observation);
    bell.resolve();
  };
  const output = decodeOutput(options);
  const executor = createExecutors({
    root,
    files: { files: () => Promise.resolve(filesOf(options)) },
    artifacts: { store: createArtifactDirectory(join(root, 'artifacts'), clock), maxBytes: defaultArtifacts.maxBytes },
    secrets: createSecretDirectory(options.secretsDirectory),
    sink: {
      ended: ({ step, item, attempt }, result, at) =>
        observe({ type: 'AttemptEnded', step, item, attempt, at, result }),
      unmasked: ({ step }, secrets) => observe({ type: 'LogUnmasked', step, secrets }),
      // Processes begin at once.
      waiting: () => {},
      log: output,
    },
    clock,
    lost: () => neverLost,
    env: options.env,
    troubled: () => {},
    allowLoopback: true,
    allowPrivate: true,
  });
  const locks = createLocalLocks(observe);
  const onCancel = () => observe(specOf(plan, options));
  const ending = Promise.withResolvers<void>();
  const onEnd = () => {
    ending.resolve();
    bell.resolve();
  };
  options.cancel.addEventListener('abort', onCancel);
  options.end.addEventListener('abort', onEnd);
  try {
    while (!options.end.aborted) {
      bell = Promise.withResolvers<void>();
      const decision = decideRun(plan, state, observations.splice(0), clock.now());
      state = decision.state;
      for (const step of decision.transition?.steps ?? []) rows.steps.set(unitOf(step), { ...step });
      rows.run = { ...state.run };
      options.onChange(view(plan, rows));
      for (const attempt of decision.transition?.attempts ?? []) {
        if (attempt.finishedAt !== null) live.delete(attemptOf({ ...attempt, attempt: attempt.number }));
      }
      if (isFinished(state.run.phase)) return view(plan, rows);
      for (const action of decision.actions) {
        if (action.type === 'Start') live.set(attemptOf(action.key), action);
      }
      const performed = decision.actions.map((action) => perform(action, { executor, locks, observe, clock }));
      // One that hangs must not keep the end waiting.
      await Promise.race([Promise.all(performed), ending.promise]);
      const disarm = decision.wakeAt === null ? nothing : clock.at(decision.wakeAt, bell.resolve);
      if (observations.length === 0) await bell.promise;
      disarm();
    }
    return view(plan, rows);
  } finally {
    options.cancel.removeEventListener('abort', onCancel);
    options.end.removeEventListener('abort', onEnd);
    // Nobody comes after us who could adopt them.
    const left = () => {
      const gone = new Set(observations.map((seen) => (seen.type === 'AttemptEnded' ? attemptOf(seen) : '')));
      return [...live.values()].filter(({ key }) => !gone.has(attemptOf(key)));
    };
    const allGone = async () => {
      const stop = ({ key, namespace, owner, body }: StartAction) =>
        executor.stop({ type: 'Stop', key, namespace, owner, kind: body.kind, graceMs: 0 });
      await Promise.all(left().map(stop));
      while (left().length > 0) {
        bell = Promise.withResolvers();
        await bell.promise;
      }
      await executor.close();
    };
    const late = Promise.withResolvers<void>();
    const disarm = clock.at(clock.now() + goneWithinMs, late.resolve);
    await Promise.race([allGone(), late.promise]).finally(disarm);
    const stuck = left().map(({ key }) => ({ unit: unitOf(key), attempt: key.attempt }));
    if (stuck.length > 0) {
      options.onLeft(stuck, root);
      // It follows them no longer; what it still waits for ends with this process.
      void executor.close();
    }
  }
}

interface Rows {
  run: RunRow;
  steps: Map<string, StepRow>;
}

function firstRows(plan: Plan, { snapshot, namespace, inputs, values, clock }: LocalRunOptions): Rows {
  const checked = plan.checkInputs(inputs);
  if (!checked.ok) throw new InputsRefused(checked.problems.join('; '));
  const id = randomUUID();
  const run = newRun({
    id,
    namespace,
    name: `${snapshot.workflow}-local`,
    workflow: snapshot.workflow,
    digest: snapshot.digest,
    version: null,
    environment: null,
    environmentUid: null,
    values,
    inputs: checked.inputs,
    createdAt: clock.now(),
  });
  return { run, steps: new Map() };
}

function specOf(plan: Plan, { approve, cancel }: LocalRunOptions): RunObservation {
  return {
    type: 'SpecObserved',
    desired: cancel.aborted ? 'Cancelled' : 'Running',
    reason: cancel.aborted ? 'interrupted' : null,
    force: false,
    approvals: approve ? plan.steps.flatMap((step) => approvals(step)) : [],
  };
}

/** As many people as the step asks for, in every group that it names. */
function approvals({ name, main, fallback }: Plan['steps'][number]) {
  const bodies = [main, ...fallback].flatMap((body) => ('body' in body ? [body.body] : []));
  return bodies.flatMap((body) => {
    if (body.kind !== 'approval') return [];
    return Array.from({ length: body.count }, (_, i) => ({
      step: name,
      user: `local-${i + 1}`,
      groups: [...(body.groups ?? [])],
      decision: 'Approve' as const,
      comment: null,
      execution: 1,
    }));
  });
}

interface Performing {
  executor: Executor;
  locks: LocalLocks;
  observe(observation: RunObservation): void;
  clock: Clock;
}

async function perform(action: RunAction, { executor, locks, observe, clock }: Performing): Promise<void> {
  switch (action.type) {
    case 'Start': {
      if (action.body.kind !== 'workflow') return await executor.start(action);
      const { step, item, attempt } = action.key;
      const message = `workflow ${action.body.name} is not started: a run of this process has no child runs`;
      const error = { type: 'child', message, retryable: false };
      const result = { outcome: 'Failed' as const, error };
      return observe({ type: 'AttemptEnded', step, item, attempt, at: clock.now(), result });
    }
    case 'Stop':
      return await executor.stop(action);
    case 'Acquire':
      return locks.acquire(action);
    case 'Release':
      return locks.release(action);
    case 'LookUp':
      // Nothing is kept from run to run.
      return observe({ type: 'CacheMiss', step: action.step, item: action.item, key: action.cache.key });
    case 'Fill':
      return;
  }
}

interface LocalLocks {
  acquire(action: Extract<RunAction, { type: 'Acquire' }>): void;
  release(action: Extract<RunAction, { type: 'Release' }>): void;
}

/** Nobody else asks for locks, but steps of the run may ask for the same one. */
function createLocalLocks(observe: (observation: RunObservation) => void): LocalLocks {
  let holders: LockClaim[] = [];
  let waiters: LockClaim[] = [];

  function decide(): void {
    const { granted, refused } = decideAdmission({ holders, waiters, slots: null });
    const told = new Set([...granted, ...refused.map(({ claim }) => claim)]);
    holders = [...holders, ...granted];
    waiters = waiters.filter((waiter) => !told.has(waiter));
    for (const { holder, since } of granted) observe({ type: 'LocksGranted', holder, since });
    for (const { claim, error } of refused) {
      observe({ type: 'LocksRefused', holder: claim.holder, since: claim.since, error });
    }
  }

  return {
    acquire({ runId, holder, priority, since, request, compensates }) {
      const id = nodeOf(runId, holder);
      const ancestors = holder.step === null ? [] : [runId];
      const label = holder.step === null ? 'the run' : `step ${holder.step}`;
      waiters.push({ id, runId, holder, ancestors, label, priority, since, request, superseded: false, compensates });
      decide();
    },
    release({ runId, holder }) {
      const id = nodeOf(runId, holder);
      holders = holders.filter((claim) => claim.id !== id);
      waiters = waiters.filter((claim) => claim.id !== id);
      decide();
    },
  };
}

function nothing(): void {}

function filesOf({ snapshot, blobs }: LocalRunOptions): Map<string, Uint8Array> {
  return new Map(Object.entries(snapshot.files).map(([path, hex]) => [path, blobs.get(hex) ?? new Uint8Array()]));
}

function decodeOutput({ onOutput }: LocalRunOptions) {
  const decoders = new Map<string, TextDecoder>();
  return {
    append(key: AttemptKey, _: number, bytes: Uint8Array): Promise<void> {
      const unit = unitOf(key);
      const id = attemptOf(key);
      const decoder = decoders.get(id) ?? new TextDecoder();
      decoders.set(id, decoder);
      onOutput(unit, key.attempt, decoder.decode(bytes, { stream: true }));
      return Promise.resolve();
    },
    resumeAt: () => Promise.resolve(0),
    overflow(key: AttemptKey, _: number, rest: StoredArtifact | null): Promise<void> {
      if (rest === null) onOutput(unitOf(key), key.attempt, '\n[windlass] the rest of the output is not shown\n');
      return Promise.resolve();
    },
  };
}

function view(plan: Plan, { run, steps }: Rows): LocalRun {
  return { run, steps: plan.steps.map(({ name }) => ({ name, row: steps.get(name) ?? null })) };
}

function attemptOf(key: { step: string; item: number; attempt: number }): string {
  return `${unitOf(key)} ${key.attempt}`;
}

function unitOf({ step, item }: { step: string; item: number }): string {
  return item === wholeStep ? step : `${step}[${item}]`;
}
