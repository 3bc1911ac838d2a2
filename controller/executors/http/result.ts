import type { JsonValue } from '../../../crds/json.ts';
import type { AttemptResult, StepError } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';
import { storedDepth } from '../../seams/limits.ts';
import { containsSecret } from '../masking.ts';
import { storableJson, storableText } from '../storable.ts';
import type { Answer } from './exchange.ts';

/** What an answer means for the attempt. `expect`: statuses such as `2xx` or `404`. */
export function resultOf(
  answer: Answer,
  step: { expect: readonly string[]; retryable: boolean },
  secrets: readonly string[],
  now: Instant,
): AttemptResult {
  const { status } = answer;
  if (!step.expect.some((wanted) => wanted === String(status) || wanted === `${String(status)[0]}xx`)) {
    return { outcome: 'Failed', error: statusError(answer, step, now) };
  }
  const read = storableJson(bodyOf(answer));
  if (!read) return failed('output', `the body is nested deeper than ${storedDepth} levels`);
  const values = {
    status,
    headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, storableText(value)])),
    body: read.value,
  };
  if (containsSecret(answer.body, secrets) || containsSecret(JSON.stringify(values), secrets)) {
    return failed('secretInOutput', 'the answer contains the value of a secret; outputs are stored and shown');
  }
  return { outcome: 'Succeeded', outputs: { values } };
}

function statusError(answer: Answer, step: { expect: readonly string[]; retryable: boolean }, now: Instant): StepError {
  const { status } = answer;
  const transient = status === 408 || status === 425 || status === 429 || status >= 500;
  const wait = retryAfterMs(answer.headers['retry-after'], now);
  return {
    type: 'http',
    message: `the answer has status ${status}, expected ${step.expect.join(', ')}`,
    retryable: step.retryable && transient,
    status,
    ...(wait === null ? {} : { retryAfterMs: wait }),
  };
}

/** Retry-After is seconds or an HTTP date; null when there is none that can be read. */
export function retryAfterMs(value: string | undefined, now: Instant): number | null {
  if (value === undefined) return null;
  if (/^\s*\d{1,9}\s*$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

function bodyOf(answer: Answer): JsonValue {
  const type = (answer.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type !== 'application/json' && !type.endsWith('+json')) return answer.body;
  try {
    return JSON.parse(answer.body) as JsonValue;
  } catch {
    // Servers send empty or broken bodies under this type; the text is what there is.
    return answer.body;
  }
}

function failed(type: string, message: string): AttemptResult {
  return { outcome: 'Failed', error: { type, message, retryable: false } };
}
