import type { JsonValue } from '../../../crds/json.ts';
import type { OtherBodySpec, StepKind, StepSpec } from '../../../crds/workflow.ts';
import { parseDuration } from '../duration.ts';
import { compileCondition, compileTemplate, compileText } from '../expression/compile.ts';
import type { Template, TextTemplate } from '../expression/types.ts';
import { normalizePath } from '../paths.ts';
import { buildPodSettings } from './pod.ts';
import { outputSchemas } from './step-outputs.ts';
import type { StepBody } from './types.ts';

/** Kinds that make attempts: they have a deadline and retries, and may be cached, compensated or replaced by a fallback. */
export const attemptKinds = ['run', 'container', 'http', 'template', 'workflow'] as const;
export type AttemptKind = (typeof attemptKinds)[number];

/** The kinds among them that take `defaults`. A child run has limits of its own. */
export const defaultedKinds: readonly StepKind[] = ['run', 'container', 'http', 'template'];

export function hasAttempts(kind: StepKind): kind is AttemptKind {
  return (attemptKinds as readonly StepKind[]).includes(kind);
}

/** True for methods that may have an effect twice when sent twice. */
function isRepeatable(method: string): boolean {
  return method !== 'POST' && method !== 'PATCH';
}

/** What a body takes from around it. */
export interface AroundBody {
  /** The step whose env, secrets, outputs and Pod settings it has; itself, or that of a fallback or compensation. */
  step: StepSpec;
  defaultImage: string | undefined;
  /** Names of the loop variables. */
  locals: readonly string[];
}

/** The kind a step, fallback or compensation sets, with its field; everything after this looks at `kind` only. */
export function buildBody(written: StepSpec | OtherBodySpec, around: AroundBody): StepBody {
  const { step, locals } = around;
  const text = (source: string): TextTemplate => compileText(source, locals);
  const value = (source: unknown): Template => compileTemplate(source as JsonValue, locals);
  const ofPod = () => ({
    env: mapValues({ ...step.env, ...written.env }, text),
    secrets: mapValues(step.secrets, ({ name, key }) => ({ name, key })),
    outputs: outputSchemas(step),
  });
  if (written.run !== undefined) {
    const pod = buildPodSettings(step, around.defaultImage);
    return { kind: 'run', script: written.run, shell: step.shell ?? ['sh', '-ec'], ...ofPod(), pod };
  }
  if (written.container) {
    const { image, command, args, workingDir } = written.container;
    return {
      kind: 'container',
      image,
      command: command?.map(text) ?? null,
      args: args?.map(text) ?? null,
      workingDir: workingDir ?? null,
      ...ofPod(),
      pod: { ...buildPodSettings(step, undefined), image },
    };
  }
  if (written.workflow) {
    return { kind: 'workflow', name: written.workflow.name, inputs: mapValues(written.workflow.inputs, value) };
  }
  if (written.http) return httpBody(written.http, written.retry !== undefined, text, value);
  if (written.template) {
    const { file, text: source, vars } = written.template;
    return {
      kind: 'template',
      source: file === undefined ? { text: source ?? '' } : { file: normalizePath(file) },
      vars: mapValues(vars, value),
    };
  }
  if ('name' in written) return immediateBody(written, locals, text, value);
  throw new Error(`a fallback or compensation of step "${step.name}" has no kind`);
}

/** The kinds that only a step itself may be. */
function immediateBody(
  step: StepSpec,
  locals: readonly string[],
  text: (source: string) => TextTemplate,
  value: (source: unknown) => Template,
): StepBody {
  if (step.assert) {
    const assertions = step.assert.map(({ that, message }) => ({
      that: compileCondition(that, locals),
      message: message === undefined ? null : text(message),
    }));
    return { kind: 'assert', assertions };
  }
  if (step.decide) {
    const cases = step.decide.cases.map((one) => ({
      condition: one.if === undefined ? null : compileCondition(one.if, locals),
      then: mapValues(one.then, value),
    }));
    return { kind: 'decide', cases };
  }
  if (step.wait) {
    const { for: length, until } = step.wait;
    const form = length === undefined ? { instant: text(until ?? '') } : { forMs: parseDuration(length) };
    return { kind: 'wait', until: form };
  }
  if (step.approval) {
    const { groups, count, timeout } = step.approval;
    const timeoutMs = timeout === undefined ? null : parseDuration(timeout);
    return { kind: 'approval', groups: groups ?? null, count: count ?? 1, timeoutMs };
  }
  throw new Error(`step "${step.name}" has no kind`);
}

function httpBody(
  http: NonNullable<StepSpec['http']>,
  ownRetry: boolean,
  text: (source: string) => TextTemplate,
  value: (source: unknown) => Template,
): StepBody {
  const method = http.method ?? 'GET';
  return {
    kind: 'http',
    method,
    url: text(http.url),
    headers: mapValues(http.headers, text),
    secretHeaders: mapValues(http.secretHeaders, ({ name, key, prefix }) => ({ name, key, prefix: prefix ?? '' })),
    body: http.body === undefined ? null : value(http.body),
    expect: http.expect ?? ['2xx'],
    requestTimeoutMs: parseDuration(http.requestTimeout ?? '30s'),
    retryable: isRepeatable(method) || ownRetry,
  };
}

function mapValues<T, U>(map: Record<string, T> | undefined, convert: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, convert(value)]));
}
