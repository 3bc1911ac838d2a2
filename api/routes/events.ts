import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import type { EventRow } from '../../controller/store/types.ts';
import type { AppDependencies } from '../dependencies.ts';
import { RequestProblem } from '../errors.ts';
import { iso, NamespaceFilter, Name, PageOf, pageQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { eventStream, wantsEvents } from '../sse.ts';

/** A write by another replica is announced by the store within 2 s; this is only the net below that. */
const pollMs = 10_000;

const EventResource = Type.Object(
  {
    id: Type.Integer({ description: 'Ascending.' }),
    kind: Type.String(),
    namespace: Type.String(),
    name: Type.String(),
    type: Type.Union([Type.Literal('Normal'), Type.Literal('Warning')]),
    reason: Type.String({ description: 'One CamelCase word.' }),
    message: Type.String(),
    at: Type.String({ description: 'RFC 3339, UTC.' }),
  },
  { ref: 'Event' },
);
export type EventResource = Static<typeof EventResource>;

/** What happened, oldest first: starts, ends, failures, decisions. */
export function eventRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/events',
      id: 'listEvents',
      tag: 'events',
      summary: 'Lists events, or follows them',
      description:
        'With Accept: text/event-stream the events that are there are sent and then the new ones as they come, until the ' +
        'client leaves. Last-Event-ID, or `after`, says from where.',
      query: only({
        kind: Type.Optional(Type.String({ pattern: '^[A-Za-z]{1,63}$', description: 'Only of objects of this kind.' })),
        namespace: NamespaceFilter,
        name: Type.Optional(Name('Only of the object of this name.')),
        limit: pageQuery.limit,
        after: Type.Optional(
          Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Only events with a greater id.' }),
        ),
      }),
      response: {
        status: 200,
        description: 'A page of events, or a stream.',
        schema: PageOf(EventResource, 'EventPage'),
        stream: 'Events named `event`: id = its id, data = Event.',
      },
    },
    async ({ query: { limit, after, ...filter } }, c) => {
      if (!wantsEvents(c)) {
        const rows = await deps.store.events.list(filter, { limit, ...(after === undefined ? {} : { after }) });
        const last = rows.at(-1);
        return c.json({ items: rows.map(eventResource), next: rows.length === limit && last ? String(last.id) : null });
      }
      let from = lastEventId(c.req.header('last-event-id')) ?? after ?? 0;
      return eventStream(
        c,
        deps,
        (ring) => [deps.store.events.onAppend(ring)],
        async (stream) => {
          for (;;) {
            const rows = await deps.store.events.list(filter, { limit: 500, after: from });
            for (const row of rows) {
              await stream.send('event', String(row.id), eventResource(row));
              from = row.id;
            }
            if (!(await stream.wait(rows.length === 500 ? 0 : pollMs))) return;
          }
        },
      );
    },
  );
}

function lastEventId(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const id = Number(header);
  if (!Number.isSafeInteger(id) || id < 0 || header.trim() === '') {
    throw new RequestProblem('invalid-parameter', 'Last-Event-ID is no id of an event.');
  }
  return id;
}

function eventResource(row: EventRow): EventResource {
  return {
    id: row.id,
    kind: row.kind,
    namespace: row.namespace,
    name: row.name,
    type: row.type,
    reason: row.reason,
    message: row.message,
    at: iso(row.at),
  };
}
