import { type StepKind, type StepSpec, stepKinds } from '../../../../crds/workflow.ts';
import type { Rule } from '../visit.ts';

/** Fields of a step that only some kinds have. */
const fields: Partial<Record<keyof StepSpec, readonly StepKind[]>> = {
  env: ['run'],
  secrets: ['run'],
  outputs: ['run'],
  shell: ['run'],
  image: ['run'],
  resources: ['run'],
  nodeSelector: ['run'],
  tolerations: ['run'],
  affinity: ['run'],
  volumes: ['run'],
  imagePullSecrets: ['run'],
  serviceAccountName: ['run'],
  security: ['run'],
  podTemplate: ['run'],
  timeout: ['run', 'http', 'template'],
  retry: ['run', 'http', 'template'],
  deadline: ['run', 'http', 'template', 'wait'],
};

/** What to write instead, where there is something. */
const instead: Partial<Record<keyof StepSpec, Partial<Record<StepKind, string>>>> = {
  env: { template: '; use template.vars' },
  secrets: { http: '; use http.secretHeaders' },
  timeout: { approval: '; use approval.timeout', wait: '; use deadline' },
  deadline: { approval: '; use approval.timeout' },
  outputs: {
    decide: '; the cases name its outputs',
    http: '; they are status, headers and body',
    template: '; its output is text',
  },
};

/** A field that its kind does not have would be ignored: better said than found out. */
export const fieldForKind: Rule = {
  name: 'field-for-kind',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path, kind }) =>
      (Object.keys(fields) as (keyof StepSpec)[])
        .filter((field) => spec[field] !== undefined && !fields[field]?.includes(kind))
        .map((field) => ({
          path: [...path, field],
          at: 'key' as const,
          message: `${field} is not for ${kind} steps, only for ${listKinds(fields[field])}${instead[field]?.[kind] ?? ''}`,
        })),
    ),
};

function listKinds(kinds: readonly StepKind[] = stepKinds): string {
  return kinds.length === 1 ? String(kinds[0]) : `${kinds.slice(0, -1).join(', ')} and ${kinds.at(-1)}`;
}
