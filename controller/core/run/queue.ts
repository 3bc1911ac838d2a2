import { formatDuration } from '../duration.ts';
import type { Plan } from '../plan/types.ts';
import { type Draft, emit } from './draft.ts';
import { namesOf } from './locks.ts';
import { evaluated } from './resolve.ts';
import { makeReady, type RunState } from './state.ts';
import { armRunTimers } from './timers.ts';
import type { LockRequest, StepError } from './types.ts';

/** Whether a run must hold something before it begins. */
export function holdsAsRun(plan: Plan): boolean {
  return plan.concurrency !== null || plan.locks.length > 0;
}

/** Says what a queued run asks for. Null: said; else why that cannot be told. */
export function askQueue(draft: Draft): StepError | null {
  const { state, plan } = draft;
  const { id: runId, namespace, priority, queuedAt: since } = state.run;
  const { concurrency, locks } = plan;
  const request = evaluated(
    (): LockRequest => ({
      locks: namesOf(locks, state.context),
      group:
        concurrency === null ? null : { name: concurrency.group.evaluate(state.context), policy: concurrency.policy },
      slot: false,
    }),
  );
  if (!request.ok) return request.error;
  state.queuedFor = request.value;
  draft.actions.push({
    type: 'Acquire',
    runId,
    holder: { step: null },
    namespace,
    priority,
    since,
    request: request.value,
    compensates: false,
  });
  return null;
}

/** The run leaves the queue. */
export function beginRun(draft: Draft): void {
  const { state, plan, now } = draft;
  state.queuedFor = null;
  state.run.phase = 'Running';
  state.run.startedAt = now;
  draft.runChanged = true;
  emit(draft, 'Normal', 'RunStarted', `run ${state.run.name} of ${state.run.workflow} started`);
  armRunTimers(plan, state);
  for (const step of state.steps) {
    if (step.step.section === 'main' && step.unmet === 0) makeReady(state, step);
  }
}

/** Why a run was in the queue for too long. */
export function queueTimeout(plan: Plan, { queuedFor }: Pick<RunState, 'queuedFor'>): StepError {
  const within = `within ${formatDuration(plan.queueTimeoutMs ?? 0)}`;
  const message = `the run did not leave the queue ${within}${queuedFor === null ? '' : `: it waited for ${sayRequest(queuedFor)}`}`;
  return { type: 'timeout', message, retryable: false };
}

/** How many names a message lists. */
const listedNames = 5;

/** What a queued run must have before it begins, such as `the concurrency group "nightly" and the lock "db"`. */
export function sayRequest({ group, locks }: LockRequest): string {
  const names = locks.slice(0, listedNames).map(({ name }) => JSON.stringify(name));
  const more = locks.length > names.length ? ` and ${locks.length - names.length} more` : '';
  return [
    ...(group === null ? [] : [`the concurrency group ${JSON.stringify(group.name)}`]),
    ...(locks.length === 0 ? [] : [`the lock${locks.length === 1 ? '' : 's'} ${names.join(', ')}${more}`]),
  ].join(' and ');
}
