import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { StepSpec } from '../../../crds/workflow.ts';
import { type CelType, dyn, join, mapOf } from '../expression/celtype.ts';
import { typeOfValue } from '../expression/check.ts';
import { maxListLength } from '../expression/limits.ts';
import type { Scope } from '../expression/scope.ts';
import { loopVariables } from '../plan/flow.ts';
import { fixedOutputs } from '../plan/step-outputs.ts';
import type { VisitedStep, VisitedWorkflow } from './visit.ts';
import type { VisitedExpression } from './visit-expressions.ts';

/** With the loop variables of steps seen so far: what a forEach walks may be long, and its step have many expressions. */
export type WholeScope = Scope & { loops: Map<VisitedStep, Record<string, CelType>> };

/** What every expression of a workflow may refer to; made once, as it grows with the workflow. */
export function scopeOf({ spec, steps }: VisitedWorkflow): WholeScope {
  return {
    loops: new Map(),
    inputs: schemas(spec.inputs),
    steps: Object.fromEntries(
      steps.map((step) => {
        const outputs = outputsOf(step);
        return [step.name, step.spec.forEach === undefined ? { outputs } : { outputs, items: maxListLength }];
      }),
    ),
    environment: 'any',
    extras: {},
    calls: false,
  };
}

/**
 * The same at one place: conditions of steps may call `failure()`, `finally` and compensations know the outcome, `retry.if`
 * and fallbacks the error, items their loop variables; `until` and compensations read what their own step has done.
 */
export function scopeAt(
  { loops, ...scope }: WholeScope,
  expression: VisitedExpression,
  step: VisitedStep | null,
): Scope {
  const { place, part } = expression;
  const extras: Scope['extras'] = {
    error: place.endsWith('retry.if') || part === 'fallback',
    attempt: place.endsWith('retry.if'),
  };
  if (step?.section === 'finally' || part === 'compensate') extras.run = { outcome: true };
  if (step?.spec.forEach) {
    if (part === 'step') extras.itemsOnly = loopVariables(step.spec);
    else {
      extras.locals = loops.get(step) ?? loopTypes(step.spec, scope);
      loops.set(step, extras.locals);
    }
  }
  return { ...scope, calls: place === 'if', steps: stepsAt(scope, expression, step), extras };
}

function stepsAt(scope: Scope, { place, part }: VisitedExpression, step: VisitedStep | null): Scope['steps'] {
  if (place === 'defaults.retry.if' || place === 'run') return {};
  const own = step === null ? undefined : scope.steps[step.name];
  if (step === null || own?.items === undefined || (place !== 'until' && part !== 'compensate')) return scope.steps;
  // There it is the item that has been done.
  return { ...scope.steps, [step.name]: { outputs: own.outputs } };
}

/** The types of the loop variables, as far as they are known. */
function loopTypes(step: StepSpec, scope: Scope): Record<string, CelType> {
  const [as = 'item'] = loopVariables(step);
  return { [as]: itemType(step.forEach, scope), index: { kind: 'int' } };
}

function itemType(forEach: StepSpec['forEach'], scope: Scope): CelType {
  if (forEach?.range) return { kind: 'int' };
  if (forEach?.matrix) {
    const lists = Object.entries(forEach.matrix).map(([name, list]) => [name, elementType(list as JsonValue, scope)]);
    return mapOf(Object.fromEntries(lists) as Record<string, CelType>, true);
  }
  return elementType(forEach?.items as JsonValue, scope);
}

function elementType(written: JsonValue | undefined, scope: Scope): CelType {
  const type = typeOfValue(written, scope);
  if (type.kind === 'list') return type.items;
  if (type.kind !== 'map') return dyn;
  const values = Object.values(type.fields);
  const value = type.closed && values.length > 0 ? values.reduce(join) : dyn;
  return mapOf({ key: { kind: 'string' }, value }, true);
}

function outputsOf({ spec, kind }: VisitedStep): Record<string, JsonObject> | null {
  switch (kind) {
    case 'run':
    case 'container':
      return schemas(spec.outputs);
    case 'workflow':
      // Those of another workflow, which is not here.
      return null;
    case 'decide':
      return schemas(
        Object.fromEntries((spec.decide?.cases ?? []).flatMap((c) => Object.keys(c.then).map((k) => [k, {}]))),
      );
    case 'http':
    case 'template':
      return fixedOutputs[kind];
    case 'assert':
    case 'wait':
    case 'approval':
      return {};
    default:
      return kind satisfies never;
  }
}

/** Schemas as objects; one that is none (another rule says so) allows anything. */
function schemas(map: Record<string, unknown> | undefined): Record<string, JsonObject> {
  return Object.fromEntries(
    Object.entries(map ?? {}).map(([name, schema]) => {
      const isMap = typeof schema === 'object' && schema !== null && !Array.isArray(schema);
      return [name, isMap ? (schema as JsonObject) : {}];
    }),
  );
}
