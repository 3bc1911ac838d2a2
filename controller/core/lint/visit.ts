import type { JsonValue } from '../../../crds/json.ts';
import type { StepKind, StepSpec, WorkflowSpec } from '../../../crds/workflow.ts';
import { compileCondition, compileText } from '../expression/compile.ts';
import type { ConditionCalls } from '../expression/types.ts';
import { ExpressionError } from '../expression/types.ts';
import type { Path, Problem } from '../parse/position.ts';
import { kindOf } from '../plan/build.ts';

/** One mistake a rule found; the rule's name is added by the linter unless the rule names a finer one. */
export type Finding = Omit<Problem, 'rule'> & { rule?: string };

/** A rule looks at the whole visited workflow and says what breaks it. */
export interface Rule {
  /** Kebab-case, documented in docs/reference/lint.md. */
  name: string;
  check(workflow: VisitedWorkflow): Finding[];
}

/** Where an expression stands: it decides what it may see and what it must yield. */
export type ExpressionPlace = 'if' | 'retry.if' | 'defaults.retry.if' | 'condition' | 'template' | 'text' | 'outputs';

export interface VisitedExpression {
  path: Path;
  place: ExpressionPlace;
  /** A bare expression for conditions, else a string that may hold `${{ }}`. */
  source: string;
  /** Steps it reads; empty when it does not compile. */
  steps: string[];
  calls: ConditionCalls;
}

export interface VisitedStep {
  spec: StepSpec;
  name: string;
  kind: StepKind;
  section: 'steps' | 'finally';
  path: Path;
  expressions: VisitedExpression[];
}

/** A workflow with what most rules ask for worked out once. */
export interface VisitedWorkflow {
  spec: WorkflowSpec;
  steps: VisitedStep[];
  /** The first step of each name. */
  byName: ReadonlyMap<string, VisitedStep>;
  outputs: VisitedExpression[];
  /** Of `defaults`: they are no step's own and may read none. */
  defaults: VisitedExpression[];
}

/** Walks a spec that fits its schema and shape. */
export function visitWorkflow(spec: WorkflowSpec): VisitedWorkflow {
  const steps = (['steps', 'finally'] as const).flatMap((section) =>
    (spec[section] ?? []).map((step, i) => visitStep(step, section, ['spec', section, i])),
  );
  const byName = new Map<string, VisitedStep>();
  for (const step of steps) if (!byName.has(step.name)) byName.set(step.name, step);
  const retryIf = spec.defaults?.retry?.if;
  const place = ['spec', 'defaults', 'retry', 'if'];
  return {
    spec,
    steps,
    byName,
    outputs: [...strings(spec.outputs, ['spec', 'outputs'], 'outputs')],
    defaults: retryIf === undefined ? [] : [visitExpression('defaults.retry.if', retryIf, place)],
  };
}

function visitStep(spec: StepSpec, section: VisitedStep['section'], path: Path): VisitedStep {
  const expressions: VisitedExpression[] = [];
  const add = (place: ExpressionPlace, source: string | undefined, ...rest: (string | number)[]) => {
    if (source !== undefined) expressions.push(visitExpression(place, source, [...path, ...rest]));
  };
  const addAll = (value: unknown, place: ExpressionPlace, ...rest: (string | number)[]) =>
    expressions.push(...strings(value, [...path, ...rest], place));

  add('if', spec.if, 'if');
  add('retry.if', spec.retry?.if, 'retry', 'if');
  addAll(spec.env, 'text', 'env');
  for (const [i, { that, message }] of (spec.assert ?? []).entries()) {
    add('condition', that, 'assert', i, 'that');
    add('text', message, 'assert', i, 'message');
  }
  for (const [i, one] of (spec.decide?.cases ?? []).entries()) {
    add('condition', one.if, 'decide', 'cases', i, 'if');
    addAll(one.then, 'template', 'decide', 'cases', i, 'then');
  }
  add('text', spec.http?.url, 'http', 'url');
  addAll(spec.http?.headers, 'text', 'http', 'headers');
  addAll(spec.http?.body, 'template', 'http', 'body');
  addAll(spec.template?.vars, 'template', 'template', 'vars');
  add('text', spec.wait?.until, 'wait', 'until');
  return { spec, name: spec.name, kind: kindOf(spec), section, path, expressions };
}

/** Every string of a value, at any depth. */
function* strings(value: unknown, path: Path, place: ExpressionPlace): Generator<VisitedExpression> {
  if (typeof value === 'string') yield visitExpression(place, value, path);
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) yield* strings(item, [...path, i], place);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value as Record<string, JsonValue>)) {
      yield* strings(item, [...path, key], place);
    }
  }
}

const noCalls: ConditionCalls = { always: false, failure: false, status: [] };

/** True for places that hold a bare expression, not text with `${{ }}`. */
export function isCondition(place: ExpressionPlace): boolean {
  return place === 'if' || place.endsWith('retry.if') || place === 'condition';
}

function visitExpression(place: ExpressionPlace, source: string, path: Path): VisitedExpression {
  try {
    if (isCondition(place)) {
      const { steps, calls } = compileCondition(source);
      return { path, place, source, steps, calls };
    }
    return { path, place, source, steps: compileText(source).steps, calls: noCalls };
  } catch (error) {
    // The rule `expression` says what is wrong with it.
    if (error instanceof ExpressionError) return { path, place, source, steps: [], calls: noCalls };
    throw error;
  }
}
