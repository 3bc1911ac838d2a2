import type { JsonObject, JsonValue } from '../../../crds/json.ts';

/** What `steps.NAME` is in an expression. Outputs of a step that did not run are null, those of a forEach a list. */
export interface StepView {
  outputs: JsonObject | JsonValue[] | null;
  phase: string;
  error: JsonObject | null;
}

/**
 * The values an expression sees. `steps` is the run's own live object, read in place: evaluating costs what the
 * expression costs, never the size of the run.
 */
export interface ExpressionContext {
  inputs: JsonObject;
  steps: Record<string, StepView>;
  run: { id: string; name: string; namespace: string; date: string; outcome: string | null; error: JsonObject | null };
  workflow: { name: string; digest: string };
  environment: JsonObject;
  /** Of an item of a forEach: its value by the name that `as` gives, and `index`. */
  locals?: Record<string, JsonValue>;
  /** In `retry.if` and in fallbacks only. */
  error?: JsonObject;
  /** In `retry.if` only. */
  attempt?: number;
}

/** What a user sees when an expression cannot be evaluated; the step fails with type `expression`. */
export class ExpressionError extends Error {
  override name = 'ExpressionError';
}

/** Which calls an `if` makes; they decide whether a step runs though a need was not met. */
export interface ConditionCalls {
  always: boolean;
  failure: boolean;
  /** Literal step names given to status('x'). Each makes an edge. */
  status: string[];
}

/** Facts that `always()`, `failure()` and `status()` read; given by the decision, not by the user. */
export interface ConditionFacts {
  failure: boolean;
}

/** A bare CEL expression that yields a boolean: `if`, `that`, `retry.if`, a case's `if`. */
export interface Condition {
  source: string;
  /** Names of steps it reads (`steps.x`), without duplicates. */
  steps: string[];
  calls: ConditionCalls;
  /** @throws ExpressionError when it fails or yields something other than a boolean. */
  evaluate(context: ExpressionContext, facts?: ConditionFacts): boolean;
}

/**
 * A JSON value whose strings may hold `${{ }}`. A string that is one expression keeps the expression's type; inside text
 * a list, map or null is an error; `$${{` is a literal `${{`.
 */
export interface Template {
  source: JsonValue;
  steps: string[];
  /** @throws ExpressionError */
  evaluate(context: ExpressionContext): JsonValue;
}

/** A template that must yield text (env values, URLs, messages): scalars are written as JSON writes them, strings as they are. */
export interface TextTemplate {
  source: string;
  steps: string[];
  /** @throws ExpressionError */
  evaluate(context: ExpressionContext): string;
}
