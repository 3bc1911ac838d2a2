import { fixedOutputs } from '../../plan/step-outputs.ts';
import { artifactSource } from '../../plan/flow.ts';
import type { Finding, Rule, VisitedBody, VisitedStep, VisitedWorkflow } from '../visit.ts';

/** `skip` and `fail` are the end of it: they always come about, and nothing after them does. */
export const fallback: Rule = {
  name: 'fallback',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path }) => (spec.fallback ?? []).flatMap((_, i) => judge(spec, path, i))),
};

function judge({ fallback: all = [] }: VisitedStep['spec'], path: VisitedStep['path'], i: number): Finding[] {
  const one = all[i];
  const word = one?.skip !== undefined ? 'skip' : one?.fail === undefined ? null : 'fail';
  if (one === undefined || word === null) return [];
  const at = [...path, 'fallback', i];
  const limits = (['env', 'timeout', 'retry'] as const).filter((field) => one[field] !== undefined);
  const after = `${word} always ends the step: this fallback is never tried`;
  return [
    ...limits.map((field) => ({ path: [...at, field], at: 'key' as const, message: `${word} takes no ${field}` })),
    ...(i < all.length - 1 ? [{ path: [...path, 'fallback', i + 1], message: after }] : []),
  ];
}

/** Whoever reads a step does not know which of its bodies succeeded: a fallback has to give what is read. */
export const fallbackOutputs: Rule = {
  name: 'fallback-outputs',
  check: (workflow) => {
    const others = workflow.steps.flatMap((step) =>
      step.bodies.filter((body) => body.part === 'fallback' && body.kind !== step.kind).map((body) => ({ step, body })),
    );
    if (others.length === 0) return [];
    const used = usedOf(workflow);
    return others.flatMap(({ step, body }) => missing(step, body, used.get(step.name) ?? nothing));
  },
};

/** What is read and taken of a step. */
interface Used {
  outputs: ReadonlySet<string>;
  artifacts: ReadonlySet<string>;
}

const nothing: Used = { outputs: new Set(), artifacts: new Set() };

function missing(step: VisitedStep, body: VisitedBody, used: Used): Finding[] {
  const at = { path: [...body.path, body.kind], at: 'key' as const, severity: 'warning' as const };
  const given = givenBy(step, body);
  const lost = given === null ? [] : [...used.outputs].filter((output) => !given.includes(output));
  const artifacts = body.kind === 'run' || body.kind === 'container' ? [] : used.artifacts;
  return [
    ...lost.map((output) => ({ ...at, message: `this fallback gives no output "${output}", which others read` })),
    ...[...artifacts].map((name) => ({
      ...at,
      message: `this fallback keeps no artifact "${name}", which others take`,
    })),
  ];
}

/** Names of the outputs that a fallback gives; null: not known. */
function givenBy({ spec, kind }: VisitedStep, body: VisitedBody): string[] | null {
  if (body.kind === 'http' || body.kind === 'template') return Object.keys(fixedOutputs[body.kind]);
  if (body.kind === 'workflow') return null;
  return Object.keys(kind === 'http' || kind === 'template' ? fixedOutputs[kind] : (spec.outputs ?? {}));
}

/** By step. */
function usedOf({ steps, outputs }: VisitedWorkflow): Map<string, Used> {
  const used = new Map<string, { outputs: Set<string>; artifacts: Set<string> }>();
  const of = (step: string) => {
    const found = used.get(step) ?? { outputs: new Set(), artifacts: new Set() };
    used.set(step, found);
    return found;
  };
  for (const { source } of [...steps.flatMap((step) => step.expressions), ...outputs]) {
    for (const [, step = '', output = ''] of source.matchAll(/\bsteps\.([a-z]\w*)\.outputs\.([a-z]\w*)/g)) {
      of(step).outputs.add(output);
    }
  }
  for (const source of steps.flatMap(({ spec }) => Object.values(spec.artifacts?.in ?? {}))) {
    const { step, name } = artifactSource(source);
    of(step).artifacts.add(name);
  }
  return used;
}
