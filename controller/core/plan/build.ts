import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import { type StepSpec, stepKinds, type WorkflowSpec } from '../../../crds/workflow.ts';
import { parseDuration } from '../duration.ts';
import { compileCondition, compileTemplate } from '../expression/compile.ts';
import { buildBody, hasAttempts } from './body.ts';
import { connectSteps, impliedNeeds, type StepDraft } from './edges.ts';
import { compileInputs } from './json-schema.ts';
import { buildRetry, noRetry } from './retry.ts';
import type { Plan, PlanStep } from './types.ts';

/** Longest time of one attempt when nothing else is said. Never changed within an apiVersion. */
const defaultTimeout = '1h';

/**
 * A snapshot made ready to run: defaults filled in, expressions compiled, edges resolved. Costs steps plus edges; the
 * schema's bound on the number of steps is not repeated here.
 * @throws Error when the spec could not have passed lint: an expression that does not compile, an unknown need, a cycle.
 */
export function buildPlan(snapshot: {
  digest: string;
  workflow: string;
  spec: JsonObject;
  files: Record<string, string>;
}): Plan {
  // Snapshots are made from specs that passed the schema; see core/snapshot.ts.
  const spec = snapshot.spec as unknown as WorkflowSpec;
  const drafts = [
    ...spec.steps.map((step) => draftStep(step, 'main', spec.defaults)),
    ...(spec.finally ?? []).map((step) => draftStep(step, 'finally', spec.defaults)),
  ];
  return {
    digest: snapshot.digest,
    name: snapshot.workflow,
    ...connectSteps(drafts),
    checkInputs: compileInputs((spec.inputs ?? {}) as Record<string, JsonValue>),
    outputs: Object.fromEntries(
      Object.entries(spec.outputs ?? {}).map(([name, value]) => [name, compileTemplate(value as JsonValue)]),
    ),
    timeoutMs: spec.timeout === undefined ? null : parseDuration(spec.timeout),
    files: snapshot.files,
  };
}

function draftStep(step: StepSpec, section: PlanStep['section'], defaults: WorkflowSpec['defaults']): StepDraft {
  const body = buildBody(step, defaults?.image);
  const attempts = hasAttempts(body.kind);
  // Sent twice, a POST may act twice: only the step's own `retry` says that it may, never `defaults`.
  const takesDefaults = body.kind !== 'http' || body.retryable;
  const parts = {
    name: step.name,
    section,
    condition: step.if === undefined ? null : compileCondition(step.if),
    timeoutMs: attempts ? parseDuration(step.timeout ?? defaults?.timeout ?? defaultTimeout) : null,
    deadlineMs: step.deadline === undefined ? null : parseDuration(step.deadline),
    retry: attempts && takesDefaults ? buildRetry(step.retry, defaults?.retry) : noRetry,
    body,
  };
  return { ...parts, needs: new Set([...(step.needs ?? []), ...impliedNeeds(parts)]) };
}

/** The kind of a step that passed the schema. */
export function kindOf(step: StepSpec): (typeof stepKinds)[number] {
  const kind = stepKinds.find((k) => step[k] !== undefined);
  if (kind === undefined) throw new Error(`step "${step.name}" has no kind`);
  return kind;
}
