import type { Condition } from '../expression/types.ts';
import type { ForEach, PlanStep, StepBody, StepIndex } from './types.ts';

/** A step whose edges are still names. */
export type StepDraft = Omit<PlanStep, 'index' | 'needs' | 'successors'> & { needs: Iterable<string> };

/** Names of the steps that a step's expressions and artifacts read, its own left out; those of `compensate` make no edge. */
export function impliedNeeds(step: Omit<PlanStep, 'index' | 'needs' | 'successors'>): Set<string> {
  const names = new Set<string>();
  for (const one of expressionsOf(step)) {
    for (const name of one?.steps ?? []) names.add(name);
    for (const name of one?.calls?.status ?? []) names.add(name);
  }
  for (const source of Object.values(step.artifacts.in)) names.add(source.step);
  names.delete(step.name);
  return names;
}

type Compiled = { steps: string[]; calls?: Condition['calls'] };

function* expressionsOf(step: Omit<PlanStep, 'index' | 'needs' | 'successors'>): Generator<Compiled | null> {
  yield step.condition;
  if (step.forEach) yield* expressionsOfItems(step.forEach.items);
  yield step.until?.condition ?? null;
  for (const lock of step.locks) yield lock.name;
  yield* step.cache?.key ?? [];
  for (const one of [step.main, ...step.fallback]) {
    if ('fail' in one) yield one.fail;
    else if ('body' in one) {
      yield one.retry.condition;
      yield* expressionsOfBody(one.body);
    }
  }
}

function expressionsOfItems(items: ForEach['items']): Compiled[] {
  if ('list' in items) return [items.list];
  return 'matrix' in items ? Object.values(items.matrix) : [items.from, items.to];
}

function expressionsOfBody(body: StepBody): (Compiled | null)[] {
  switch (body.kind) {
    case 'run':
      return Object.values(body.env);
    case 'container':
      return [...(body.command ?? []), ...(body.args ?? []), ...Object.values(body.env)];
    case 'workflow':
      return Object.values(body.inputs);
    case 'assert':
      return body.assertions.flatMap((a) => [a.that, a.message]);
    case 'decide':
      return body.cases.flatMap((c) => [c.condition, ...Object.values(c.then)]);
    case 'http':
      return [body.url, ...Object.values(body.headers), body.body];
    case 'template':
      return Object.values(body.vars);
    case 'wait':
      return 'instant' in body.until ? [body.until.instant] : [];
    case 'approval':
      return [];
    default:
      return body satisfies never;
  }
}

/**
 * Turns names into edges, main steps first, then `finally`. Edges from `finally` to main steps are dropped: the whole main
 * part has ended when it begins. Costs steps plus edges; has no upper bound of its own.
 * @throws Error on a name that is not there, one that is there twice, a main step that needs a `finally` one, or a cycle:
 * lint refuses all of these in files.
 */
export function connectSteps(drafts: StepDraft[]): {
  steps: PlanStep[];
  mainCount: number;
  byName: Map<string, StepIndex>;
} {
  const ordered = [...drafts.filter((d) => d.section === 'main'), ...drafts.filter((d) => d.section === 'finally')];
  const mainCount = ordered.filter((d) => d.section === 'main').length;
  const byName = new Map(ordered.map((draft, index) => [draft.name, index]));
  if (byName.size !== ordered.length) throw new Error('two steps have the same name');
  const steps: PlanStep[] = ordered.map((draft, index) => ({ ...draft, index, needs: [], successors: [] }));
  for (const [index, draft] of ordered.entries()) {
    const needs = new Set<StepIndex>();
    for (const name of draft.needs) {
      const need = byName.get(name);
      if (need === undefined) throw new Error(`step "${draft.name}" needs "${name}", which is not there`);
      if (index < mainCount && need >= mainCount) throw new Error(`step "${draft.name}" needs "${name}" of finally`);
      if (index < mainCount || need >= mainCount) needs.add(need);
    }
    const step = steps[index] as PlanStep;
    step.needs = [...needs].sort((a, b) => a - b);
    // Steps are visited in order, so every list of successors is ascending.
    for (const need of step.needs) (steps[need] as PlanStep).successors.push(index);
  }
  refuseCycles(steps);
  return { steps, mainCount, byName };
}

function refuseCycles(steps: PlanStep[]): void {
  const open = steps.map((step) => step.needs.length);
  const ready = steps.filter((step) => step.needs.length === 0).map((step) => step.index);
  for (let next = 0; next < ready.length; next++) {
    for (const successor of steps[ready[next] as number]?.successors ?? []) {
      open[successor] = (open[successor] as number) - 1;
      if (open[successor] === 0) ready.push(successor);
    }
  }
  if (ready.length < steps.length) {
    const stuck = steps.filter((step) => (open[step.index] as number) > 0).map((step) => step.name);
    throw new Error(`steps need each other in a circle: among ${stuck.slice(0, 10).join(', ')}`);
  }
}
