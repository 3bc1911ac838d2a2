import type { Condition } from '../../../crds/metadata.ts';
import type { WorkflowRunStatus } from '../../../crds/workflow-run.ts';
import { type Assertion, nextConditions } from '../conditions.ts';
import type { Instant } from '../time.ts';
import { notAskedFor, sayWaits } from './approvals.ts';
import { sayRequest } from './queue.ts';
import { failuresKept, type RunState, stepAt } from './state.ts';
import { jsonBytes } from './storable.ts';
import { isFinished, type RunRow } from './types.ts';

/** Outputs up to this many bytes of JSON are shown in the status; larger ones are in the history alone. */
const shownOutputBytes = 4096;
/** Longest message of a condition, in bytes of JSON: the whole status stays below 10 KB. */
const messageBytes = 1000;
/** How many steps a message names. */
const namedSteps = 5;

/**
 * The status of a run. Costs a few counters, however large the run is. `held`: why the approvals of its spec are not
 * believed at present, why a step that is to begin cannot, and why one that has begun does not run.
 */
export function projectRunStatus(
  state: RunState,
  generation: number,
  current: Condition[] | undefined,
  now: Instant,
  held: { approvals?: string | null; step?: string | null; waiting?: string | null } = {},
): WorkflowRunStatus {
  const { run, failures, mainLeft, finallyLeft, awaitingApproval, degraded, compensation } = state;
  const waiting = run.outcome === null ? Array.from(awaitingApproval, (unit) => unit.step) : [];
  const steps = new Map(waiting.sort((a, b) => a.index - b.index).map((step) => [step.name, step]));
  const weak = [...degraded.main, ...degraded.finally].sort((a, b) => a - b);
  const facts: Facts = {
    ended: state.steps.length - mainLeft - finallyLeft,
    total: state.steps.length,
    failed: [...failures.main, ...failures.finally].slice(0, failuresKept).map(({ step }) => step.name),
    approvalsHeld: held.approvals ?? null,
    queuedFor: state.queuedFor === null ? null : sayRequest(state.queuedFor),
    kept: keptBy(held),
    ignored: namesOf(isFinished(run.phase) ? [] : notAskedFor(state)),
    awaiting: {
      ...namesOf([...steps.keys()]),
      first: [...steps.values()].slice(0, namedSteps).map((step) => sayWaits(state, step)),
    },
    degraded: namesOf(weak.map((index) => stepAt(state, index).step.name)),
    notCompensated: compensation.left + compensation.failed,
  };
  return project(run, facts, generation, current, now);
}

function keptBy({ step, waiting }: { step?: string | null; waiting?: string | null }): Facts['kept'] {
  if (step) return { reason: 'StepHeld', message: clip(step) };
  return waiting ? { reason: 'StepWaiting', message: clip(waiting) } : null;
}

interface Names {
  count: number;
  first: string[];
}

function namesOf(names: string[]): Names {
  return { count: names.length, first: names.slice(0, namedSteps) };
}

function listed({ count, first }: Names, separator = ', '): string {
  return first.join(separator) + (count > first.length ? ` and ${count - first.length} more` : '');
}

interface Facts {
  ended: number;
  total: number;
  failed: string[];
  approvalsHeld: string | null;
  /** Steps that were approved and do not ask for it. */
  ignored: Names;
  /** What it must have to leave the queue, as far as that is known. */
  queuedFor: string | null;
  /** Why no step goes on that should. */
  kept: { reason: 'StepHeld' | 'StepWaiting'; message: string } | null;
  /** Steps that wait for approval, each with what is missing. */
  awaiting: Names;
  /** Steps that ended well enough, but not as they should. */
  degraded: Names;
  /** Units that succeeded and should be undone, and are not. */
  notCompensated: number;
}

function project(
  run: RunRow,
  facts: Facts,
  generation: number,
  current: Condition[] | undefined,
  now: Instant,
): WorkflowRunStatus {
  return {
    observedGeneration: generation,
    phase: run.phase,
    progress: `${facts.ended}/${facts.total}`,
    digest: run.digest,
    revision: run.revision,
    execution: run.execution,
    ...(run.version === null ? {} : { version: run.version }),
    ...(run.environment === null ? {} : { environment: run.environment }),
    ...(run.startedAt === null ? {} : { startedAt: new Date(run.startedAt).toISOString() }),
    ...(run.finishedAt === null ? {} : { finishedAt: new Date(run.finishedAt).toISOString() }),
    ...(run.outputs !== null && jsonBytes(run.outputs) < shownOutputBytes ? { outputs: run.outputs } : {}),
    ...(facts.failed.length === 0 ? {} : { failedSteps: facts.failed }),
    conditions: nextConditions(current, assertions(run, facts), generation, now),
  };
}

/** `Reconciling` and `Stalled` are there only while they are true, as kstatus reads them. */
function assertions(run: RunRow, facts: Facts): Assertion[] {
  const phase = phaseAssertions(run, facts);
  if (run.logsUnmasked === null) return phase;
  const message = clip(run.logsUnmasked);
  return [...phase, { type: 'LogsUnmasked', status: 'True', reason: 'SecretNotAllowed', message }];
}

function phaseAssertions(run: RunRow, facts: Facts): Assertion[] {
  if (!isFinished(run.phase)) {
    const { reason, message } = facts.kept ?? { reason: run.phase, message: sayPhase(run, facts) };
    const unfinished: Assertion[] = [
      { type: 'Succeeded', status: 'Unknown', reason, message },
      { type: 'Finished', status: 'False', reason: run.phase, message: 'the run has not ended' },
      { type: 'Reconciling', status: 'True', reason, message },
    ];
    const { awaiting, ignored } = facts;
    if (ignored.count > 0) {
      const which = `${ignored.count === 1 ? 'step' : 'steps'} ${listed(ignored)}`;
      const text = `the spec has approvals for ${which}, and no step of that name waits for approval; correct the name`;
      unfinished.push({ type: 'ApprovalsIgnored', status: 'True', reason: 'NoSuchApproval', message: clip(text) });
    }
    if (awaiting.count > 0) {
      const held = facts.approvalsHeld === null ? '' : `. ${facts.approvalsHeld}`;
      const waits = clip(`${listed(awaiting, '. ')}${held}`);
      const reason = facts.approvalsHeld === null ? 'WaitingForApproval' : 'ApprovalsNotBelieved';
      unfinished.push({ type: 'WaitingForApproval', status: 'True', reason, message: waits });
    }
    if (run.desired === 'Paused') {
      const paused = run.reason === null ? 'nothing begins until the run is resumed' : clip(run.reason);
      unfinished.push({ type: 'Paused', status: 'True', reason: 'Paused', message: paused });
    }
    return unfinished;
  }
  const message = sayPhase(run, facts);
  const succeeded = run.phase === 'Succeeded' || run.phase === 'Degraded' ? 'True' : 'False';
  const ended: Assertion[] = [
    { type: 'Succeeded', status: succeeded, reason: run.phase, message },
    { type: 'Finished', status: 'True', reason: run.phase, message: 'the run has ended' },
  ];
  if (run.compensatingAt !== null) ended.push(compensated(facts));
  if (run.phase === 'Failed' || run.phase === 'TimedOut') {
    ended.push({ type: 'Stalled', status: 'True', reason: run.phase, message });
  }
  return ended;
}

function compensated({ notCompensated }: Facts): Assertion {
  if (notCompensated === 0) {
    return { type: 'Compensated', status: 'True', reason: 'Compensated', message: 'all that succeeded was undone' };
  }
  const message = `${notCompensated} of what succeeded could not be undone`;
  return { type: 'Compensated', status: 'False', reason: 'CompensationFailed', message };
}

function sayPhase(run: RunRow, facts: Facts): string {
  if (run.error !== null) return clip(run.error.message);
  if (run.phase === 'Queued')
    return facts.queuedFor ? `in the queue: waits for ${clip(facts.queuedFor)}` : 'in the queue';
  if (run.phase === 'Degraded') return `not as it should be: ${listed(facts.degraded)}`;
  return `${facts.ended} of ${facts.total} steps have ended`;
}

function clip(text: string): string {
  if (jsonBytes(text) <= messageBytes) return text;
  let end = Math.min(text.length, messageBytes);
  while (jsonBytes(text.slice(0, end)) > messageBytes) end = Math.floor(end * 0.9);
  return `${text.slice(0, end).toWellFormed()}…`;
}
