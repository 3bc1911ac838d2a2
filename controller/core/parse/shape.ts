import type { EnvironmentSpec } from '../../../crds/environment.ts';
import type { Kind } from '../../../crds/kinds.ts';
import type { WorkflowRunSpec } from '../../../crds/workflow-run.ts';
import { otherKinds, type StepSpec, stepKinds, type WorkflowSpec } from '../../../crds/workflow.ts';
import { formatPath, type Path, type Problem } from './position.ts';

/** What the CEL rules of a kind say (and JSON Schema cannot), on an object that fits its schema. */
export function checkShape(kind: Kind, object: { metadata: Metadata; spec: unknown }): Problem[] {
  const problems = checkName(kind, object.metadata);
  if (kind === 'Workflow') problems.push(...workflowShape(object.spec as WorkflowSpec));
  if (kind === 'WorkflowRun') problems.push(...runShape(object.spec as WorkflowRunSpec));
  if (kind === 'Environment') problems.push(...environmentShape(object.spec as EnvironmentSpec));
  return problems;
}

interface Metadata {
  name?: string;
  generateName?: string;
}

function checkName(kind: Kind, metadata: Metadata): Problem[] {
  if (metadata.name !== undefined) return [];
  const generated = kind === 'WorkflowRun' ? ' or "generateName"' : '';
  if (generated !== '' && metadata.generateName !== undefined) return [];
  return [{ path: ['metadata'], rule: 'schema-required', message: `metadata has no field "name"${generated}` }];
}

function workflowShape(spec: WorkflowSpec): Problem[] {
  const problems: Problem[] = [];
  for (const section of ['steps', 'finally'] as const) {
    for (const [i, step] of (spec[section] ?? []).entries()) {
      problems.push(...stepShape(step, ['spec', section, i]));
    }
  }
  return problems;
}

function stepShape(step: StepSpec, path: Path): Problem[] {
  const problems = exactlyOne(step, stepKinds, path, `step "${step.name}"`, 'step-kind');
  if (step.wait) problems.push(...exactlyOne(step.wait, ['for', 'until'], [...path, 'wait'], 'wait', 'wait-form'));
  problems.push(...templateShape(step, path));
  if (step.forEach) {
    const at = [...path, 'forEach'];
    problems.push(...exactlyOne(step.forEach, ['items', 'range', 'matrix'], at, 'forEach', 'for-each-form'));
  }
  for (const [i, one] of (step.fallback ?? []).entries()) {
    const at = [...path, 'fallback', i];
    problems.push(...exactlyOne(one, [...otherKinds, 'skip', 'fail'], at, `fallback[${i}]`, 'fallback-form'));
    problems.push(...templateShape(one, at));
  }
  if (step.compensate) {
    const at = [...path, 'compensate'];
    problems.push(...exactlyOne(step.compensate, otherKinds, at, 'compensate', 'compensate-form'));
    problems.push(...templateShape(step.compensate, at));
  }
  return problems;
}

function templateShape({ template }: Pick<StepSpec, 'template'>, path: Path): Problem[] {
  return template ? exactlyOne(template, ['file', 'text'], [...path, 'template'], 'template', 'template-form') : [];
}

function runShape({ force, desired }: WorkflowRunSpec): Problem[] {
  if (!force || desired === 'Cancelled') return [];
  return [{ path: ['spec', 'force'], at: 'key', rule: 'run-force', message: 'force goes with desired Cancelled' }];
}

function environmentShape(spec: EnvironmentSpec): Problem[] {
  const track = ['spec', 'track'];
  const problems = exactlyOne(spec.track, ['branch', 'tag', 'upstream'], track, 'spec.track', 'environment-track');
  for (const [i, gate] of (spec.gates ?? []).entries()) {
    const path = ['spec', 'gates', i];
    problems.push(...exactlyOne(gate, ['upstream', 'approval'], path, formatPath(path), 'environment-gate'));
  }
  if (spec.track.upstream && !spec.after?.length) {
    const message = 'spec.track.upstream needs spec.after: the environments whose active versions are taken';
    problems.push({ path: [...track, 'upstream'], at: 'key', rule: 'environment-upstream', message });
  }
  return problems;
}

function exactlyOne<K extends string>(
  value: Partial<Record<K, unknown>>,
  fields: readonly K[],
  path: Path,
  name: string,
  rule: string,
): Problem[] {
  const found = fields.filter((field) => value[field] !== undefined);
  if (found.length === 1) return [];
  const list = fields.join(', ');
  const [, second] = found;
  if (second === undefined) return [{ path, rule, message: `${name} has none of ${list}; it needs exactly one` }];
  const message = `${name} has ${found.join(' and ')}; it needs exactly one of ${list}`;
  return [{ path: [...path, second], at: 'key', rule, message }];
}
