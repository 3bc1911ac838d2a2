import type { StepBody } from '../plan/types.ts';
import { contextOf } from './contexts.ts';
import { type Draft, moveUnit } from './draft.ts';
import { fit } from './outputs.ts';
import { evaluated, mapValues } from './resolve.ts';
import { parseInstant } from './rfc3339.ts';
import { failUnit, iterationOf, succeedUnit } from './settle-unit.ts';
import { storableError } from './storable.ts';
import type { StepError } from './types.ts';
import { reasons, type Unit } from './units.ts';

type BodyOf<Kind extends StepBody['kind']> = Extract<StepBody, { kind: Kind }>;

/** Fails at the first assertion that does not hold. */
export function decideAssert(draft: Draft, unit: Unit, body: BodyOf<'assert'>): void {
  for (const { that, message } of body.assertions) {
    const holds = evaluated(() => that.evaluate(contextOf(draft.state, unit)));
    if (!holds.ok) return fail(draft, unit, holds.error);
    if (holds.value) continue;
    const text = evaluated(() => message?.evaluate(contextOf(draft.state, unit)) ?? `does not hold: ${that.source}`);
    return fail(
      draft,
      unit,
      text.ok ? storableError({ type: 'assertion', message: text.value, retryable: false }) : text.error,
    );
  }
  succeedUnit(draft, unit, { outputs: {} });
}

/** The first case that matches gives the outputs; every name of the other cases is null, so that reading one is safe. */
export function decideCases(draft: Draft, unit: Unit, body: BodyOf<'decide'>): void {
  const { state } = draft;
  const chosen = evaluated(() => {
    const context = contextOf(state, unit);
    const match = body.cases.find(({ condition }) => condition === null || condition.evaluate(context));
    return match ? mapValues(match.then, (template) => template.evaluate(context)) : null;
  });
  if (!chosen.ok) return fail(draft, unit, chosen.error);
  const outputs: Record<string, null> = {};
  for (const { then } of body.cases) for (const name of Object.keys(then)) outputs[name] = null;
  const read = fit({ ...outputs, ...chosen.value }, state.outputBytes);
  if (!read.ok) return fail(draft, unit, read.error);
  succeedUnit(draft, unit, { outputs: read.outputs });
}

/** Waits until an instant; one that has passed already is no wait at all. */
export function beginWait(draft: Draft, unit: Unit, body: BodyOf<'wait'>): void {
  const { now, state } = draft;
  let until: number;
  if ('forMs' in body.until) {
    until = now + body.until.forMs;
  } else {
    const { instant } = body.until;
    const text = evaluated(() => instant.evaluate(contextOf(state, unit)));
    if (!text.ok) return fail(draft, unit, text.error);
    const parsed = parseInstant(text.value);
    if (parsed === null) {
      const message = `wait.until must be an RFC 3339 instant such as 2026-01-31T08:00:00Z, and is ${JSON.stringify(text.value.slice(0, 64))}`;
      return fail(draft, unit, storableError({ type: 'expression', message, retryable: false }));
    }
    until = parsed;
  }
  if (until <= now) return succeedUnit(draft, unit, { outputs: {} });
  const startedAt = unit.row?.startedAt ?? now;
  moveUnit(draft, unit, {
    phase: 'Waiting',
    reason: reasons.time,
    startedAt,
    until,
    iteration: iterationOf(unit),
  });
}

function fail(draft: Draft, unit: Unit, error: StepError): void {
  failUnit(draft, unit, { phase: 'Failed', error });
}
