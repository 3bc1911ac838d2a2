import { suggest } from '../../expression/suggest.ts';
import type { Path } from '../../parse/position.ts';
import { normalizePath, refusePath } from '../../paths.ts';
import { artifactSource } from '../../plan/flow.ts';
import type { Finding, Rule, VisitedStep, VisitedWorkflow } from '../visit.ts';

/** Artifacts are below the step's working directory, and two that are put there do not lie in each other. */
export const artifactPath: Rule = {
  name: 'artifact-path',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path }) => {
      const { out = {}, in: into = {} } = spec.artifacts ?? {};
      const inAt = [...path, 'artifacts', 'in'];
      return [
        ...Object.entries(out).flatMap(([name, file]) => refused(file, [...path, 'artifacts', 'out', name], 'value')),
        ...Object.keys(into).flatMap((file) => refused(file, [...inAt, file], 'key')),
        ...collisions(Object.keys(into), inAt),
      ];
    }),
};

function refused(file: string, path: Path, at: 'key' | 'value'): Finding[] {
  if (file.includes('${{')) return [{ path, at, message: '${{ }} is not replaced in the path of an artifact' }];
  const why = refusePath(file, 'step');
  return why === null ? [] : [{ path, at, message: `"${file}" ${why}` }];
}

function collisions(files: string[], path: Path): Finding[] {
  const seen: string[] = [];
  return files.flatMap((file): Finding[] => {
    const here = normalizePath(file);
    const other = seen.find((one) => one === here || one.startsWith(`${here}/`) || here.startsWith(`${one}/`));
    seen.push(here);
    if (other === undefined) return [];
    return [{ path: [...path, file], at: 'key', message: `"${file}" and "${other}" would lie in each other` }];
  });
}

/** `artifacts.in` names a step before this one, and something that it keeps. */
export const artifactUnknown: Rule = {
  name: 'artifact-unknown',
  check: (workflow) =>
    workflow.steps.flatMap((step) =>
      Object.entries(step.spec.artifacts?.in ?? {}).flatMap(([file, source]) => {
        const message = unknown(workflow, step, source);
        return message === null ? [] : [{ path: [...step.path, 'artifacts', 'in', file], message }];
      }),
    ),
};

function unknown({ byName }: VisitedWorkflow, taker: VisitedStep, source: string): string | null {
  const { step: from, name } = artifactSource(source);
  if (from === taker.name) return `step "${from}" cannot take from itself: it has not run yet`;
  const step = byName.get(from);
  if (step === undefined) return `there is no step "${from}"${suggest(from, byName.keys())}`;
  if (step.section === 'finally' && taker.section === 'steps') {
    return `step "${from}" is in finally, which begins after all steps`;
  }
  const kept = Object.keys(step.spec.artifacts?.out ?? {});
  if (!kept.includes(name)) return `step "${from}" keeps no artifact "${name}"${suggest(name, kept)}`;
  if (step.spec.forEach) return `step "${from}" is a forEach: each of its items keeps an artifact "${name}" of its own`;
  return null;
}
