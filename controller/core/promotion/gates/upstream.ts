import type { Gate } from '../../../../crds/environment.ts';
import type { GateResult, PromotionFacts, UpstreamFact, WorkflowChange } from '../types.ts';
import { isRetired } from '../upstream.ts';

type UpstreamGate = NonNullable<Gate['upstream']>;

/** The same digest did well in every environment of `after`, judged for each workflow that changes. */
export function judgeUpstream(gate: UpstreamGate, facts: PromotionFacts, changes: WorkflowChange[]): GateResult {
  const after = facts.environment.spec.after ?? [];
  if (after.length === 0) {
    return { gate: 'upstream', open: false, message: 'The environment comes after no other: name one in `after`.' };
  }
  const verdicts = after.flatMap((name) => {
    const upstream = facts.upstream.get(name);
    if (!upstream?.exists) return [{ open: false, message: `${name}: no such environment` }];
    return changes.map((change) => judgeChange(gate, name, upstream, change));
  });
  const closed = verdicts.filter((verdict) => !verdict.open);
  const told = closed.length > 0 ? closed : verdicts;
  return {
    gate: 'upstream',
    open: closed.length === 0,
    message: `${told.map((verdict) => verdict.message).join('; ')}.`,
  };
}

function judgeChange(gate: UpstreamGate, name: string, upstream: UpstreamFact, { workflow, to }: WorkflowChange) {
  if (to === undefined) {
    const open = isRetired(upstream, workflow);
    return { open, message: `${name}: ${workflow} is ${open ? '' : 'not '}retired there${open ? '' : ' yet'}` };
  }
  const runs = upstream.runs.find((there) => there.workflow === workflow && there.digest === to);
  const finished = runs?.finished ?? 0;
  const succeeded = (runs?.succeeded ?? 0) + (gate.degraded === 'Allow' ? (runs?.degraded ?? 0) : 0);
  if (finished < gate.runs) {
    const missing = gate.runs - finished;
    return {
      open: false,
      message: `${name}: ${workflow} has ${finished} of ${gate.runs} finished runs, ${missing} missing`,
    };
  }
  const asked = gate.successRate ?? 1;
  const message = `${name}: ${workflow} succeeded in ${succeeded} of ${finished} finished runs`;
  if (succeeded / finished < asked) return { open: false, message: `${message}, a share of ${asked} is asked` };
  return { open: true, message };
}
