import type { Client, Item } from '../../api/client.ts';
import { findRun } from '../namespaces.ts';
import { formatAge } from '../output/text.ts';
import { firstItems } from './paging.ts';
import type { Column, Listing, ListOptions } from './resource.ts';
import { runSpan } from './runs.ts';
import { unitReason } from './steps.ts';

export const itemNames = ['items', 'item'];
const defaultLimit = 50;

export const itemColumns: readonly Column<Item>[] = [
  { head: 'ITEM', value: (item) => String(item.item) },
  { head: 'LABEL', value: (item) => item.label ?? '' },
  { head: 'PHASE', value: (item, { paint }) => paint(item.phase) },
  { head: 'ATTEMPTS', value: (item) => String(item.attempts.length) },
  { head: 'DURATION', value: (item, { now }) => runSpan(item, now) },
  { head: 'AGE', value: (item, { now }) => formatAge(item.startedAt, now) },
  { head: 'REASON', value: unitReason },
];

/** The items of a forEach step that have begun. */
export async function listItems(
  client: Client,
  run: string,
  step: string,
  { namespace, phase, failed, limit = defaultLimit }: ListOptions,
): Promise<Listing<Item>> {
  const key = await findRun(client, run, namespace);
  const phases = failed ? ['Failed', 'TimedOut'] : phase;
  return firstItems((page) => client.items(key, step, { ...(phases ? { phase: phases } : {}), ...page }), limit);
}
