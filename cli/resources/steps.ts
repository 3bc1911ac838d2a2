import type { Client, Step } from '../../api/client.ts';
import { findRun } from '../namespaces.ts';
import { formatAge, oneLine } from '../output/text.ts';
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

/** Why a step is as it is: its error, or the word for its phase. */
export function stepReason(step: Step): string {
  if (step.error !== null) return `${step.error.type}: ${oneLine(step.error.message, 80)}`;
  return step.reason ?? '';
}

export async function listSteps(client: Client, run: string, namespace: string | undefined): Promise<Listing<Step>> {
  const { items } = await client.steps(await findRun(client, run, namespace));
  return { items, more: false };
}
