import type { StepSpec } from '../../crds/workflow.ts';
import type { planOf } from '../fixtures/plans.ts';

/** A workflow as somebody has written it: what the oracle reads instead of the plan that the engine makes of it. */
export type Written = Parameters<typeof planOf>[0];
export type WrittenStep = Written['steps'][number];
export type WrittenBody = NonNullable<StepSpec['compensate']>;

export type Kind = 'run' | 'container' | 'http' | 'template' | 'workflow' | 'assert' | 'decide' | 'wait' | 'approval';

/** An error as far as policies look at it. */
export interface Fault {
  type: string;
  retryable: boolean;
}

const kinds = ['container', 'http', 'template', 'workflow', 'assert', 'decide', 'wait', 'approval', 'run'] as const;
const slots: readonly Kind[] = ['run', 'container', 'http', 'template'];

/** A step that says nothing else runs a script. */
export function kindOf(body: WrittenStep | WrittenBody): Kind {
  return kinds.find((kind) => Reflect.get(body, kind) !== undefined) ?? 'run';
}

export function takesSlot(kind: Kind): boolean {
  return slots.includes(kind);
}

export function makesAttempts(kind: Kind): boolean {
  return takesSlot(kind) || kind === 'workflow';
}

/** What a unit does by a name such as `main`, `fallback[0]` or `compensate`; null: there is no such body. */
export function bodyAt(step: WrittenStep, via: string): WrittenStep | WrittenBody | null {
  if (via === 'main') return step;
  if (via === 'compensate') return step.compensate ?? null;
  const fallback = step.fallback?.[placeOf(via)];
  return fallback === undefined || 'skip' in fallback || 'fail' in fallback ? null : fallback;
}

/** What comes when a body has failed for good: another body, a word, or nothing. */
export function afterBody(step: WrittenStep, via: string): { via: string } | 'skip' | 'fail' | null {
  if (via === 'compensate') return null;
  const place = via === 'main' ? 0 : placeOf(via) + 1;
  const next = step.fallback?.[place];
  if (next === undefined) return null;
  if ('skip' in next) return 'skip';
  return 'fail' in next ? 'fail' : { via: `fallback[${place}]` };
}

function placeOf(via: string): number {
  return Number(/\d+/.exec(via)?.[0] ?? 0);
}

/** Milliseconds of `3s` or `2m`. */
export function msOf(duration: string): number {
  const unit = { s: 1000, m: 60_000, h: 3_600_000 }[duration.at(-1) ?? ''];
  if (unit === undefined) throw new Error(`the oracle does not read the duration ${duration}`);
  return Number(duration.slice(0, -1)) * unit;
}

/** Longest time of one attempt: a fallback or compensation has that of its step, if none of its own. */
export function timeoutOf(step: WrittenStep, body: WrittenStep | WrittenBody): number {
  const timeout = body.timeout ?? step.timeout;
  return timeout === undefined ? Number.POSITIVE_INFINITY : msOf(timeout);
}

/** Whether a request may be sent again though nobody has asked for it. */
function isRepeated(body: WrittenStep | WrittenBody): boolean {
  const method = body.http?.method ?? 'GET';
  return body.retry !== undefined || (method !== 'POST' && method !== 'PATCH');
}

/** Retries of what the infrastructure has lost. */
const lostBudget = 5;

/**
 * Whether a body that has failed is tried again.
 * @param attempts of this body so far, and how many of them the infrastructure has lost
 */
export function triesAgain(
  body: WrittenStep | WrittenBody,
  fault: Fault,
  attempts: number,
  lost: number,
): boolean | 'error' {
  if (kindOf(body) === 'http' && !isRepeated(body)) return false;
  if (isLost(fault)) return lost <= lostBudget && fault.retryable;
  if (attempts - lost > (body.retry?.limit ?? 0)) return false;
  return retryConditions[body.retry?.if ?? 'error.retryable']?.(fault, attempts) ?? 'error';
}

export function isLost({ type }: Fault): boolean {
  return type.startsWith('infrastructure/');
}

/** What may be written as `retry.if`, and what it means; null: it cannot be evaluated. */
export const retryConditions: Record<string, (fault: Fault, attempt: number) => boolean | null> = {
  'error.retryable': ({ retryable }) => retryable,
  "error.type == 'exit'": ({ type }) => type === 'exit',
  'attempt < 2': (_, attempt) => attempt < 2,
  "error.type == 'timeout' || attempt < 3": ({ type }, attempt) => type === 'timeout' || attempt < 3,
  '1 / 0 == attempt': () => null,
};

/** The shortest and the longest pause before the next attempt, by the default factor and jitter. */
export function pauseOf(body: WrittenStep | WrittenBody, attempts: number): { least: number; most: number } {
  const { initial = '1s', max = '1m' } = body.retry?.backoff ?? {};
  const most = Math.min(msOf(initial) * 2 ** (attempts - 1), msOf(max));
  return { least: Math.floor(most * 0.8), most };
}

/** How many items a forEach has; null: they cannot be told. */
export function itemsOf({ items, range, matrix }: NonNullable<StepSpec['forEach']>): number | null {
  if (range !== undefined) return Number(range.to);
  if (matrix !== undefined)
    return Object.values(matrix).reduce<number>((all, axis) => all * (axis as unknown[]).length, 1);
  if (typeof items === 'string') return null;
  return Array.isArray(items) ? items.length : Object.keys(items as object).length;
}

/** Whether a script may yield `n`: declared by its step, whose kind may declare something else. */
export function declaresN(step: WrittenStep): boolean {
  const kind = kindOf(step);
  return kind !== 'http' && kind !== 'template' && step.outputs?.['n'] !== undefined;
}

/** What an `if` comes to. */
export function wants(
  condition: string,
  about: { failure: boolean; phaseOf(step: string): string },
): boolean | 'error' {
  switch (condition) {
    case 'true':
    case 'always()':
      return true;
    case 'false':
      return false;
    case 'failure()':
      return about.failure;
    case '1 / 0 == 1':
      return 'error';
    default: {
      const [, need] = /^steps\.(\w+)\.phase == 'Succeeded'$/.exec(condition) ?? [];
      if (need !== undefined) return about.phaseOf(need) === 'Succeeded';
      const [, other] = /^status\('(\w+)'\) != 'x'$/.exec(condition) ?? [];
      if (other !== undefined) return true;
      throw new Error(`the oracle does not read ${condition}`);
    }
  }
}

/** Whether a step begins by its own `if` though a need is not met. */
export function judgesNeeds(condition: string | undefined): boolean {
  return condition !== undefined && /always\(|failure\(|status\(/.test(condition);
}

/** What `until` says after a repetition that has yielded `n`; undefined: it yields none. */
export function isDone(condition: string, n: unknown): boolean | 'error' {
  if (condition === 'true' || condition === 'false') return condition === 'true';
  return typeof n === 'number' ? n > 1 : 'error';
}
