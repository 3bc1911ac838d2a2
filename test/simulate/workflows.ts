import type { StepSpec, WorkflowSpec } from '../../crds/workflow.ts';
import { type planOf } from '../fixtures/plans.ts';
import type { Random } from './random.ts';
import { retryConditions } from './written.ts';

type Spec = Parameters<typeof planOf>[0];
type Step = Partial<StepSpec> & { name: string };

const attemptKinds = ['run', 'run', 'run', 'container', 'http', 'template', 'workflow'] as const;
const otherKinds = ['assert', 'decide', 'wait', 'approval', 'approval'] as const;
const locks = ['red', 'green', 'blue'];

/** A random workflow with every feature that the engine has; not always a sensible one. */
export function randomWorkflow(random: Random): Spec {
  const main = Array.from({ length: 1 + random.below(8) }, (_, i) => randomStep(random, 's', i));
  const last = Array.from({ length: random.below(3) }, (_, i) => randomStep(random, 'f', i));
  const workflow: Partial<WorkflowSpec> = {};
  if (random.chance(0.2)) workflow.timeout = random.pick(['20s', '2m']);
  if (random.chance(0.25)) workflow.parallelism = 1 + random.below(3);
  if (random.chance(0.15)) workflow.concurrency = { group: 'g', policy: 'Queue' };
  if (random.chance(0.15)) workflow.locks = [{ name: random.pick(['yellow', 'white']), limit: 1 + random.below(2) }];
  if (random.chance(0.2)) workflow.queueTimeout = random.pick(['3s', '8s']);
  if (random.chance(0.4)) workflow.outputs = { first: random.pick(['${{ steps.s0.phase }}', '${{ 1 / 0 }}']) };
  return { ...workflow, steps: main, finally: last };
}

function randomStep(random: Random, prefix: string, i: number): Step {
  const name = `${prefix}${i}`;
  const needs = new Set<string>();
  if (i > 0) for (let n = random.below(3); n > 0; n--) needs.add(`${prefix}${random.below(i)}`);
  const attempts = random.chance(0.75);
  const step: Step = { name, needs: [...needs], ...(attempts ? attemptBody(random) : otherBody(random)) };
  if (random.chance(0.25)) step.if = condition(random, [...needs]);
  if (random.chance(0.2)) step.deadline = random.pick(['4s', '15s']);
  step.criticality = random.pick(['critical', 'high', 'high', 'high', 'medium', 'low']);
  if (random.chance(0.3)) step.forEach = randomForEach(random);
  if (random.chance(0.2)) {
    const condition = random.pick([`steps.${name}.outputs.n > 1`, 'true', 'false', 'true']);
    step.until = { condition, limit: 1 + random.below(4), ...(random.chance(0.5) ? { interval: '3s' } : {}) };
  }
  if (random.chance(0.3)) {
    step.locks = Array.from({ length: 1 + random.below(2) }, () => ({
      name: step.forEach && random.chance(0.3) ? '${{ "lock-" + string(index % 2) }}' : random.pick(locks),
      limit: 1 + random.below(2),
    }));
  }
  if (random.chance(0.3)) step.fallback = Array.from({ length: 1 + random.below(2) }, () => fallback(random));
  if (!attempts) return step;
  const cached = random.chance(0.2);
  if (cached && step.workflow === undefined) step.cache = { key: random.chance(0.5) ? ['k'] : [name] };
  else if (random.chance(0.35)) step.compensate = otherThan(attemptBody(random));
  if (step.run !== undefined && random.chance(0.3)) step.artifacts = artifacts(random, [...needs]);
  return step;
}

function attemptBody(random: Random): Partial<StepSpec> {
  const retry: NonNullable<StepSpec['retry']> = { limit: random.below(4), backoff: { initial: '1s', max: '3s' } };
  if (random.chance(0.3)) retry.if = random.pick(Object.keys(retryConditions));
  const limits = { ...(random.chance(0.6) ? { retry } : {}), ...(random.chance(0.4) ? { timeout: '4s' } : {}) };
  switch (random.pick(attemptKinds)) {
    case 'run':
      return { ...limits, run: 'true', outputs: { n: { type: 'integer' } } };
    case 'container':
      return { ...limits, container: { image: 'busybox' }, outputs: { n: { type: 'integer' } } };
    case 'http':
      return {
        ...limits,
        http: { url: random.pick(['http://one/', 'http://two/']), method: random.pick(['GET', 'POST']) },
      };
    case 'template':
      return { ...limits, template: { text: 'hello' } };
    default:
      return { ...limits, workflow: { name: 'child' } };
  }
}

function otherBody(random: Random): Partial<StepSpec> {
  switch (random.pick(otherKinds)) {
    case 'assert':
      return { assert: [{ that: random.chance(0.7) ? 'true' : 'false' }] };
    case 'decide':
      return { decide: { cases: [{ if: random.pick(['true', 'false']), then: { n: random.below(4) } }] } };
    case 'wait':
      return { wait: { for: `${random.below(10)}s` } };
    default:
      return { approval: { count: 1, timeout: '30s' } };
  }
}

/** What a fallback or compensation may say of a step: its body and limits. */
function otherThan(step: Partial<StepSpec>): NonNullable<StepSpec['compensate']> {
  const { outputs: _, ...body } = step;
  return body;
}

function fallback(random: Random): NonNullable<StepSpec['fallback']>[number] {
  if (random.chance(0.2)) return { skip: true };
  if (random.chance(0.15)) return { fail: 'gave up: ${{ error.message }}' };
  return otherThan(attemptBody(random));
}

function condition(random: Random, needs: string[]): string {
  const need = needs[0];
  const about =
    need === undefined ? 'true' : random.pick([`steps.${need}.phase == 'Succeeded'`, `status('${need}') != 'x'`]);
  return random.pick(['true', 'false', 'always()', 'failure()', '1 / 0 == 1', about, about]);
}

function randomForEach(random: Random): NonNullable<StepSpec['forEach']> {
  const items = [
    { items: Array.from({ length: random.below(6) }, (_, i) => i) },
    { items: { b: 1, a: 'two' } },
    { range: { to: random.below(5) } },
    { matrix: { os: ['linux', 'mac'], n: [1, 2] } },
    { items: '${{ 1 / 0 }}' },
  ];
  return {
    ...items[random.chance(0.05) ? 4 : random.below(4)],
    ...(random.chance(0.5) ? { parallelism: 1 + random.below(2) } : {}),
    ...(random.chance(0.5) ? { failFast: false } : {}),
  };
}

function artifacts(random: Random, needs: string[]): NonNullable<StepSpec['artifacts']> {
  const need = needs[0];
  return {
    out: { a: 'a.txt' },
    ...(need !== undefined && random.chance(0.4) ? { in: { 'in.txt': `${need}.a` } } : {}),
  };
}
