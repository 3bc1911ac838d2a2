import type { JsonObject } from '../../../crds/json.ts';
import type { Scope } from '../expression/scope.ts';
import type { VisitedExpression, VisitedStep, VisitedWorkflow } from './visit.ts';

/** What every expression of a workflow may refer to; made once, as it grows with the workflow. */
export function scopeOf({ spec, steps }: VisitedWorkflow): Scope {
  return {
    inputs: schemas(spec.inputs),
    steps: Object.fromEntries(steps.map((step) => [step.name, { outputs: outputsOf(step) }])),
    environment: 'any',
    extras: {},
    calls: false,
  };
}

/** The same at one place: conditions of steps may call `failure()`, `finally` knows the outcome, `retry.if` the error. */
export function scopeAt(scope: Scope, expression: VisitedExpression, step: VisitedStep | null): Scope {
  return {
    ...scope,
    calls: expression.place === 'if',
    ...(expression.place === 'defaults.retry.if' ? { steps: {} } : {}),
    extras: {
      error: expression.place.endsWith('retry.if'),
      ...(step?.section === 'finally' ? { run: { outcome: true } } : {}),
    },
  };
}

function outputsOf({ spec, kind }: VisitedStep): Record<string, JsonObject> {
  switch (kind) {
    case 'run':
      return schemas(spec.outputs);
    case 'decide':
      return schemas(
        Object.fromEntries((spec.decide?.cases ?? []).flatMap((c) => Object.keys(c.then).map((k) => [k, {}]))),
      );
    case 'http':
      return {
        status: { type: 'integer' },
        headers: { type: 'object', additionalProperties: { type: 'string' } },
        body: {},
      };
    case 'template':
      return { text: { type: 'string' } };
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
