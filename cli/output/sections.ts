import type { Condition } from '../../crds/metadata.ts';
import type { EventResource } from '../../api/client.ts';
import type { View } from '../resources/resource.ts';
import { events } from '../resources/events.ts';
import { formatColumns, formatTable } from './table.ts';
import { indent } from './run-end.ts';
import { formatAge, none, printable } from './text.ts';

/** `Name:   value` lines; what is null is left out. */
export function formatFields(fields: readonly (readonly [name: string, value: string | null])[]): string {
  return formatColumns(fields.flatMap(([name, value]) => (value === null ? [] : [[`${name}:`, value]])));
}

/** A title with lines below it; nothing at all without lines. */
export function section(title: string, body: string): string {
  return body === '' ? '' : `\n${title}:\n${indent(body)}`;
}

export function conditionsSection(conditions: readonly Condition[], { now, paint }: View): string {
  if (conditions.length === 0) return '';
  const rows = conditions.map((c) => [
    c.type,
    paint(c.status),
    c.reason,
    formatAge(c.lastTransitionTime, now),
    printable(c.message).replaceAll('\n', ' '),
  ]);
  return section('Conditions', formatTable(['TYPE', 'STATUS', 'REASON', 'AGE', 'MESSAGE'], rows));
}

export function eventsSection(items: readonly EventResource[], view: View): string {
  if (items.length === 0) return '';
  const columns = events.columns.filter((column) => column.head !== 'OBJECT');
  const rows = items.map((item) => columns.map((column) => column.value(item, view)));
  return section(
    'Events',
    formatTable(
      columns.map((c) => c.head),
      rows,
    ),
  );
}

/** An instant and how long ago that was. */
export function when(at: string | null, { now }: View): string {
  return at === null ? none : `${at} (${formatAge(at, now)} ago)`;
}
