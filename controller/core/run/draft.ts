import type { Plan, StepIndex } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { enterPhase, hasEnded, isFailure, type RunState, releaseSuccessors, stepAt } from './state.ts';
import type { AttemptRow, RunAction, RunEvent, RunTransition, StepError, StepPhase, StepRow } from './types.ts';

/** A decision while it is being made: the state it changes, and what it changed so far. */
export interface Draft {
  plan: Plan;
  state: RunState;
  now: Instant;
  runChanged: boolean;
  steps: Set<StepRow>;
  attempts: Set<AttemptRow>;
  events: RunEvent[];
  actions: RunAction[];
}

export function newDraft(plan: Plan, state: RunState, now: Instant): Draft {
  return { plan, state, now, runChanged: false, steps: new Set(), attempts: new Set(), events: [], actions: [] };
}

/** What must be committed, copied out of the state; null when nothing changed. Raises the run's revision. */
export function closeDraft(draft: Draft): RunTransition | null {
  const { run } = draft.state;
  if (!draft.runChanged && draft.steps.size === 0 && draft.attempts.size === 0) return null;
  run.revision++;
  return {
    run: { ...run },
    steps: Array.from(draft.steps, (row) => ({ ...row })),
    attempts: Array.from(draft.attempts, (row) => ({ ...row })),
    events: draft.events,
  };
}

export function emit(draft: Draft, type: RunEvent['type'], reason: string, message: string): void {
  draft.events.push({ type, reason, message, at: draft.now });
}

/** Moves a step on: `phase`, and whatever else its row changes with it. A Pending step gets its row now. */
export function moveStep(
  draft: Draft,
  index: StepIndex,
  change: Partial<StepRow> & { phase: StepPhase; reason: string | null },
): void {
  const { plan, state } = draft;
  const row = stepAt(state, index).row ?? newStepRow(state.run.id, plan.steps[index]?.name ?? '');
  const before = row.phase;
  enterPhase(plan, state, index, before, Object.assign(row, change));
  draft.steps.add(row);
}

/**
 * Ends a step and readies those whose last need it was, to begin in this same decision.
 * @param at when it ended, if the world said so; else now
 */
export function endStep(
  draft: Draft,
  index: StepIndex,
  end: {
    phase: 'Succeeded' | 'Skipped' | 'Failed' | 'TimedOut' | 'Cancelled';
    reason?: string;
    error?: StepError;
    outputs?: StepRow['outputs'];
    at?: Instant;
  },
): void {
  const { plan, state } = draft;
  const row = stepAt(state, index).row;
  if (row && hasEnded(row.phase)) return;
  moveStep(draft, index, {
    phase: end.phase,
    reason: end.reason ?? null,
    error: end.error ?? null,
    outputs: end.outputs ?? null,
    until: null,
    startedAt: row?.startedAt ?? (end.phase === 'Skipped' || end.phase === 'Cancelled' ? null : draft.now),
    finishedAt: end.at ?? draft.now,
  });
  if (isFailure(end.phase)) {
    emit(draft, 'Warning', 'StepFailed', `step ${plan.steps[index]?.name}: ${end.error?.message ?? end.phase}`);
  }
  releaseSuccessors(plan, state, index, (successor) => state.ready.push(successor));
}

function newStepRow(runId: string, step: string): StepRow {
  return {
    runId,
    step,
    phase: 'Pending',
    reason: null,
    startedAt: null,
    finishedAt: null,
    attempts: 0,
    infrastructureFailures: 0,
    until: null,
    outputs: null,
    error: null,
  };
}
