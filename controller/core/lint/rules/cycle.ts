import { artifactSource } from '../../plan/flow.ts';
import type { Finding, Rule, VisitedStep, VisitedWorkflow } from '../visit.ts';

/** Steps that wait for each other never start. Names one circle for each group of steps that are in one. */
export const cycle: Rule = {
  name: 'cycle',
  check(workflow) {
    const findings: Finding[] = [];
    const done = new Set<VisitedStep>();
    for (const start of workflow.steps) {
      const circle = findCircle(workflow, start, done);
      if (!circle) continue;
      const names = [...circle, circle[0]].map((step) => step?.name).join(' -> ');
      const message = `steps need each other in a circle: ${names}`;
      findings.push({ path: [...(circle[0] as VisitedStep).path, 'name'], message });
    }
    return findings;
  },
};

/** Depth first, without recursion. Leaves everything it saw in `done`, so that each circle is found once. */
function findCircle(workflow: VisitedWorkflow, start: VisitedStep, done: Set<VisitedStep>): VisitedStep[] | null {
  if (done.has(start)) return null;
  const trail: { step: VisitedStep; needs: VisitedStep[] }[] = [{ step: start, needs: needsOf(workflow, start) }];
  const onTrail = new Set([start]);
  let circle: VisitedStep[] | null = null;
  while (trail.length > 0) {
    const top = trail.at(-1) as (typeof trail)[number];
    const need = top.needs.pop();
    if (need === undefined) {
      trail.pop();
      onTrail.delete(top.step);
      done.add(top.step);
    } else if (onTrail.has(need)) {
      circle ??= trail.slice(trail.findIndex((t) => t.step === need)).map((t) => t.step);
    } else if (!done.has(need)) {
      onTrail.add(need);
      trail.push({ step: need, needs: needsOf(workflow, need) });
    }
  }
  return circle;
}

/** Same section only: `finally` makes no edges to the steps before it, and the other way round is another rule's. */
function needsOf({ byName }: VisitedWorkflow, step: VisitedStep): VisitedStep[] {
  const names = new Set(step.spec.needs ?? []);
  for (const { steps, calls, part } of step.expressions) {
    // A compensation comes after the end of all steps, and waits for none.
    if (part !== 'compensate') for (const name of [...steps, ...calls.status]) names.add(name);
  }
  for (const source of Object.values(step.spec.artifacts?.in ?? {})) names.add(artifactSource(source).step);
  names.delete(step.name);
  return [...names].flatMap((name) => byName.get(name) ?? []).filter((need) => need.section === step.section);
}
