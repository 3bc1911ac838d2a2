import type { JsonValue } from '../../../crds/json.ts';
import type { OtherBodySpec, StepSpec, WorkflowSpec } from '../../../crds/workflow.ts';
import { compileCondition, compileText } from '../expression/compile.ts';
import type { ConditionCalls } from '../expression/types.ts';
import { ExpressionError } from '../expression/types.ts';
import type { Path } from '../parse/position.ts';
import { loopVariables } from '../plan/flow.ts';
import type { VisitedBody } from './visit.ts';

/**
 * Where an expression stands: it decides what it must yield. `run`: what is decided before the first step; `list`, `number`:
 * what `forEach` walks.
 */
export type ExpressionPlace =
  | 'if'
  | 'retry.if'
  | 'defaults.retry.if'
  | 'condition'
  | 'until'
  | 'template'
  | 'text'
  | 'outputs'
  | 'run'
  | 'items'
  | 'list'
  | 'number';

/** Whose it is: it decides what it may see. `step`: once for the step, before its items. */
export type ExpressionPart = 'step' | VisitedBody['part'];

export interface VisitedExpression {
  path: Path;
  place: ExpressionPlace;
  part: ExpressionPart;
  /** A bare expression for conditions, else a string that may hold `${{ }}`. */
  source: string;
  /** Steps it reads; empty when it does not compile. */
  steps: string[];
  calls: ConditionCalls;
}

/** Every expression of a step. */
export function expressionsOf(step: StepSpec, bodies: VisitedBody[], path: Path): VisitedExpression[] {
  const locals = loopVariables(step);
  const found: VisitedExpression[] = [];
  const addAt = (at: Path, part: ExpressionPart) => ({
    one: (place: ExpressionPlace, source: string | undefined, ...rest: Path) => {
      if (source !== undefined) found.push(visitExpression(place, source, [...at, ...rest], part, locals));
    },
    all: (place: ExpressionPlace, value: unknown, ...rest: Path) => {
      found.push(...strings(value, [...at, ...rest], place, part, locals));
    },
  });
  const once = addAt(path, 'step');
  once.one('if', step.if, 'if');
  visitForEach(step, once);
  const unit = addAt(path, 'main');
  unit.one('until', step.until?.condition, 'until', 'condition');
  unit.all('text', step.cache?.key, 'cache', 'key');
  for (const [i, lock] of (step.locks ?? []).entries()) unit.one('text', lock.name, 'locks', i, 'name');
  for (const body of bodies) visitBody(body.spec, addAt(body.path, body.part));
  for (const [i, fallback] of (step.fallback ?? []).entries()) {
    addAt(path, 'fallback').one('text', fallback.fail, 'fallback', i, 'fail');
  }
  visitImmediate(step, unit);
  return found;
}

interface Add {
  one(place: ExpressionPlace, source: string | undefined, ...rest: Path): void;
  all(place: ExpressionPlace, value: unknown, ...rest: Path): void;
}

function visitForEach({ forEach }: StepSpec, { one, all }: Add): void {
  if (!forEach) return;
  if (typeof forEach.items === 'string') one('items', forEach.items, 'forEach', 'items');
  else all('template', forEach.items, 'forEach', 'items');
  for (const end of ['from', 'to'] as const) all('number', forEach.range?.[end], 'forEach', 'range', end);
  for (const [name, list] of Object.entries(forEach.matrix ?? {})) {
    if (typeof list === 'string') one('list', list, 'forEach', 'matrix', name);
    else all('template', list, 'forEach', 'matrix', name);
  }
}

function visitBody(body: StepSpec | OtherBodySpec, { one, all }: Add): void {
  one('retry.if', body.retry?.if, 'retry', 'if');
  all('text', body.env, 'env');
  all('text', body.container?.command, 'container', 'command');
  all('text', body.container?.args, 'container', 'args');
  all('template', body.workflow?.inputs, 'workflow', 'inputs');
  one('text', body.http?.url, 'http', 'url');
  all('text', body.http?.headers, 'http', 'headers');
  all('template', body.http?.body, 'http', 'body');
  all('template', body.template?.vars, 'template', 'vars');
}

function visitImmediate(step: StepSpec, { one, all }: Add): void {
  for (const [i, { that, message }] of (step.assert ?? []).entries()) {
    one('condition', that, 'assert', i, 'that');
    one('text', message, 'assert', i, 'message');
  }
  for (const [i, decided] of (step.decide?.cases ?? []).entries()) {
    one('condition', decided.if, 'decide', 'cases', i, 'if');
    all('template', decided.then, 'decide', 'cases', i, 'then');
  }
  one('text', step.wait?.until, 'wait', 'until');
}

/** What is decided before a run leaves the queue. */
export function runExpressions({ concurrency, locks }: WorkflowSpec): VisitedExpression[] {
  return [
    ...strings(concurrency?.group, ['spec', 'concurrency', 'group'], 'run'),
    ...(locks ?? []).map(({ name }, i) => visitExpression('run', name, ['spec', 'locks', i, 'name'])),
  ];
}

/** Every string of a value, at any depth. */
export function* strings(
  value: unknown,
  path: Path,
  place: ExpressionPlace,
  part: ExpressionPart = 'step',
  locals: readonly string[] = [],
): Generator<VisitedExpression> {
  if (typeof value === 'string') yield visitExpression(place, value, path, part, locals);
  else if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) yield* strings(item, [...path, i], place, part, locals);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value as Record<string, JsonValue>)) {
      yield* strings(item, [...path, key], place, part, locals);
    }
  }
}

const noCalls: ConditionCalls = { always: false, failure: false, status: [] };

/** True for places that hold a bare expression, not text with `${{ }}`. */
export function isCondition(place: ExpressionPlace): boolean {
  return place === 'if' || place.endsWith('retry.if') || place === 'condition' || place === 'until';
}

/** Compiled with the loop variables wherever it stands, so that a misplaced one does not hide what steps it reads. */
export function visitExpression(
  place: ExpressionPlace,
  source: string,
  path: Path,
  part: ExpressionPart = 'step',
  locals: readonly string[] = [],
): VisitedExpression {
  const common = { path, place, part, source };
  try {
    if (isCondition(place)) {
      const { steps, calls } = compileCondition(source, locals);
      return { ...common, steps, calls };
    }
    return { ...common, steps: compileText(source, locals).steps, calls: noCalls };
  } catch (error) {
    // The rule `expression` says what is wrong with it.
    if (error instanceof ExpressionError) return { ...common, steps: [], calls: noCalls };
    throw error;
  }
}
