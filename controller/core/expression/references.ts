import { children, type Macro, type Node } from './parse.ts';
import type { ConditionCalls } from './types.ts';

/** What an expression may refer to besides the variables of its own macros. */
export const contextNames: readonly string[] = [
  'inputs',
  'steps',
  'run',
  'workflow',
  'environment',
  'error',
  'attempt',
];
export const conditionCalls: readonly string[] = ['always', 'failure', 'status'];

export const stepsMisuse = 'write steps.NAME with a literal name: which steps are read must be known before the run';
export const stepMisuse = 'write .outputs, .phase or .error after steps.NAME';

/** What `error` and `attempt` are told where they are not known. */
export const errorMisuse: Record<'error' | 'attempt', string> = {
  error: 'error is known only in retry.if and in fallback',
  attempt: 'attempt is known only in retry.if',
};

/** Why a macro variable is refused: `steps.x` must always be a step. */
export function hidesContext(macro: Macro): string {
  return `the variable ${macro.variable} of ${macro.name}() hides the context; rename it`;
}

/** `steps.NAME`, or null. */
export function asStep(node: Node): string | null {
  return node.op === '.' && node.args[0].op === 'id' && node.args[0].args === 'steps' ? node.args[1] : null;
}

/** `steps.NAME.FIELD`, or null. */
export function asStepField(node: Node): { step: string; field: string } | null {
  if (node.op !== '.' && node.op !== '.?') return null;
  const step = asStep(node.args[0]);
  return step === null ? null : { step, field: node.args[1] };
}

/**
 * Whether null goes through instead of being an error: below the outputs or the error of a step, and below `run.error`,
 * which are null when there is nothing.
 */
export function passesNull(node: Node): boolean {
  if (node.op !== '.' && node.op !== '[]') return false;
  if (asStepField(node) !== null) return true;
  const left = node.args[0];
  return (node.op === '.' && node.args[1] === 'error' && left.op === 'id' && left.args === 'run') || passesNull(left);
}

/** The literal step name of `status('x')`, or null. */
export function statusStep(node: Node): string | null {
  if (node.op !== 'call' || node.args[0] !== 'status' || node.args[1].length !== 1) return null;
  const name = node.args[1][0];
  return name?.op === 'value' && typeof name.args === 'string' ? name.args : null;
}

/** Step names and condition calls, found without evaluating. */
export function findReferences(ast: Node): { steps: string[]; calls: ConditionCalls } {
  const steps = new Set<string>();
  const status = new Set<string>();
  const calls: ConditionCalls = { always: false, failure: false, status: [] };
  const pending = [ast];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const step = asStep(node);
    if (step !== null) steps.add(step);
    if (node.op === 'call' && node.args[0] === 'always') calls.always = true;
    if (node.op === 'call' && node.args[0] === 'failure') calls.failure = true;
    const asked = statusStep(node);
    if (asked !== null) status.add(asked);
    pending.push(...children(node).toReversed());
  }
  calls.status = [...status];
  return { steps: [...steps], calls };
}
