import type { JsonObject } from '../../../crds/json.ts';
import type { Instant } from '../time.ts';
import { contextOf, isFallback, seeingOwn } from './contexts.ts';
import { asksForLocks, type Draft, emitFor, endUnit, letGo, moveUnit, takeTurn } from './draft.ts';
import { outputsSize } from './outputs.ts';
import { evaluated } from './resolve.ts';
import { makeReady, stepOf } from './state.ts';
import { storableError } from './storable.ts';
import { isFinallyOver } from './timers.ts';
import { type ArtifactRef, type RunAction, type StepError, wholeStep } from './types.ts';
import { fallbackAfter, noArtifacts, phaseOf, reasons, type Unit, unitName } from './units.ts';

/** What a body has yielded. */
export interface Yield {
  outputs: JsonObject;
  artifacts?: Record<string, ArtifactRef>;
  /** What the image was that ran. */
  imageId?: string | null;
  at?: Instant;
}

/** A body has done what it should: the unit ends well, or begins its next repetition. */
export function succeedUnit(draft: Draft, unit: Unit, yielded: Yield): void {
  const { state, now } = draft;
  const { outputs, artifacts = noArtifacts, at = now } = yielded;
  const row = unit.row;
  if (row?.via === 'compensate') {
    moveUnit(draft, unit, { phase: 'Compensated', reason: null, until: null, error: null });
    endCompensation(draft, unit);
    return;
  }
  const { until } = unit.step;
  if (until !== null) {
    const done = evaluated(() =>
      seeingOwn(state, unit, outputs, () => until.condition.evaluate(contextOf(state, unit))),
    );
    if (!done.ok) return failUnit(draft, unit, { phase: 'Failed', error: done.error, at });
    if (!done.value) return repeat(draft, unit, at);
  }
  state.outputBytes += outputsSize(outputs);
  endUnit(draft, unit, { phase: 'Succeeded', outputs, artifacts, at, iteration: iterationOf(unit) });
  const fill = fillAction(draft, unit, yielded.imageId ?? null);
  if (fill !== null) draft.actions.push(fill);
}

/** Of `until`, which repetition a unit is at, from 1; 0 without one. */
export function iterationOf({ step, row }: Unit): number {
  return step.until === null ? 0 : Math.max(1, row?.iteration ?? 0);
}

function repeat(draft: Draft, unit: Unit, at: Instant): void {
  const { until } = unit.step;
  if (until === null) return;
  if (isStopping(draft, unit)) return cancelUnit(draft, unit, { at });
  const iteration = iterationOf(unit);
  if (iteration >= until.limit) {
    const times = iteration === 1 ? 'once' : `${iteration} times`;
    const message = `repeated ${times}, and still not: ${until.condition.source}`;
    return failUnit(draft, unit, { phase: 'Failed', error: { type: 'until', message, retryable: false }, at });
  }
  moveUnit(draft, unit, {
    phase: 'Waiting',
    reason: reasons.interval,
    startedAt: unit.row?.startedAt ?? draft.now,
    until: draft.now + until.intervalMs,
    iteration: iteration + 1,
    bodyAttempts: 0,
    infrastructureFailures: 0,
    error: unit.row !== null && isFallback(unit.row.via) ? unit.row.error : null,
  });
  if (until.intervalMs === 0) makeReady(draft.state, unit);
}

function fillAction({ state }: Draft, unit: Unit, imageId: string | null): RunAction | null {
  const { row, step, item } = unit;
  if (step.cache === null || row === null || row.cache === null || row.via !== 'main') return null;
  const { id: runId, namespace, workflow } = state.run;
  return {
    type: 'Fill',
    runId,
    step: step.name,
    item,
    namespace,
    workflow,
    key: row.cache.key,
    ttlMs: step.cache.ttlMs,
    outputs: row.outputs ?? {},
    artifacts: row.artifacts,
    image: imageOf(unit),
    imageId,
  };
}

/** The image of a unit's own body, as written. */
export function imageOf({ step }: Unit): string | null {
  const { body } = step.main;
  if (body.kind === 'container') return body.image;
  return body.kind === 'run' ? body.pod.image : null;
}

/** A body has failed for good: the next fallback is tried, and after the last the unit has failed. */
export function failUnit(
  draft: Draft,
  unit: Unit,
  failure: { phase: 'Failed' | 'TimedOut'; error: StepError; at?: Instant },
): void {
  const { state } = draft;
  const { row, step } = unit;
  const { error, at } = failure;
  const via = row?.via ?? 'main';
  if (via === 'compensate') return failCompensation(draft, unit, error);
  const fallback = fallbackAfter(step, via);
  const ended = at === undefined ? {} : { at };
  if (fallback === null) return endUnit(draft, unit, { ...failure, iteration: iterationOf(unit) });
  if (isStopping(draft, unit)) return cancelUnit(draft, unit, ended);
  const { next, via: called } = fallback;
  if ('skip' in next) {
    return endUnit(draft, unit, { phase: 'Skipped', reason: reasons.fallback, error, ...ended });
  }
  if ('fail' in next) {
    const text = evaluated(() => next.fail.evaluate({ ...contextOf(state, unit), error: { ...error } }));
    const told = text.ok ? storableError({ type: 'fallback', message: text.value, retryable: false }) : text.error;
    return endUnit(draft, unit, { phase: 'Failed', error: told, ...ended });
  }
  emitFor(draft, unit, 'FallbackTried', `${unitName(unit)}: ${error.message}; next is its ${called}`);
  takeTurn(draft, unit, {
    via: called,
    startedAt: row?.startedAt ?? draft.now,
    bodyAttempts: 0,
    infrastructureFailures: 0,
    iteration: step.until === null ? 0 : 1,
    error,
  });
}

/** Ends a unit that could go on, but nothing begins any more. */
export function cancelUnit(draft: Draft, unit: Unit, ended: { at?: Instant } = {}): void {
  const why = unit.item === wholeStep ? null : stepOf(draft.state, unit).row?.reason;
  endUnit(draft, unit, { phase: 'Cancelled', reason: why ?? reasons.runStopping, ...ended });
}

/** A compensation has failed for good. What it should undo stays, and the next one goes on. */
export function failCompensation(draft: Draft, unit: Unit, error: StepError): void {
  moveUnit(draft, unit, { phase: phaseOf(unit), reason: reasons.compensationFailed, until: null, error });
  endCompensation(draft, unit);
  emitFor(draft, unit, 'CompensationFailed', `compensation of ${unitName(unit)}: ${error.message}`);
}

function endCompensation(draft: Draft, unit: Unit): void {
  draft.state.compensation.current = null;
  if (asksForLocks(draft.state, unit)) letGo(draft, unit);
}

/** Whether nothing of a unit is to begin any more. */
export function isStopping({ state, now }: Draft, unit: Unit): boolean {
  const { run, finallyHalted } = state;
  if (unit.step.section === 'main' ? run.outcome !== null : finallyHalted || isFinallyOver(run, now)) return true;
  if (unit.item === wholeStep) return false;
  const { row } = stepOf(state, unit);
  return row?.phase !== 'Running' || row.reason !== null;
}
