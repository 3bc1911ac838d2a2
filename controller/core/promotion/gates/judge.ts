import type { Gate } from '../../../../crds/environment.ts';
import { isSame } from '../equal.ts';
import type { GateResult, PromotionFact, PromotionRow, WorkflowChange } from '../types.ts';
import type { View } from '../view.ts';
import { judgeAfter } from './after.ts';
import { judgeApproval } from './approval.ts';
import { judgeBranch } from './on-branch.ts';
import { judgeTracked } from './tracked.ts';
import { judgeUpstream } from './upstream.ts';

/** The gates a promotion is judged by: those of now and, as loosening acts only later, those of when it began. */
export function gatesFor(view: View, row: PromotionRow): Gate[] {
  const now = view.facts.environment.spec.gates ?? [];
  const start = row.gatesAtStart ?? [];
  return [...now, ...start.filter((gate) => !now.some((other) => isSame(gate, other)))];
}

/** Every gate and what it says; the promotion may be let in when all are open. */
export function judgeGates(
  view: View,
  fact: PromotionFact,
  row: PromotionRow & { commit: string },
  changes: WorkflowChange[],
): GateResult[] {
  const { spec } = view.facts.environment;
  return [
    judgeBranch(view, row),
    ...judgeTracked(spec, row),
    ...((spec.after ?? []).length > 0 ? [judgeAfter(view.facts, changes)] : []),
    ...gatesFor(view, row).flatMap((gate) => judgeGate(gate, view, fact, changes)),
  ];
}

function judgeGate(gate: Gate, view: View, fact: PromotionFact, changes: WorkflowChange[]): GateResult[] {
  const fields = Object.keys(gate).filter((field) => gate[field as keyof Gate] !== undefined);
  if (fields.length === 0) return [unknownGate('empty')];
  return fields.map((field) => {
    if (field === 'upstream' && gate.upstream) return judgeUpstream(gate.upstream, view.facts, changes);
    if (field === 'approval' && gate.approval) return judgeApproval(gate.approval, fact, view.facts);
    // Written by a newer controller, or past the schema: what cannot be evaluated holds.
    return unknownGate(field);
  });
}

function unknownGate(field: string): GateResult {
  return {
    gate: field.slice(0, 32),
    open: false,
    message: `This controller does not know the gate ${field}: it holds.`,
  };
}
