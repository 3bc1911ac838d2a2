import type { Client, Step } from '../../api/client.ts';
import { findRun } from '../namespaces.ts';
import { causeFirst, formatAge, oneLine } from '../output/text.ts';
import type { Column, Listing } from './resource.ts';
import { runSpan } from './runs.ts';

export const stepNames = ['steps', 'step'];

export const stepColumns: readonly Column<Step>[] = [
  { head: 'STEP', value: (s) => s.name },
  { head: 'KIND', value: (s) => s.kind },
  { head: 'PHASE', value: (s, { paint }) => paint(s.phase) },
  { head: 'ATTEMPTS', value: (s) => String(s.attempts.length) },
  { head: 'DURATION', value: (s, { now }) => runSpan(s, now) },
  { head: 'AGE', value: (s, { now }) => formatAge(s.startedAt, now) },
  { head: 'REASON', value: (s) => stepReason(s) },
];

/** Why a step is as it is: its items, its error, or the word for its phase. */
export function stepReason(step: Step): string {
  return [itemsOf(step), unitReason(step), missingOf(step)].filter((text) => text !== '').join('; ');
}

/** What an approval step waits for, or its items. */
function missingOf({ approval }: Step): string {
  const missing = approval?.missing ?? null;
  return missing === null ? '' : oneLine(`needs ${missing}`, 160);
}

/** Why a step, or an item of it, is as it is. */
export function unitReason({
  phase,
  error,
  reason,
  via,
  iteration,
}: Pick<Step, 'phase' | 'error' | 'reason' | 'via' | 'iteration'>): string {
  const why = error === null ? '' : `${error.type}: ${oneLine(causeFirst(error.message), 80)}`;
  if (via === 'compensate') return ofCompensation(reason, why);
  const how = [via === 'main' ? '' : `via ${via}`, iteration > 1 ? `iteration ${iteration}` : ''];
  // What waits says for what, before what went wrong last.
  const word = error === null || phase === 'Waiting' ? (reason ?? '') : '';
  return [...how, word, why].filter((text) => text !== '').join('; ');
}

/** How far undoing it is, and what went wrong with that: the phase stays Succeeded until it is undone. */
function ofCompensation(reason: string | null, why: string): string {
  if (reason === 'CompensationFailed') return `compensation failed: ${why}`;
  return [reason ?? '', why].filter((text) => text !== '').join('; ');
}

const good = new Set(['Succeeded', 'Cached', 'Skipped']);
const bad = new Set(['Failed', 'TimedOut']);

function itemsOf({ items }: Step): string {
  if (items === null || items.total === null) return '';
  const sum = (phases: Set<string>) =>
    Object.entries(items.phases).reduce((total, [phase, count]) => total + (phases.has(phase) ? count : 0), 0);
  const failed = sum(bad);
  const undone = items.phases['Compensated'] ?? 0;
  const ended = undone > 0 ? `${undone}/${items.total} items undone` : `${sum(good)}/${items.total} items`;
  return failed > 0 ? `${ended}, ${failed} failed` : ended;
}

export async function listSteps(client: Client, run: string, namespace: string | undefined): Promise<Listing<Step>> {
  const { items } = await client.steps(await findRun(client, run, namespace));
  return { items, more: false };
}
