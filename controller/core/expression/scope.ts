import type { JsonObject } from '../../../crds/json.ts';
import { type CelType, dyn, fromSchema, listOf, mapOf } from './celtype.ts';

/** What the expressions at one place of a workflow may refer to. Schemas are JSON Schema. */
export interface Scope {
  inputs: Record<string, JsonObject>;
  /** Every step that may be read here and its outputs; null: any outputs. `items`: a list of them, at most this long. */
  steps: Record<string, { outputs: Record<string, JsonObject> | null; items?: number }>;
  /** Names of the environment's values. */
  environment: 'any' | string[];
  extras: {
    /** `error` is known (in `retry.if` and fallbacks). */
    error?: boolean;
    /** `attempt` is known (in `retry.if`). */
    attempt?: boolean;
    /** The loop variables of a forEach that are known here. */
    locals?: Record<string, CelType>;
    /** Those that are known to the items, but not here. */
    itemsOnly?: readonly string[];
    /** `run.outcome` and `run.error` are known (in `finally` and `compensate`). */
    run?: { outcome: boolean };
  };
  /** `always()`, `failure()` and `status('x')` may be called: only in a step's `if`. */
  calls: boolean;
}

const string: CelType = { kind: 'string' };

/** `error`, `steps.x.error` and `run.error`. Other fields depend on the type of error, so the map is open. */
export const errorType: CelType = mapOf(
  {
    type: string,
    message: string,
    retryable: { kind: 'bool' },
    exitCode: { kind: 'int' },
    status: { kind: 'int' },
  },
  false,
);

/** The type of a context variable, or undefined when there is none of that name here. Read on demand: scopes are large. */
export function variableType(scope: Scope, name: string): CelType | undefined {
  switch (name) {
    case 'inputs':
      return fieldsOf(scope.inputs);
    case 'environment':
      return scope.environment === 'any'
        ? mapOf({}, false)
        : mapOf(Object.fromEntries(scope.environment.map((value) => [value, dyn])), true);
    case 'run': {
      const fields = { id: string, name: string, namespace: string, date: string };
      return mapOf(
        scope.extras.run?.outcome === true ? { ...fields, outcome: string, error: errorType } : fields,
        true,
      );
    }
    case 'workflow':
      return mapOf({ name: string, digest: string }, true);
    case 'error':
      return scope.extras.error === true ? errorType : undefined;
    case 'attempt':
      return scope.extras.attempt === true ? { kind: 'int' } : undefined;
    default: {
      const { locals } = scope.extras;
      return locals !== undefined && Object.hasOwn(locals, name) ? locals[name] : undefined;
    }
  }
}

/** The type of a step's outputs, or undefined when no such step may be read here. */
export function outputsType(scope: Scope, step: string): CelType | undefined {
  if (!Object.hasOwn(scope.steps, step)) return undefined;
  const { outputs = null, items } = scope.steps[step] ?? {};
  const type = outputs === null ? dyn : fieldsOf(outputs);
  return items === undefined ? type : listOf(type, items);
}

function fieldsOf(schemas: Record<string, JsonObject>): CelType {
  return mapOf(Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, fromSchema(schema)])), true);
}
