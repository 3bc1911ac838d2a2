import { findUnit } from '../core/run/state.ts';
import type { AttemptKey } from '../core/run/types.ts';
import type { Entry, Loaded } from './run-entries.ts';

/** Attempts of a run that have begun and are kept from running, by step and item: which attempt, and why. */
export type RunWaits = Map<string, { step: string; item: number; attempt: number; reason: string }>;

/** Takes in that an attempt waits, or goes on (`reason` null). False when that is known. */
export function noteWait(
  entry: Pick<Entry, 'waits' | 'waitsChanged'>,
  { step, item, attempt }: AttemptKey,
  reason: string | null,
): boolean {
  const unit = `${step} ${item}`;
  const before = entry.waits?.get(unit);
  if (before?.attempt === attempt ? before.reason === reason : reason === null) return false;
  entry.waits ??= new Map();
  if (reason === null) entry.waits.delete(unit);
  else entry.waits.set(unit, { step, item, attempt, reason });
  entry.waitsChanged = true;
  return true;
}

/**
 * What waits longest, and why; null when nothing does. One of many is said, so that the status does not change with each of
 * them. Drops what is over: its end may have been another replica's to see.
 */
export function sayWait(
  { waits }: Pick<Entry, 'waits'>,
  { plan, state }: Pick<Loaded, 'plan' | 'state'>,
): string | null {
  for (const [unit, { step, item, attempt, reason }] of waits ?? []) {
    if (findUnit(plan, state, step, item)?.live?.number === attempt) return `step ${step} waits: ${reason}`;
    waits?.delete(unit);
  }
  return null;
}
