import type { JsonValue } from '../../../crds/json.ts';
import type { StepKind, StepSpec } from '../../../crds/workflow.ts';
import { parseDuration } from '../duration.ts';
import { compileCondition, compileTemplate, compileText } from '../expression/compile.ts';
import { normalizePath } from '../paths.ts';
import { compileSchema } from './json-schema.ts';
import { buildPodSettings } from './pod.ts';
import type { OutputSchema, StepBody } from './types.ts';

/** Kinds that make attempts: they have a timeout, a deadline and retries, and take `defaults`. */
export function hasAttempts(kind: StepKind): kind is 'run' | 'http' | 'template' {
  return kind === 'run' || kind === 'http' || kind === 'template';
}

/** True for methods that may have an effect twice when sent twice. */
function isRepeatable(method: string): boolean {
  return method !== 'POST' && method !== 'PATCH';
}

/**
 * The kind a step sets, with its field; everything after this looks at `kind` only. Compiles every expression of it.
 * @param defaultImage of the workflow
 */
export function buildBody(step: StepSpec, defaultImage?: string): StepBody {
  if (step.run !== undefined) {
    return {
      kind: 'run',
      script: step.run,
      shell: step.shell ?? ['sh', '-ec'],
      env: mapValues(step.env, compileText),
      secrets: mapValues(step.secrets, ({ name, key }) => ({ name, key })),
      pod: buildPodSettings(step, defaultImage),
      outputs: mapValues(step.outputs, (schema) => outputSchema(schema as JsonValue)),
    };
  }
  if (step.assert) {
    const assertions = step.assert.map(({ that, message }) => ({
      that: compileCondition(that),
      message: message === undefined ? null : compileText(message),
    }));
    return { kind: 'assert', assertions };
  }
  if (step.decide) {
    const cases = step.decide.cases.map((one) => ({
      condition: one.if === undefined ? null : compileCondition(one.if),
      then: mapValues(one.then, (value) => compileTemplate(value as JsonValue)),
    }));
    return { kind: 'decide', cases };
  }
  if (step.http) return httpBody(step.http, step.retry !== undefined);
  if (step.template) {
    const { file, text, vars } = step.template;
    return {
      kind: 'template',
      source: file === undefined ? { text: text ?? '' } : { file: normalizePath(file) },
      vars: mapValues(vars, (value) => compileTemplate(value as JsonValue)),
    };
  }
  if (step.wait) {
    const { for: length, until } = step.wait;
    const form = length === undefined ? { instant: compileText(until ?? '') } : { forMs: parseDuration(length) };
    return { kind: 'wait', until: form };
  }
  if (step.approval) {
    const { groups, count, timeout } = step.approval;
    const timeoutMs = timeout === undefined ? null : parseDuration(timeout);
    return { kind: 'approval', groups: groups ?? null, count: count ?? 1, timeoutMs };
  }
  throw new Error(`step "${step.name}" has no kind`);
}

function httpBody(http: NonNullable<StepSpec['http']>, ownRetry: boolean): StepBody {
  const method = http.method ?? 'GET';
  return {
    kind: 'http',
    method,
    url: compileText(http.url),
    headers: mapValues(http.headers, compileText),
    secretHeaders: mapValues(http.secretHeaders, ({ name, key, prefix }) => ({ name, key, prefix: prefix ?? '' })),
    body: http.body === undefined ? null : compileTemplate(http.body as JsonValue),
    expect: http.expect ?? ['2xx'],
    requestTimeoutMs: parseDuration(http.requestTimeout ?? '30s'),
    retryable: isRepeatable(method) || ownRetry,
  };
}

const outputTypes = ['string', 'integer', 'number', 'boolean', 'array', 'object'] as const;

function outputSchema(schema: JsonValue): OutputSchema {
  const written = typeof schema === 'object' && schema !== null && !Array.isArray(schema) ? schema['type'] : undefined;
  let compiled: ReturnType<typeof compileSchema> | undefined;
  return {
    type: outputTypes.find((t) => t === written) ?? 'any',
    check(value) {
      // On first use: compiling costs far more than anything else in a plan.
      compiled ??= compileSchema(schema);
      return compiled.check(value);
    },
  };
}

function mapValues<T, U>(map: Record<string, T> | undefined, convert: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, convert(value)]));
}
