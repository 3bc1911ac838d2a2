import type { ExpressionContext, TextTemplate } from '../expression/types.ts';
import { ExpressionError } from '../expression/types.ts';
import type { StepBody } from '../plan/types.ts';
import type { ResolvedBody, RunRow, StepError } from './types.ts';

/** How deep child runs may be nested. */
export const maxChildDepth = 10;

/** The kinds that run as attempts outside of the decision. */
export type AttemptBody = Extract<StepBody, { kind: ResolvedBody['kind'] }>;

/** A body with every expression evaluated. `run`: what a child run takes from it; `resumes`: of a child run. @throws ExpressionError */
export function resolveBody(
  body: AttemptBody,
  context: ExpressionContext,
  run: Pick<RunRow, 'priority' | 'root' | 'depth'>,
  resumes = false,
): ResolvedBody {
  switch (body.kind) {
    case 'container':
      return {
        kind: 'container',
        image: body.image,
        command: body.command?.map((template) => template.evaluate(context)) ?? null,
        args: body.args?.map((template) => template.evaluate(context)) ?? null,
        workingDir: body.workingDir,
        env: mapValues(body.env, (template: TextTemplate) => template.evaluate(context)),
        secrets: body.secrets,
        pod: body.pod,
      };
    case 'workflow':
      return {
        kind: 'workflow',
        name: body.name,
        inputs: mapValues(body.inputs, (template) => template.evaluate(context)),
        priority: run.priority,
        root: run.root,
        depth: run.depth + 1,
        resumes,
      };
    case 'run':
      return {
        kind: 'run',
        script: body.script,
        shell: body.shell,
        env: mapValues(body.env, (template: TextTemplate) => template.evaluate(context)),
        secrets: body.secrets,
        pod: body.pod,
      };
    case 'http':
      return {
        kind: 'http',
        method: body.method,
        url: body.url.evaluate(context),
        headers: mapValues(body.headers, (template: TextTemplate) => template.evaluate(context)),
        secretHeaders: body.secretHeaders,
        body: body.body === null ? undefined : body.body.evaluate(context),
        expect: body.expect,
        requestTimeoutMs: body.requestTimeoutMs,
        retryable: body.retryable,
      };
    case 'template':
      break;
  }
  return {
    kind: 'template',
    source: body.source,
    vars: mapValues(body.vars, (template) => template.evaluate(context)),
  };
}

/** Evaluates something of the user's: what went wrong in it is a value, anything else is ours and is thrown. */
export function evaluated<T>(evaluate: () => T): { ok: true; value: T } | { ok: false; error: StepError } {
  try {
    return { ok: true, value: evaluate() };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return { ok: false, error: { type: 'expression', message: error.message, retryable: false } };
  }
}

/** An object with the same keys and other values. A key may be `__proto__`, which assignment would not make a key. */
export function mapValues<A, B>(object: Record<string, A>, change: (value: A) => B): Record<string, B> {
  if (isEmpty(object)) return {};
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

/** Without listing the keys: most objects that are asked have none. */
export function isEmpty(object: object): boolean {
  for (const _ in object) return false;
  return true;
}
