import type { PlanStep, StepBody } from '../plan/types.ts';
import { type Draft, endStep, moveStep } from './draft.ts';
import { fit } from './outputs.ts';
import { evaluated, mapValues } from './resolve.ts';
import { parseInstant } from './rfc3339.ts';
import { storableError } from './storable.ts';

type BodyOf<Kind extends StepBody['kind']> = Extract<StepBody, { kind: Kind }>;

/** Fails at the first assertion that does not hold. */
export function decideAssert(draft: Draft, step: PlanStep, body: BodyOf<'assert'>): void {
  const { context } = draft.state;
  for (const { that, message } of body.assertions) {
    const holds = evaluated(() => that.evaluate(context));
    if (!holds.ok) return endStep(draft, step.index, { phase: 'Failed', error: holds.error });
    if (holds.value) continue;
    const text = evaluated(() => message?.evaluate(context) ?? `does not hold: ${that.source}`);
    const error = text.ok ? storableError({ type: 'assertion', message: text.value, retryable: false }) : text.error;
    return endStep(draft, step.index, { phase: 'Failed', error });
  }
  endStep(draft, step.index, { phase: 'Succeeded', outputs: {} });
}

/** The first case that matches gives the outputs; every name of the other cases is null, so that reading one is safe. */
export function decideCases(draft: Draft, step: PlanStep, body: BodyOf<'decide'>): void {
  const { state } = draft;
  const chosen = evaluated(() => {
    const match = body.cases.find(({ condition }) => condition === null || condition.evaluate(state.context));
    return match ? mapValues(match.then, (template) => template.evaluate(state.context)) : null;
  });
  if (!chosen.ok) return endStep(draft, step.index, { phase: 'Failed', error: chosen.error });
  const outputs: Record<string, null> = {};
  for (const { then } of body.cases) for (const name of Object.keys(then)) outputs[name] = null;
  const read = fit({ ...outputs, ...chosen.value }, state.outputBytes);
  if (!read.ok) return endStep(draft, step.index, { phase: 'Failed', error: read.error });
  state.outputBytes += read.bytes;
  endStep(draft, step.index, { phase: 'Succeeded', outputs: read.outputs });
}

/** Waits until an instant; one that has passed already is no wait at all. */
export function beginWait(draft: Draft, step: PlanStep, body: BodyOf<'wait'>): void {
  const { now, state } = draft;
  let until: number;
  if ('forMs' in body.until) {
    until = now + body.until.forMs;
  } else {
    const { instant } = body.until;
    const text = evaluated(() => instant.evaluate(state.context));
    if (!text.ok) return endStep(draft, step.index, { phase: 'Failed', error: text.error });
    const parsed = parseInstant(text.value);
    if (parsed === null) {
      const message = `wait.until must be an RFC 3339 instant such as 2026-01-31T08:00:00Z, and is ${JSON.stringify(text.value.slice(0, 64))}`;
      const error = storableError({ type: 'expression', message, retryable: false });
      return endStep(draft, step.index, { phase: 'Failed', error });
    }
    until = parsed;
  }
  if (until <= now) return endStep(draft, step.index, { phase: 'Succeeded', outputs: {} });
  moveStep(draft, step.index, { phase: 'Waiting', reason: 'WaitingForTime', startedAt: now, until });
}
