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
  check: (workflow) =>
    workflow.steps.flatMap((step) =>
      step.bodies
        .filter((body) => body.part === 'fallback' && body.kind !== step.kind)
        .flatMap((body) => missing(workflow, step, body)),
    ),
};

function missing(workflow: VisitedWorkflow, step: VisitedStep, body: VisitedBody): Finding[] {
  const at = { path: [...body.path, body.kind], at: 'key' as const, severity: 'warning' as const };
  const given = givenBy(step, body);
  const lost = given === null ? [] : [...readOf(workflow, step.name)].filter((output) => !given.includes(output));
  const artifacts = body.kind === 'run' || body.kind === 'container' ? [] : takenOf(workflow, step.name);
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

function readOf({ steps, outputs }: VisitedWorkflow, name: string): Set<string> {
  const reads = new RegExp(`\\bsteps\\.${name}\\.outputs\\.([a-z][a-z0-9_]*)`, 'g');
  const all = [...steps.flatMap((step) => step.expressions), ...outputs].filter((e) => e.steps.includes(name));
  return new Set(all.flatMap(({ source }) => [...source.matchAll(reads)].map(([, output = '']) => output)));
}

function takenOf({ steps }: VisitedWorkflow, name: string): Set<string> {
  const sources = steps.flatMap(({ spec }) => Object.values(spec.artifacts?.in ?? {}).map(artifactSource));
  return new Set(sources.filter((source) => source.step === name).map((source) => source.name));
}
