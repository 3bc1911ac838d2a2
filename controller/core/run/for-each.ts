import { deadlineError, stopUnit } from './attempts.ts';
import { valuesOf } from './contexts.ts';
import { type Draft, endUnit, moveUnit } from './draft.ts';
import { evaluated } from './resolve.ts';
import { handOutItems, itemsOf } from './state.ts';
import { storableError } from './storable.ts';
import type { StepError } from './types.ts';
import { reasons, type Items, type StepState } from './units.ts';

/** Begins a forEach: its items are listed, and handed out as its parallelism allows. */
export function beginForEach(draft: Draft, step: StepState): void {
  const listed = evaluated(() => valuesOf(draft.state, step));
  if (!listed.ok) return endUnit(draft, step, { phase: 'Failed', error: listed.error });
  const total = listed.value.length;
  const items = itemsOf(step);
  // Items that a retry of the run keeps have theirs already.
  items.outputs = Array.from({ length: total }, (_, i) => items.outputs[i] ?? null);
  moveUnit(draft, step, { phase: 'Running', reason: null, startedAt: step.row?.startedAt ?? draft.now, items: total });
  if (items.ended >= total) endForEach(draft, step, items);
  else handOutItems(draft.state, step);
}

/** Looks at a forEach of which an item has ended: hands out the next, stops the others, or ends it. */
export function lookAtItems(draft: Draft, step: StepState): void {
  const { row, items } = step;
  if (row?.phase !== 'Running' || items === null) return;
  const first = items.units[items.firstFailed];
  if (row.reason === null && first?.row && step.step.forEach?.failFast) {
    return stopForEach(draft, step, reasons.itemFailed, itemError(items.firstFailed, first.row.error));
  }
  if (row.reason === null ? items.ended >= (row.items ?? 0) : items.running === 0) endForEach(draft, step, items);
  else handOutItems(draft.state, step);
}

/** Stops the items of a forEach, and with the last of them the step. The first cause wins. Items that never began get no row. */
export function stopForEach(draft: Draft, step: StepState, reason: StopReason, error: StepError | null): void {
  const { row, items } = step;
  if (row?.phase !== 'Running' || row.reason !== null || items === null) return;
  moveUnit(draft, step, { phase: 'Running', reason, error });
  for (const unit of items.units) if (unit?.row && unit.row.phase !== 'Pending') stopUnit(draft, unit);
  if (items.running === 0) endForEach(draft, step, items);
}

type StopReason = typeof reasons.itemFailed | typeof reasons.deadline | typeof reasons.runStopping;

/** The whole of a forEach has had its time. */
export function endForEachByDeadline(draft: Draft, step: StepState): void {
  stopForEach(draft, step, reasons.deadline, deadlineError(step));
}

function endForEach(draft: Draft, step: StepState, items: Items): void {
  const { row } = step;
  if (row === null) return;
  const total = row.items ?? 0;
  if (row.reason === reasons.itemFailed || row.reason === reasons.deadline) {
    const phase = row.reason === reasons.deadline ? 'TimedOut' : 'Failed';
    return endUnit(draft, step, { phase, ...(row.error === null ? {} : { error: row.error }) });
  }
  const all = items.ended >= total && items.cancelled === 0;
  if (!all) return endUnit(draft, step, { phase: 'Cancelled', reason: reasons.runStopping });
  if (items.failed === 0) return endUnit(draft, step, { phase: 'Succeeded' });
  const first = itemError(items.firstFailed, items.units[items.firstFailed]?.row?.error ?? null);
  const message = `${items.failed} of ${total} items failed; the first, ${first.message}`;
  endUnit(draft, step, { phase: 'Failed', error: storableError({ ...first, message }) });
}

function itemError(item: number, error: StepError | null): StepError {
  const told = error ?? { type: 'exit', message: 'failed', retryable: false };
  return storableError({ ...told, message: `item ${item}: ${told.message}` });
}
