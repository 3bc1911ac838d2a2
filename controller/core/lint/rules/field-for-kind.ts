import { type StepKind, type StepSpec, stepKinds } from '../../../../crds/workflow.ts';
import { attemptKinds } from '../../plan/body.ts';
import type { Path } from '../../parse/position.ts';
import type { Finding, Rule, VisitedStep } from '../visit.ts';

const scripts = ['run', 'container'] as const;

/** Fields of a step that only some kinds have. */
const fields: Partial<Record<keyof StepSpec, readonly StepKind[]>> = {
  env: scripts,
  secrets: scripts,
  outputs: scripts,
  shell: ['run'],
  image: ['run'],
  resources: scripts,
  nodeSelector: scripts,
  tolerations: scripts,
  affinity: scripts,
  volumes: scripts,
  imagePullSecrets: scripts,
  serviceAccountName: scripts,
  security: scripts,
  podTemplate: scripts,
  timeout: attemptKinds,
  retry: attemptKinds,
  deadline: [...attemptKinds, 'wait'],
  // A template gives the same text each time.
  until: ['run', 'container', 'http', 'workflow'],
  fallback: attemptKinds,
  compensate: attemptKinds,
  locks: attemptKinds,
  // The steps of a child have caches of their own.
  cache: ['run', 'container', 'http', 'template'],
  artifacts: scripts,
};

/** Fields that a fallback or a compensation has from its step: it is enough that one of them is of the kind. */
const handedDown = new Set<keyof StepSpec>([
  'env',
  'secrets',
  'shell',
  'image',
  'resources',
  'nodeSelector',
  'tolerations',
  'affinity',
  'volumes',
  'imagePullSecrets',
  'serviceAccountName',
  'security',
  'podTemplate',
]);

/** What to write instead, where there is something. */
const instead: Partial<Record<keyof StepSpec, Partial<Record<StepKind, string>>>> = {
  env: { template: '; use template.vars', workflow: '; use workflow.inputs' },
  secrets: { http: '; use http.secretHeaders' },
  image: { container: '; use container.image' },
  shell: { container: '; use container.command' },
  timeout: { approval: '; use approval.timeout', wait: '; use deadline' },
  deadline: { approval: '; use approval.timeout' },
  outputs: {
    decide: '; the cases name its outputs',
    http: '; they are status, headers and body',
    template: '; its output is text',
    workflow: '; they are those of the workflow',
  },
  artifacts: { template: '; its text is an output', http: '; its answer is an output' },
};

/** A field that its kind does not have would be ignored: better said than found out. */
export const fieldForKind: Rule = {
  name: 'field-for-kind',
  check: ({ steps }) =>
    steps.flatMap((step) => [
      ...(Object.keys(fields) as (keyof StepSpec)[])
        .filter((field) => step.spec[field] !== undefined && !hasField(step, field))
        .map((field) => finding(step, field)),
      ...step.bodies
        .filter((body) => body.part !== 'main' && body.spec.env !== undefined && !fields.env?.includes(body.kind))
        .map((body) => finding(body, 'env')),
    ]),
};

function finding({ path, kind }: { path: Path; kind: StepKind }, field: keyof StepSpec): Finding {
  const message = `${field} is not for ${kind} steps, only for ${listKinds(fields[field])}${instead[field]?.[kind] ?? ''}`;
  return { path: [...path, field], at: 'key', message };
}

function hasField({ kind, bodies }: VisitedStep, field: keyof StepSpec): boolean {
  const kinds = handedDown.has(field) ? bodies.map((body) => body.kind) : [kind];
  return kinds.some((one) => fields[field]?.includes(one));
}

function listKinds(kinds: readonly StepKind[] = stepKinds): string {
  return kinds.length === 1 ? String(kinds[0]) : `${kinds.slice(0, -1).join(', ')} and ${kinds.at(-1)}`;
}
