import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import { type OtherBodySpec, type StepSpec, stepKinds, type WorkflowSpec } from '../../../crds/workflow.ts';
import { parseDuration } from '../duration.ts';
import { compileCondition, compileTemplate, compileText } from '../expression/compile.ts';
import { buildBody, defaultedKinds, hasAttempts } from './body.ts';
import { connectSteps, impliedNeeds, type StepDraft } from './edges.ts';
import { buildArtifacts, buildCache, buildForEach, buildLocks, buildUntil, loopVariables } from './flow.ts';
import { compileInputs } from './json-schema.ts';
import { buildRetry, noRetry } from './retry.ts';
import type { Body, Plan, PlanStep } from './types.ts';

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
    queueTimeoutMs: spec.queueTimeout === undefined ? null : parseDuration(spec.queueTimeout),
    parallelism: spec.parallelism ?? null,
    concurrency:
      spec.concurrency === undefined
        ? null
        : { group: compileText(spec.concurrency.group), policy: spec.concurrency.policy ?? 'Queue' },
    locks: buildLocks(spec.locks),
    files: snapshot.files,
  };
}

function draftStep(step: StepSpec, section: PlanStep['section'], defaults: WorkflowSpec['defaults']): StepDraft {
  const locals = loopVariables(step);
  const around = { step, defaults, locals };
  const parts = {
    name: step.name,
    section,
    condition: step.if === undefined ? null : compileCondition(step.if),
    deadlineMs: step.deadline === undefined ? null : parseDuration(step.deadline),
    criticality: step.criticality ?? 'high',
    forEach: buildForEach(step.forEach),
    until: buildUntil(step.until, locals),
    locks: buildLocks(step.locks, locals),
    cache: buildCache(step.cache, locals),
    artifacts: buildArtifacts(step.artifacts),
    main: limited(step, around),
    fallback: (step.fallback ?? []).map((one) => {
      if (one.skip !== undefined) return { skip: true } as const;
      return one.fail === undefined ? limited(one, around) : { fail: compileText(one.fail, locals) };
    }),
    compensate: step.compensate === undefined ? null : limited(step.compensate, around),
  };
  return { ...parts, needs: new Set([...(step.needs ?? []), ...impliedNeeds(parts)]) };
}

/** A body with its limits: its own, then those of `defaults`, then the standard. A timeout is the step's before that. */
function limited(
  written: StepSpec | OtherBodySpec,
  { step, defaults, locals }: { step: StepSpec; defaults: WorkflowSpec['defaults']; locals: readonly string[] },
): Body {
  const body = buildBody(written, { step, defaultImage: defaults?.image, locals });
  if (!hasAttempts(body.kind)) return { body, timeoutMs: null, retry: noRetry };
  const defaulted = defaultedKinds.includes(body.kind);
  const timeout = written.timeout ?? step.timeout ?? (defaulted ? (defaults?.timeout ?? defaultTimeout) : undefined);
  // Sent twice, a POST may act twice: only the body's own `retry` says that it may, never `defaults`.
  const retryable = body.kind !== 'http' || body.retryable;
  return {
    body,
    timeoutMs: timeout === undefined ? null : parseDuration(timeout),
    retry: retryable ? buildRetry(written.retry, defaulted ? defaults?.retry : undefined, locals) : noRetry,
  };
}

/** The kind of a step that passed the schema. */
export function kindOf(step: StepSpec): (typeof stepKinds)[number] {
  const kind = stepKinds.find((k) => step[k] !== undefined);
  if (kind === undefined) throw new Error(`step "${step.name}" has no kind`);
  return kind;
}
