import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { ExpressionContext } from '../expression/types.ts';
import { listItems, type ListedItem } from './items.ts';
import { itemsOf, type RunState, stepAt, stepOf } from './state.ts';
import { type Via, wholeStep } from './types.ts';
import type { StepState, Unit } from './units.ts';

/** The items of a forEach, evaluated once. @throws ExpressionError */
export function valuesOf(state: RunState, step: StepState): ListedItem[] {
  const items = itemsOf(step);
  if (items.values === null && step.step.forEach !== null) {
    items.values = listItems(step.step.forEach, state.context);
  }
  return items.values ?? [];
}

/**
 * What the expressions of a unit see: an item sees its value and place besides, a fallback how the attempt before it failed,
 * which its row keeps until the unit ends.
 * @throws ExpressionError
 */
export function contextOf(state: RunState, unit: Unit): ExpressionContext {
  const { step, item, row } = unit;
  const failed = row !== null && isFallback(row.via) && row.error !== null;
  const context = failed ? { ...state.context, error: { ...row.error } } : state.context;
  if (item === wholeStep || step.forEach === null) return context;
  const listed = valuesOf(state, stepOf(state, unit))[item];
  const locals: Record<string, JsonValue> = { [step.forEach.as]: listed?.value ?? null, index: item };
  return { ...context, locals };
}

/** Whether a body is there because another has failed. */
export function isFallback(via: Via): boolean {
  return via !== 'main' && via !== 'compensate';
}

/** Evaluates something with `outputs` as what `steps.<itself>.outputs` is: of an item its own, not the list. */
export function seeingOwn<T>(state: RunState, unit: Unit, outputs: JsonObject | null, evaluate: () => T): T {
  const { view } = stepAt(state, unit.step.index);
  const before = view.outputs;
  view.outputs = outputs;
  try {
    return evaluate();
  } finally {
    view.outputs = before;
  }
}
