import type { Condition } from '../../crds/metadata.ts';
import { none, type Paint } from '../output/text.ts';

/** `True`, or `False (Reason)`; of a kind that says Stalled instead, that. */
export function readiness(conditions: readonly Condition[], paint: Paint): string {
  const ready = conditions.find((c) => c.type === 'Ready');
  if (ready === undefined) return none;
  return ready.status === 'True' ? paint('True') : `${paint(ready.status)} (${ready.reason})`;
}
