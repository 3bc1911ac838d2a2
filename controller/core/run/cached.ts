import { cacheKey } from '../cache-key.ts';
import { inArtifacts } from './attempt-actions.ts';
import { contextOf } from './contexts.ts';
import { type Draft, endUnit, moveUnit } from './draft.ts';
import { maxRunOutputBytes, outputsSize } from './outputs.ts';
import { type AttemptBody, evaluated, resolveBody } from './resolve.ts';
import { failUnit, imageOf } from './settle-unit.ts';
import type { CacheKey, RunObservation } from './types.ts';
import { reasons, type Unit } from './units.ts';

/** Asks the cache before a unit begins. True: it waits now, or has failed; false: its step has no cache. */
export function askCache(draft: Draft, unit: Unit): boolean {
  const { step, row } = unit;
  if (step.cache === null) return false;
  const key = evaluated(() => keyOf(draft, unit));
  if (!key.ok) {
    failUnit(draft, unit, { phase: 'Failed', error: key.error });
    return true;
  }
  const startedAt = row?.startedAt ?? draft.now;
  moveUnit(draft, unit, { phase: 'Waiting', reason: reasons.cache, startedAt, until: null, cache: key.value });
  sayLookUp(draft, unit);
  return true;
}

/** Says what a waiting unit asks the cache for, for the first time or again. */
export function sayLookUp({ state, actions }: Draft, unit: Unit): void {
  const { step, item, row } = unit;
  if (step.cache === null || !row?.cache) return;
  const { id: runId, namespace } = state.run;
  const { ttlMs } = step.cache;
  actions.push({
    type: 'LookUp',
    runId,
    step: step.name,
    item,
    namespace,
    cache: row.cache,
    ttlMs,
    image: imageOf(unit),
  });
}

/** Whether a unit waits for this answer of the cache. */
export function awaitsCache({ row }: Unit, key: string): boolean {
  return row?.phase === 'Waiting' && row.reason === reasons.cache && row.cache?.key === key;
}

/** Ends a unit with what an earlier success yielded. False: it would be more than a run may hold, so that the unit begins. */
export function takeCached(draft: Draft, unit: Unit, hit: Extract<RunObservation, { type: 'CacheHit' }>): boolean {
  const { state } = draft;
  const bytes = outputsSize(hit.outputs);
  if (state.outputBytes + bytes > maxRunOutputBytes) return false;
  state.outputBytes += bytes;
  endUnit(draft, unit, { phase: 'Cached', outputs: hit.outputs, artifacts: hit.artifacts });
  return true;
}

function keyOf(draft: Draft, unit: Unit): CacheKey {
  const { state, plan } = draft;
  const { step } = unit;
  const context = contextOf(state, unit);
  const artifacts = inArtifacts(draft, unit);
  return cacheKey({
    namespace: state.run.namespace,
    workflow: state.run.workflow,
    step: step.name,
    body: resolveBody(step.main.body as AttemptBody, context, state.run),
    files: plan.files,
    // One that is not there fails the step when it begins.
    artifacts: artifacts.ok ? artifacts.refs : {},
    version: step.cache?.version ?? '',
    key: (step.cache?.key ?? []).map((template) => template.evaluate(context)),
  });
}
