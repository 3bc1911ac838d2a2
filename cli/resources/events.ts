import type { Client, EventResource } from '../../api/client.ts';
import { formatAge, printable } from '../output/text.ts';
import type { Resource } from './resource.ts';

const defaultLimit = 50;
const pageSize = 500;

export const events: Resource<EventResource> = {
  names: ['events', 'event'],
  options: ['namespace', 'limit'],
  columns: [
    { head: 'AGE', value: (e, { now }) => formatAge(e.at, now) },
    { head: 'TYPE', value: (e) => e.type },
    { head: 'REASON', value: (e) => e.reason },
    { head: 'OBJECT', value: (e) => `${e.kind}/${e.namespace}/${e.name}` },
    { head: 'MESSAGE', value: (e) => printable(e.message).replaceAll('\n', ' ') },
  ],
  async list(client, { namespace, limit = defaultLimit }) {
    if (namespace === undefined) {
      // ids have gaps, so a little more is read than is shown
      const last = await lastEventId(client);
      const items = await eventsAfter(client, {}, Math.max(0, last - 2 * limit));
      return { items: items.slice(-limit), more: items.length > limit || last > 2 * limit };
    }
    const items = await eventsAfter(client, { namespace }, 0);
    return { items: items.slice(-limit), more: items.length > limit };
  },
  key: (e) => String(e.id),
};

/** All events that fit, from `after` on, oldest first. */
export async function eventsAfter(
  client: Client,
  filter: { kind?: string; namespace?: string; name?: string },
  after: number,
): Promise<EventResource[]> {
  const items: EventResource[] = [];
  for (let from = after; ; ) {
    const page = await client.events({ ...filter, after: from, limit: pageSize });
    items.push(...page.items);
    if (page.next === null) return items;
    from = Number(page.next);
  }
}

/** The id of the newest event; 0 for none. The API lists the oldest first, so the end is searched for. */
export async function lastEventId(client: Client): Promise<number> {
  const next = async (after: number) => (await client.events({ after, limit: 1 })).items[0]?.id;
  let low = 0;
  let step = 1024;
  for (let found = await next(0); found !== undefined; found = await next(low + step)) {
    low = found;
    step *= 2;
  }
  // the newest is in [low, low + step]
  for (let high = low + step; high > low; ) {
    const middle = Math.floor((low + high) / 2);
    const found = await next(middle);
    if (found === undefined) high = middle;
    else low = found;
  }
  return low;
}
