import type { OtherBodySpec, StepKind, StepSpec, WorkflowSpec } from '../../../crds/workflow.ts';
import { otherKinds } from '../../../crds/workflow.ts';
import type { Path, Problem } from '../parse/position.ts';
import { kindOf } from '../plan/build.ts';
import {
  expressionsOf,
  runExpressions,
  strings,
  visitExpression,
  type VisitedExpression,
} from './visit-expressions.ts';

/** One mistake a rule found; the rule's name is added by the linter unless the rule names a finer one. */
export type Finding = Omit<Problem, 'rule'> & { rule?: string };

/** A rule looks at the whole visited workflow and says what breaks it. */
export interface Rule {
  /** Kebab-case, documented in docs/reference/lint.md. */
  name: string;
  check(workflow: VisitedWorkflow): Finding[];
}

/** Something that a step does: itself, a fallback, or its compensation. */
export interface VisitedBody {
  part: 'main' | 'fallback' | 'compensate';
  spec: StepSpec | OtherBodySpec;
  kind: StepKind;
  path: Path;
}

export interface VisitedStep {
  spec: StepSpec;
  name: string;
  kind: StepKind;
  section: 'steps' | 'finally';
  path: Path;
  /** Its own body first. */
  bodies: VisitedBody[];
  expressions: VisitedExpression[];
}

/** A workflow with what most rules ask for worked out once. */
export interface VisitedWorkflow {
  /** Null when the object has none yet (`generateName`). */
  name: string | null;
  spec: WorkflowSpec;
  steps: VisitedStep[];
  /** The first step of each name. */
  byName: ReadonlyMap<string, VisitedStep>;
  outputs: VisitedExpression[];
  /** Of `defaults`, and of what is decided before the first step: they are no step's own and may read none. */
  stepless: VisitedExpression[];
}

/** Walks a spec that fits its schema and shape. */
export function visitWorkflow(name: string | null, spec: WorkflowSpec): VisitedWorkflow {
  const steps = (['steps', 'finally'] as const).flatMap((section) =>
    (spec[section] ?? []).map((step, i) => visitStep(step, section, ['spec', section, i])),
  );
  const byName = new Map<string, VisitedStep>();
  for (const step of steps) if (!byName.has(step.name)) byName.set(step.name, step);
  const retryIf = spec.defaults?.retry?.if;
  const place = ['spec', 'defaults', 'retry', 'if'];
  return {
    name,
    spec,
    steps,
    byName,
    outputs: [...strings(spec.outputs, ['spec', 'outputs'], 'outputs')],
    stepless: [
      ...(retryIf === undefined ? [] : [visitExpression('defaults.retry.if', retryIf, place)]),
      ...runExpressions(spec),
    ],
  };
}

function visitStep(spec: StepSpec, section: VisitedStep['section'], path: Path): VisitedStep {
  const kind = kindOf(spec);
  const bodies: VisitedBody[] = [{ part: 'main', spec, kind, path }];
  const add = (part: VisitedBody['part'], other: OtherBodySpec, at: Path) => {
    const otherKind = otherKinds.find((k) => other[k] !== undefined);
    // `skip` and `fail` are no body.
    if (otherKind !== undefined) bodies.push({ part, spec: other, kind: otherKind, path: at });
  };
  for (const [i, fallback] of (spec.fallback ?? []).entries()) add('fallback', fallback, [...path, 'fallback', i]);
  if (spec.compensate) add('compensate', spec.compensate, [...path, 'compensate']);
  return { spec, name: spec.name, kind, section, path, bodies, expressions: expressionsOf(spec, bodies, path) };
}
